"""Processes of one gateway know of each other: by locks that the kernel releases however a process ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from dataplane.gateway.peers import Peers
from dataplane.gateway.site import poll
from dataplane.gateway.site.spool import Spool
from dataplane.gateway.state import State
from tests.dataplane.gateway.conftest import window

CROWD = "import signal, sys; from dataplane.gateway.peers import Peers; from pathlib import Path\n"
ENTER = "Peers(Path(sys.argv[1]), 'theirs').enter(); print('in', flush=True); signal.pause()"


def test_others__another_process__is_seen_until_it_is_killed(tmp_path: Path) -> None:
    ours = Peers(tmp_path, "ours")
    ours.enter()
    command = [sys.executable, "-c", CROWD + ENTER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in\n"
        assert ours.others() == ["theirs"]
        os.kill(process.pid, signal.SIGKILL)
    assert ours.others() == []
    assert [path.name for path in tmp_path.iterdir()] == ["ours"]
    ours.leave()


def test_others__it_has_left__is_not_seen_any_more(tmp_path: Path) -> None:
    first, second = Peers(tmp_path, "first"), Peers(tmp_path, "second")
    first.enter()
    second.enter()
    seen = second.others()
    first.leave()

    assert (seen, second.others()) == (["first"], [])
    second.leave()


def test_poll__another_process_runs__is_named_and_the_first_answer_comes_at_once(state: State) -> None:
    other = State(state.config)
    other.peers.enter()
    first = poll.poll_report(state)
    state.metrics.is_connected = True
    second = poll.poll_report(state)
    other.peers.leave()

    assert (first.peers, first.wait_s) == ([other.boot], 0)
    assert (second.peers, second.wait_s) == ([other.boot], poll.POLL_WAIT_DRAINING_S)
    assert poll.poll_report(state).peers == []


def test_spool__process_of_the_other_boot_runs__its_batches_are_left_to_it(tmp_path: Path) -> None:
    peers = Peers(tmp_path / "peers", "old")
    peers.enter()
    Spool(tmp_path / "spool", "old", 10).add([window(1)])
    spool = Spool(tmp_path / "spool", "new", 10, Peers(tmp_path / "peers", "new").is_alive)
    meanwhile = spool.waiting()
    peers.leave()

    assert meanwhile == []
    assert [path.parent.name for path in spool.waiting()] == ["old"]
