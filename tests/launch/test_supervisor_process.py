"""One supervised process, with small shell commands in the place of servers."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import psutil
import pytest

from mlorch_site.launch.supervisor import process as supervised
from mlorch_site.launch.supervisor.logs import LogBook
from mlorch_site.launch.supervisor.ports import KeptSockets
from mlorch_site.launch.supervisor.process import Spec, Supervised
from tests.support.ports import free_ports
from tests.support.waiting import auntil, patience

FOREVER = "exec sleep 600"
# Answers every connection with its process id; it hands its listening socket over and takes one over.
SERVER = """
import os, socket
given = os.environ.get("LISTEN")
listener = socket.socket(fileno=int(given)) if given else socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
channel = socket.socket(fileno=int(os.environ["READY"]))
socket.send_fds(channel, [b"\\n"], [listener.fileno()])
while True:
    connection, _ = listener.accept()
    connection.sendall(b"%d" % os.getpid())
    connection.close()
"""


class Book(LogBook):
    """Keeps the lines in memory."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def line(self, name: str, text: str, *, keep: bool = True) -> None:
        self.lines.append((name, text))

    def of(self, name: str) -> list[str]:
        return [text for who, text in self.lines if who == name]


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervised, "BACKOFF_FIRST_S", 0.02)
    monkeypatch.setattr(supervised, "PROBE_EVERY_S", 0.02)


def shell(script: str, **changes) -> Spec:
    return Spec("worker", ["sh", "-c", script], {"PATH": os.environ["PATH"]}, **changes)


def begun(spec: Spec, book: Book) -> Supervised:
    process = Supervised(spec, book, lambda: None)
    process.begin()
    return process


def pid_in(path: Path) -> int:
    return int(path.read_text() or 0) if path.exists() else 0


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


async def test_process__it_dies__is_started_again_after_growing_waits(book):
    process = begun(shell("exit 3"), book)
    await auntil(lambda: process.status.restarts >= 3, "it was started again three times")
    await process.stop()
    assert book.of("up")[:3] == [
        f"worker ended (exit code 3); starting it again in {wait} s" for wait in ("0.02", "0.04", "0.08")
    ]


async def test_process__killed__says_by_which_signal(book):
    process = begun(shell("kill -9 $$"), book)
    await auntil(lambda: process.status.restarts >= 1, "it was started again")
    await process.stop()
    assert book.of("up")[0].startswith("worker ended (signal SIGKILL)")


async def test_process__program_is_missing__says_so_and_tries_again(book):
    process = begun(Spec("worker", ["/nowhere/program"], {}), book)
    await auntil(lambda: process.status.restarts >= 2, "it was started again twice")
    await process.stop()
    assert "worker cannot be started: [Errno 2]" in book.of("up")[0]


async def test_process__dies_while_a_descendant_holds_its_output__is_started_again(book, tmp_path, monkeypatch):
    monkeypatch.setattr(supervised, "LAST_LINES_WITHIN_S", 0.1)
    pid_file = tmp_path / "pid"
    process = begun(shell(f"setsid sh -c 'echo $$ > {pid_file}; {FOREVER}' & sleep 0.1; exit 1"), book)
    try:
        await auntil(lambda: process.status.restarts >= 1, "it was started again")
        assert is_alive(pid_in(pid_file))
    finally:
        os.kill(pid_in(pid_file), 9)
        await process.stop()


async def test_process__probe_not_content_yet__is_not_ready(book):
    answers = iter([False, False, True])

    async def probe() -> bool:
        return next(answers)

    process = begun(shell(FOREVER, ready=probe), book)
    await auntil(lambda: process.status.state == "starting", "it is starting")
    assert not process.is_ready.is_set()
    await auntil(process.is_ready.is_set, "it is ready")
    assert process.status.state == "ready"
    await process.stop()


async def test_process__comes_back_after_a_crash__is_ready_again(book):
    async def probe() -> bool:
        return True

    process = begun(shell(FOREVER, ready=probe), book)
    await auntil(process.is_ready.is_set, "it is ready")
    first = process.status.pid
    os.kill(first, 9)
    await auntil(
        lambda: process.status.pid not in (first, None) and process.status.state == "ready", "a new process is ready"
    )
    assert process.status.restarts == 1
    await process.stop()


async def test_output__lines_of_both_streams__carry_the_name(book):
    process = begun(shell("echo out; echo err >&2; " + FOREVER), book)
    await auntil(lambda: len(book.of("worker")) == 2, "it has said two lines")
    await process.stop()
    assert book.of("worker") == ["out", "err"]


async def test_output__line_beyond_the_limit__is_dropped_and_the_next_one_kept(book, monkeypatch):
    monkeypatch.setattr(supervised, "LINE_LIMIT_BYTES", 1024)
    process = begun(shell("head -c 5000 /dev/zero | tr '\\0' x; echo; echo after; " + FOREVER), book)
    await auntil(lambda: "after" in book.of("worker"), "it has said 'after'")
    await process.stop()
    assert not [line for line in book.of("worker") if "xxx" in line]


