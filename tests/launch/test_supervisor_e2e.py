"""`scripts/up` itself, with the real processes."""

import json
import os
import signal
import stat
import subprocess

import psutil
import pytest

from tests.support.product import running
from tests.support.waiting import patience, until

pytestmark = pytest.mark.e2e


def processes_of(data_dir) -> list[psutil.Process]:
    """Every process that was started for this data directory, by its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("MLORCH_DATA_DIR") == str(data_dir):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    with running(tmp_path_factory.mktemp("up"), "--no-demo") as product:
        yield product


def test_up__first_start__site_and_gateway_answer_and_credentials_are_private(product):
    assert product.answers(f"{product.web}/healthz")
    assert product.answers(f"{product.gateway}/healthz")
    path = product.data_dir / "credentials.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert product.credentials["web"] == product.web
    assert set(product.credentials["people"]) == {"viewer", "engineer", "reviewer", "risk", "manager", "admin"}


def test_up__data_directory__is_readable_by_its_owner_only(product):
    names = ("mlorch.sqlite3", "secrets.json", "logs", "run", "mlflow", "broker")
    modes = {name: stat.S_IMODE((product.data_dir / name).stat().st_mode) & 0o077 for name in names}
    assert modes == dict.fromkeys(names, 0)


def test_up__passwords__are_in_the_terminal_and_in_no_log(product):
    password = product.credentials["people"]["engineer"]["password"]
    assert password in product.output
    assert not [path for path in (product.data_dir / "logs").rglob("*.log") if password in path.read_text()]


def test_up__second_on_the_same_data_directory__says_that_one_is_running(product):
    done = subprocess.run(product.command, capture_output=True, text=True, timeout=patience(), check=False)
    assert done.returncode == 1
    assert f"(process {product.process.pid})" in done.stderr


def test_up__ports_taken__names_each_with_its_option_and_starts_nothing(product, tmp_path):
    command = [*product.command]
    command[command.index("--data") + 1] = str(tmp_path)
    done = subprocess.run(command, capture_output=True, text=True, timeout=patience(), check=False)
    assert done.returncode == 1
    assert "--web-port" in done.stderr
    assert "--gateway-port" in done.stderr
    assert str(product.process_named("web")["pid"]) in done.stderr
    assert processes_of(tmp_path) == []


@pytest.mark.parametrize("name", ["broker", "web", "gateway", "agent", "control", "work", "beat"])
def test_up__process_killed__comes_back_and_the_site_answers(product, name):
    first = product.process_named(name)

    def is_back() -> bool:
        now = product.process_named(name)
        return now["pid"] not in (first["pid"], None) and now["state"] == "ready"

    product.kill(name)
    until(is_back, f"{name} comes back")
    assert product.process_named(name)["restarts"] == first["restarts"] + 1
    assert f"{name} ended (signal SIGKILL); starting it again in" in product.output
    until(lambda: product.answers(f"{product.web}/readyz"), "the site answers")


def test_up__told_to_end_and_started_again__nothing_is_left_and_people_stay(tmp_path):
    data_dir = tmp_path / ("deep-" * 20) / "data"
    with running(data_dir, "--no-demo") as product:
        people = product.credentials["people"]
        assert product.stop() == 0
        assert "everything has ended" in product.output
    assert processes_of(data_dir) == []
    with running(data_dir, "--no-demo") as product:
        assert product.credentials["people"] == people
        assert product.credentials["web"] == product.web


def test_up__supervisor_killed__the_next_start_ends_what_was_left(tmp_path):
    with running(tmp_path, "--no-demo") as product:
        os.kill(product.process.pid, signal.SIGKILL)
        product.process.wait()
        left = {row["pid"] for row in json.loads((tmp_path / "run" / "processes.json").read_text())["processes"]}
    assert product.answers(f"{product.gateway}/healthz")
    with running(tmp_path, "--no-demo") as product:
        assert "that an earlier run left behind" in product.output
        assert not [pid for pid in left if psutil.pid_exists(pid)]
    assert processes_of(tmp_path) == []
