"""Windows are counted once and wait on disk until the site has them."""

import json
from pathlib import Path

from dataplane.gateway.site.spool import Spool
from dataplane.gateway.site.windows import WindowKey, Windows
from tests.dataplane.gateway.conftest import window

KEY = WindowKey("production", "e", "stable", "1", "rel-1")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_take__second_not_over__stays_open() -> None:
    clock = Clock()
    windows = Windows(clock)
    windows.record(KEY, "ok", 5.0, drawn=False)
    assert windows.take() == []
    clock.now = 1001.0
    windows.record(KEY, "timeouts", 9.0, drawn=True)
    (row,) = windows.take()

    assert (row.start, row.requests, row.ok, row.drawn) == (1000, 1, 1, 0)
    assert sum(row.latency.buckets.values()) == 1
    assert [each.start for each in windows.take(everything=True)] == [1001]


def test_spool__earlier_boot__is_sent_first_and_its_folder_removed(tmp_path: Path) -> None:
    Spool(tmp_path, "old", 10).add([window(1)])
    spool = Spool(tmp_path, "new", 10)
    spool.add([window(2)])
    first, second = spool.waiting()

    assert json.loads(first.read_text())["boot"] == "old"
    spool.done(first)
    assert not (tmp_path / "old").exists()
    assert spool.waiting() == [second]


def test_spool__over_its_bound__drops_the_oldest_and_counts_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "boot", 2)
    for number in range(4):
        spool.add([window(number), window(number)])

    assert [batch.sequence for path in spool.waiting() if (batch := spool.read(path))] == [3, 4]
    assert spool.dropped_windows == 4


def test_spool__unreadable_batch__gives_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "boot", 2)
    spool.add([])
    (path,) = spool.waiting()
    path.write_text("{")

    assert spool.read(path) is None