@pytest.mark.parametrize("launcher", ["", "setsid"], ids=["same group", "group of its own"])
async def test_stop__grandchild__is_ended_too(book, tmp_path, launcher):
    pid_file = tmp_path / "pid"
    process = begun(shell(f"{launcher} sh -c 'echo $$ > {pid_file}; {FOREVER}' & wait"), book)
    await auntil(lambda: pid_in(pid_file), "the grandchild has started")
    await process.stop()
    await auntil(lambda: not is_alive(pid_in(pid_file)), "the grandchild has ended")
    assert process.status.state == "stopped"


async def test_stop__process_ends_when_asked__its_last_words_are_kept(book):
    process = begun(shell("trap 'echo bye; exit 0' TERM; echo here; while :; do sleep 0.05; done"), book)
    await auntil(lambda: "here" in book.of("worker"), "it has said 'here'")
    await process.stop()
    assert book.of("worker")[-1] == "bye"
    assert process.status.state == "stopped"


async def test_stop__process_ignores_the_request__is_killed_after_the_grace_time(book):
    process = begun(shell("trap '' TERM; echo here; while :; do sleep 0.05; done", stop_grace_s=0.2), book)
    await auntil(lambda: "here" in book.of("worker"), "it has said 'here'")
    pid = process.status.pid
    await process.stop()
    assert not is_alive(pid)
    assert book.of("up") == ["worker did not end within 0.2 s and is killed"]


async def test_stop__never_speaks_of_starting_again(book):
    process = begun(shell(FOREVER), book)
    await auntil(lambda: process.status.pid, "it was started")
    await process.stop()
    assert book.of("up") == []
    assert process.status.restarts == 0


async def test_stop__waiting_for_a_restart__starts_nothing_more(book, monkeypatch):
    monkeypatch.setattr(supervised, "BACKOFF_FIRST_S", 3600.0)
    process = begun(shell("exit 1"), book)
    await auntil(lambda: process.status.state == "backoff", "it waits for its next start")
    async with asyncio.timeout(patience()):
        await process.stop()
    assert process.status.state == "stopped"


async def test_stop__twice__is_harmless(book):
    process = begun(shell(FOREVER), book)
    await auntil(lambda: process.status.pid, "it was started")
    await process.stop()
    await process.stop()
    assert process.status.state == "stopped"


def server(port: int, *, is_shared: bool = False) -> Spec:
    kept = KeptSockets("LISTEN", "READY", is_shared=is_shared)
    return Spec("worker", [sys.executable, "-c", SERVER], {"PORT": str(port)}, kept=kept)


def who_answers(port: int) -> int:
    with socket.create_connection(("127.0.0.1", port), timeout=patience()) as connection:
        return int(connection.recv(20))


async def test_kept_sockets__process_ends__what_has_connected_meanwhile_is_answered_by_the_next(book):
    (port,) = free_ports(1)
    spec = server(port)
    old = begun(spec, book)
    await auntil(old.is_ready.is_set, "the old one is ready")
    first = who_answers(port)
    os.kill(first, signal.SIGSTOP)
    await auntil(lambda: psutil.Process(first).status() == psutil.STATUS_STOPPED, "it stands still")
    waiting = socket.create_connection(("127.0.0.1", port), timeout=patience())
    os.kill(first, signal.SIGKILL)
    await old.stop()
    new = begun(spec, book)
    await auntil(new.is_ready.is_set, "the new one is ready")

    assert int(waiting.recv(20)) == new.status.pid != first
    waiting.close()
    await new.stop()


@pytest.mark.parametrize("is_shared", [False, True])
async def test_kept_sockets__process_crashes__is_kept_only_when_nobody_else_listens(book, monkeypatch, is_shared):
    monkeypatch.setattr(supervised, "BACKOFF_FIRST_S", 60.0)
    (port,) = free_ports(1)
    process = begun(server(port, is_shared=is_shared), book)
    await auntil(process.is_ready.is_set, "it is ready")
    os.kill(process.status.pid, signal.SIGKILL)
    await auntil(lambda: process.status.state == "backoff", "it waits for its next start")
    with socket.socket() as asking:
        asking.settimeout(patience())
        assert (asking.connect_ex(("127.0.0.1", port)) == 0) is not is_shared
    await process.stop()


async def test_trial__ends_before_it_is_ready__is_not_started_again(book):
    kept = KeptSockets("LISTEN", "READY", is_shared=False)
    process = Supervised(shell("exit 3", kept=kept), book, lambda: None)
    process.begin(is_trial=True)
    await auntil(process.has_died.is_set, "it has died")
    await process.stop()
    assert book.of("up") == ["worker: its successor ended (exit code 3) before it was ready"]


async def test_trial__dies_after_it_was_ready__is_started_again_like_any_other(book):
    (port,) = free_ports(1)
    process = Supervised(server(port), book, lambda: None)
    process.begin(is_trial=True)
    await auntil(process.is_ready.is_set, "it is ready")
    first = process.status.pid
    os.kill(first, signal.SIGKILL)
    await auntil(lambda: process.status.restarts == 1 and process.status.state == "ready", "it is ready again")
    second = process.status.pid
    await process.stop()
    assert second != first
