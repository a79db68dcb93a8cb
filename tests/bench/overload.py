"""Goodput at one and at three times capacity: the real gateway and two workers on core 0, open-loop load from core 1.

Each prediction costs `WORK_MS` of processor time, so that capacity is the model's and the load can be offered by one process.
`python -m tests.bench.overload [--seconds N]`.
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

from tests.bench.load import LOAD_CORE
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
    """What came of one offered rate, all over the same span of time."""

    offered: float
    goodput: float
    p50_ms: float
    p99_ms: float
    statuses: dict[int, int]
    late_share: float


@contextmanager
def gateway() -> Iterator[str]:
    """Run the gateway and both workers with the paced model; give the gateway's address."""
    import mlflow

    with tempfile.TemporaryDirectory(prefix="overload-", dir="/tmp") as name:
        folder = Path(name)
        mlflow.pyfunc.save_model(folder / "model", **parts())
        setting = Setting(list(COLUMNS), folder / "model", folder / "none", folder)
        here, port = {"PYTHONPATH": str(ROOT)}, free_port()
        commands = [(ours.worker_command(setting, version), here) for version in ("1", "2")]
        environment = here | ours.gateway_environment(setting, port, ours.start_site())
        commands.append(([sys.executable, "-m", "deployments.gateway"], environment))
        with started(commands, folder):
            url = f"http://127.0.0.1:{port}"
            body = json.dumps({"dataframe_split": {"columns": COLUMNS, "data": [[1.0, 0.0, 0.0]]}})
            for unit in range(50):  # until workers of both arms have answered
                headers = {**ours.HEADERS, "X-Mlorch-Unit": str(unit)}
                wait_for(url + ours.INVOCATIONS, body, headers, folder / "2.log")
            yield url


def stage(url: str, rate_per_s: float, seconds: float) -> Stage:
    """Offer a rate for `seconds` after it has settled."""
    shape = Shape(ours.ENDPOINT, work_ms=WORK_MS)
    with Steady(url, ours.KEY, "production", rate_per_s, lambda number: shape) as load:
        time.sleep(SETTLE_S)
        began = time.time()
        time.sleep(seconds)
        ended = time.time()
    answered = [row for row in load.answers if began <= row.ended < ended]
    good = sorted(row.ended - row.sent for row in answered if row.status == 200)
    counts = Counter(row.status for row in load.answers)
    offered = sum(began <= row.sent < ended for row in load.answers) / seconds
    found = Stage(
        offered, len(good) / seconds, _quantile_ms(good, 0.5), _quantile_ms(good, 0.99), dict(counts), load.late_share
    )
    say(f"  {found}")
    _tell_unexpected(load.answers)
    return found


def _quantile_ms(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000 if ordered else 0.0


def _tell_unexpected(answers: list[Seen]) -> None:
    for row in [row for row in answers if row.status not in REFUSED_WELL][:3]:
        say(f"    {row}")


def rows_of(peak: float, once: list[Stage], thrice: list[Stage]) -> list[Row]:
    """Return the medians of the rounds; a refusal other than 429 and 503 is a failure."""
    bound_ms = WAIT_FACTOR * 1000 * IN_FLIGHT / peak
    goodput = median(stage.goodput for stage in thrice)
    strange = sum(n for stage in thrice for status, n in stage.statuses.items() if status not in REFUSED_WELL)
    late = max(stage.late_share for stage in thrice)
    return [
        Row("peak goodput", peak, "/s"),
        Row("goodput at capacity", median(stage.goodput for stage in once), "/s"),
        Row("p99 of accepted at capacity", median(stage.p99_ms for stage in once), "ms", bound_ms),
        Row("offered at three times capacity", median(stage.offered for stage in thrice), "/s", None, 2.7 * peak),
        Row("goodput at three times capacity", goodput, "/s"),
        Row("goodput at three times capacity, of the peak", 100 * goodput / peak, "%", None, 100 * GOODPUT_SHARE),
        Row("p50 of accepted at three times capacity", median(stage.p50_ms for stage in thrice), "ms"),
        Row("p99 of accepted at three times capacity", max(stage.p99_ms for stage in thrice), "ms", bound_ms),
        Row("neither answered nor refused with 429 or 503", strange, "", 0),
        Row("sent late by the load itself", 100 * late, "%", 100 * LATE_SHARE_MAX),
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=8)
    options = parser.parse_args()
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    once, thrice = [], []
    with gateway() as url:
        peak = stage(url, SATURATING_PER_S, options.seconds).goodput
        peak = max(peak, *(stage(url, peak * share, options.seconds).goodput for share in SHARES))
        for _ in range(ROUNDS):
            once.append(stage(url, peak, options.seconds))
            thrice.append(stage(url, 3 * peak, options.seconds))
    best = max(peak, *(stage.goodput for stage in once))
    hand_over(rows_of(best, once, thrice))


if __name__ == "__main__":
    main()
