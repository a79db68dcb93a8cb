"""Processes of one gateway know of each other: by locks that the kernel releases however a process ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from dataplane.gateway.peers import Generations
from dataplane.gateway.site import poll
from dataplane.gateway.site.spool import Spool
from dataplane.gateway.state import State
from tests.dataplane.gateway.conftest import window

CROWD = "import signal, sys; from dataplane.gateway.peers import Generations; from pathlib import Path\n"
ENTER = "Generations(Path(sys.argv[1]), 'theirs').enter(); print('in', flush=True); signal.pause()"


def test_beside__another_process__is_seen_until_it_is_killed(tmp_path: Path) -> None:
    ours = Generations(tmp_path, "ours")
    ours.enter()
    command = [sys.executable, "-c", CROWD + ENTER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in\n"
        assert ours.beside() == ["theirs"]
        os.kill(process.pid, signal.SIGKILL)
    assert ours.beside() == []
    assert [path.name for path in tmp_path.iterdir()] == ["ours"]
    ours.leave()


def test_beside__it_has_left__is_not_seen_any_more(tmp_path: Path) -> None:
    first, second = Generations(tmp_path, "first"), Generations(tmp_path, "second")
    first.enter()
    second.enter()
    seen = second.beside()
    first.leave()

    assert (seen, second.beside()) == (["first"], [])
    second.leave()


def test_poll__another_process_runs__is_named_and_the_first_answer_comes_at_once(state: State) -> None:
    other = State(state.config)
    other.generations.enter()
    first = poll.poll_report(state)
    state.metrics.is_connected = True
    second = poll.poll_report(state)
    other.generations.leave()

    assert (first.peers, first.wait_s) == ([other.boot], 0)
    assert (second.peers, second.wait_s) == ([other.boot], poll.POLL_WAIT_DRAINING_S)
    assert poll.poll_report(state).peers == []


def test_spool__process_of_the_other_boot_runs__its_batches_are_left_to_it(tmp_path: Path) -> None:
    generations = Generations(tmp_path / "generations", "old")
    generations.enter()
    Spool(tmp_path / "spool", "old", 10).add([window(1)])
    spool = Spool(tmp_path / "spool", "new", 10, Generations(tmp_path / "generations", "new").is_alive)
    meanwhile = spool.waiting()
    generations.leave()

    assert meanwhile == []
    assert [path.parent.name for path in spool.waiting()] == ["old"]
