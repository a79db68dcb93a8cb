"""Goodput at one and at three times capacity: the real gateway and two workers on core 0, open-loop load from core 1.

Each prediction costs `WORK_MS` of processor time, so that capacity is the model's and the load can be offered by one
process. `python -m tests.bench.overload [--seconds N]`.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.bench.load import LOAD_CORE, cpu_seconds
from tests.bench.models.register import COLUMNS, parts
from tests.bench.peers import ours
from tests.bench.peers.base import Setting
from tests.bench.report import Row, hand_over
from tests.bench.serving import ROOT, free_port, say, started, wait_for
from tests.bench.steady import Seen, Shape, Steady

WORK_MS = 2.0
SATURATING_PER_S = 1000 / WORK_MS  # more than a core can do, whatever it is
SHARES = (0.9, 1.0, 1.1)  # of what saturation gave: the peak is the best goodput of all
ROUNDS = 3
SETTLE_S = 1.5
GOODPUT_SHARE = 0.8
IN_FLIGHT = 256  # of the route table that the bench serves
WAIT_FACTOR = (
    1.5  # the longest wait there can be is a full queue at the peak rate; the rest is for a goodput below the peak
)
LATE_SHARE_MAX = 0.01
REFUSED_WELL = {200, 429, 503}


class Stage(NamedTuple):
    """What came of one offered rate, all over the same span of time.

    `core_share` is what the servers had of their core.
    """

    offered: float
    goodput: float
    p50_ms: float
    p99_ms: float
    core_share: float
    statuses: dict[int, int]
    late_share: float

    @property
    def per_cpu_s(self) -> float:
        """Good answers per second of processor time that the servers got: comparable even where neighbours take some of
        the core.
        """
        return self.goodput / max(self.core_share, 1e-9)


class Target(NamedTuple):
    """The gateway's address, and the process ids of everything that runs on the servers' core."""

    url: str
    pids: list[int]


@contextmanager
def gateway() -> Iterator[Target]:
    """Run the gateway and both workers with the paced model."""
    import mlflow

    with tempfile.TemporaryDirectory(prefix="overload-", dir="/tmp") as name:
        folder = Path(name)
        mlflow.pyfunc.save_model(folder / "model", **parts())
        setting = Setting(list(COLUMNS), folder / "model", folder / "none", folder)
        here, port = {"PYTHONPATH": str(ROOT)}, free_port()
        commands = [(ours.worker_command(setting, version), here) for version in ("1", "2")]
        environment = here | ours.gateway_environment(setting, port, ours.start_site())
        commands.append(([sys.executable, "-m", "dataplane.gateway"], environment))
        with started(commands, folder) as pids:
            url = f"http://127.0.0.1:{port}"
            body = json.dumps({"dataframe_split": {"columns": COLUMNS, "data": [[1.0, 0.0, 0.0]]}})
            for unit in range(50):  # until workers of both arms have answered
                headers = {**ours.HEADERS, "X-Mlorch-Unit": str(unit)}
                wait_for(url + ours.INVOCATIONS, body, headers, folder / "2.log")
            yield Target(url, pids)


def stage(target: Target, rate_per_s: float, seconds: float) -> Stage:
    """Offer a rate for `seconds` after it has settled."""
    shape = Shape(ours.ENDPOINT, work_ms=WORK_MS)
    with Steady(target.url, ours.KEY, "production", rate_per_s, lambda number: shape) as load:
        time.sleep(SETTLE_S)
        began, used = time.time(), cpu_seconds(target.pids)
        time.sleep(seconds)
        ended, used = time.time(), cpu_seconds(target.pids) - used
    answered = [row for row in load.answers if began <= row.ended < ended]
    good = sorted(row.ended - row.sent for row in answered if row.status == 200)
    counts = Counter(row.status for row in load.answers)
    offered = sum(began <= row.sent < ended for row in load.answers) / seconds
    found = Stage(
        offered,
        len(good) / seconds,
        _quantile_ms(good, 0.5),
        _quantile_ms(good, 0.99),
        used / (ended - began),
        dict(counts),
        load.late_share,
    )
    say(f"  {found}")
    _tell_unexpected(load.answers)
    return found


def _quantile_ms(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000 if ordered else 0.0


def _tell_unexpected(answers: list[Seen]) -> None:
    for row in [row for row in answers if row.status not in REFUSED_WELL][:3]:
        say(f"    {row}")


def queues(stage: Stage, pace: float) -> float:
    """The p99 as a multiple of a full queue's wait at `pace` answers per second of the processor time there was."""
    return stage.p99_ms / 1000 * pace * stage.core_share / IN_FLIGHT


def rows_of(peak: Stage, once: list[Stage], thrice: list[Stage]) -> list[Row]:
    """The medians of the rounds; a refusal other than 429 and 503 is a failure."""
    pace = peak.per_cpu_s
    kept = 100 * median(stage.per_cpu_s for stage in thrice) / pace
    strange = sum(n for stage in thrice for status, n in stage.statuses.items() if status not in REFUSED_WELL)
    late = median(stage.late_share for stage in thrice)
    goodput = median(stage.goodput for stage in thrice)
    return [
        Row("peak goodput", peak.goodput, "/s"),
        Row("goodput offered the peak", median(stage.goodput for stage in once), "/s"),
        Row("p99 of accepted, offered the peak", median(stage.p99_ms for stage in once), "ms"),
        Row("offered three times the peak", median(stage.offered for stage in thrice), "/s", None, 2.7 * peak.goodput),
        Row("goodput offered three times", goodput, "/s"),
        Row("the same, of the peak's", 100 * goodput / peak.goodput, "%", None, 100 * GOODPUT_SHARE),
        Row("the same per processor time, of the peak's", kept, "%"),
        Row("p50 of accepted, offered three times", median(stage.p50_ms for stage in thrice), "ms"),
        Row("p99 of accepted, offered three times", median(stage.p99_ms for stage in thrice), "ms"),
        Row("the same in full queues' waits", median(queues(stage, pace) for stage in thrice), "×", WAIT_FACTOR),
        Row("neither answered nor refused with 429 or 503", strange, "", 0),
        Row("sent late by the load itself", 100 * late, "%", 100 * LATE_SHARE_MAX),
        Row("processor time the servers had of their core", 100 * median(s.core_share for s in once + thrice), "%"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=8)
    options = parser.parse_args()
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    once, thrice = [], []
    with gateway() as target:
        tried = [stage(target, SATURATING_PER_S, options.seconds)]
        tried += [stage(target, tried[0].goodput * share, options.seconds) for share in SHARES]
        peak = max(tried, key=lambda stage: stage.goodput)
        for _ in range(ROUNDS):
            once.append(stage(target, peak.goodput, options.seconds))
            thrice.append(stage(target, 3 * peak.goodput, options.seconds))
    hand_over(rows_of(peak, once, thrice))


if __name__ == "__main__":
    main()
