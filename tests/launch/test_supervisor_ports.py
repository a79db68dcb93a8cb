"""What is refused before anything is started: a taken port, a data directory in use."""

import os
import socket

import pytest

from mlorch_site.launch.supervisor import __main__ as up
from mlorch_site.launch.supervisor import ports, running
from mlorch_site.launch.supervisor.options import Options


@pytest.fixture
def taken():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_port__taken__sentence_names_port_process_and_option(taken):
    text = ports.problem_with(taken, "the site", "--web-port")
    assert f"Port {taken} for the site is taken by" in text
    assert f"(process {os.getpid()})" in text
    assert text.endswith("choose another port with --web-port PORT.")


def test_port__free__no_problem(taken):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    assert ports.problem_with(free, "the site", "--web-port") == ""


def test_port__just_left_by_a_server_with_open_connections__counts_as_free():
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
    accepted.close()
    client.close()
    assert ports.is_free(port)


def test_check_ports__two_taken__both_are_told_at_once(taken, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example")
    with pytest.raises(SystemExit) as ended:
        up.check_ports(Options(tmp_path, taken, taken, 5000, True))
    assert "--web-port" in str(ended.value)
    assert "--gateway-port" in str(ended.value)


def test_lock__data_directory_in_use__says_which_and_by_whom(tmp_path):
    held = running.lock(tmp_path)
    try:
        with pytest.raises(SystemExit) as ended:
            running.lock(tmp_path)
    finally:
        os.close(held)
    assert f"running on {tmp_path} already (process {os.getpid()})" in str(ended.value)


def test_lock__former_holder_has_gone__is_taken(tmp_path):
    os.close(running.lock(tmp_path))
    held = running.lock(tmp_path)
    with pytest.raises(SystemExit, match="already"):
        running.lock(tmp_path)
    os.close(held)


def test_reload__nothing_runs_there__says_so(tmp_path):
    with pytest.raises(SystemExit, match="is not running on"):
        running.reload(tmp_path)
    os.close(running.lock(tmp_path))
    with pytest.raises(SystemExit, match="is not running on"):
        running.reload(tmp_path)
