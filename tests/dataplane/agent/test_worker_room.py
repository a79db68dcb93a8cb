"""What no limit of the kernel bounds, the agent watches: the log, threads, temporary files."""

import os
from pathlib import Path

import psutil
import pytest

from dataplane.agent import worker_process, worker_room
from dataplane.agent.worker_channels import LOG_MAX_BYTES, open_log
from dataplane.agent.worker_process import Record
from dataplane.wire.agent_sync import ReplicaGoal


@pytest.fixture
def record(tmp_path: Path) -> Record:
    own = psutil.Process()
    goal = ReplicaGoal("r-1", 1, "m", "1", "sha256:x", "/x")
    return Record("r-1", 1, own.pid, own.create_time(), str(tmp_path / "r-1.sock"), goal, "partly: no namespaces")


def test_log__grown_too_long_while_it_is_written__begins_anew_and_keeps_its_newest_part(tmp_path: Path) -> None:
    log = tmp_path / "r-1.log"
    descriptor = open_log(log)
    begins = os.fstat(descriptor).st_size
    os.write(descriptor, b"old\n" + b"x" * LOG_MAX_BYTES + b"\nnewest\n")
    worker_room.bound_log(log)
    os.write(descriptor, b"after\n")
    os.close(descriptor)

    assert log.read_text() == "after\n"
    assert (tmp_path / "r-1.log.1").read_bytes().endswith(b"x\nnewest\n")
    assert (tmp_path / "r-1.log.1").stat().st_size == LOG_MAX_BYTES
    assert worker_process.last_line(log, begins + LOG_MAX_BYTES) == "after"


def test_problem__nothing_is_too_much__none(record: Record, tmp_path: Path) -> None:
    assert worker_room.problem_of(record, tmp_path / "r-1.log") == ""


def test_problem__temporary_files_on_disk__are_added_up(
    record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_room, "HOME_MAX_BYTES", 2 * 1024**2)
    (tmp_path / "r-1.home" / "deep").mkdir(parents=True)
    for place in ("one", "deep/two", "deep/three"):
        (tmp_path / "r-1.home" / place).write_bytes(os.urandom(1024**2))

    assert worker_room.problem_of(record, tmp_path / "none") == (
        "The worker wrote more than 2 MB to its temporary folder"
    )


def test_problem__threads__are_counted(record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_room, "THREADS_MAX", 0)

    assert worker_room.problem_of(record, tmp_path / "none") == "The worker had more than 0 threads"
