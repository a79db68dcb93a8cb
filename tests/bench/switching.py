"""Everything that changes under load: weights, replicas, releases that go back, and gateway processes that are
replaced.

The whole product with one gateway process. Endpoints are released to again and again, in parallel: rising weights, then
back by hand, and now and then promotion; the gateway is reloaded all the while. Each endpoint is asked, among others by
slow and streamed requests and over new connections. Told: requests that failed, by what happened around them, the
split, and how long a bad version answers after the decision. `python -m tests.bench.switching [--shifts N]`.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench.events import Event, Watch, failures
from tests.bench.report import Row, hand_over
from tests.bench.steady import Seen, Shape, Steady
from tests.e2e.client import Rest
from tests.support.product import ROOT, Product, running
from tests.support.waiting import until

MODEL, ENVIRONMENT = "paced", "development"
ENDPOINTS = ("first", "second")
RATE_PER_S = 200
SHIFTS = 200
SLOW_EVERY, SLOW_MS = 100, 150.0
STREAM_EVERY, STREAM_MS = 151, 300.0
FRESH_EVERY = 4
RELOAD_EVERY_S = 5.0
PROMOTED_EVERY = 4
WEIGHTS = (10, 30, 55, 80)
LAST_BAKE_S = 60  # long enough for the decision to fall into it
SPLIT_WEIGHT, SPLIT_REQUESTS = 20, 10_000
SETTLE_S = 1.5
TRAINING_WITHIN_S = 180
RELEASE_WITHIN_S = 180
RELOAD_WITHIN_S = 60
REPLACED = "was replaced"
BAD_ANSWER_BUDGET_S = 0.5
SPLIT_BUDGET_POINTS = 1.0


@dataclass(frozen=True)
class Decision:
    """One way back: when the person decided, when "rolled back" was to be read, and the version that had to go."""

    endpoint: str
    version: str
    decided: float
    shown: float


@dataclass
class Run:
    """What the endpoints' threads have done so far."""

    rest: Rest
    wanted: int
    shifts: int = 0
    decisions: list[Decision] = field(default_factory=list)
    reloads: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_over(self) -> bool:
        return self.shifts >= self.wanted

    def add(self, shifts: int, decision: Decision | None) -> None:
        with self.lock:
            self.shifts += shifts
            self.decisions += [decision] if decision else []
            told = f"  {self.shifts} shifts, {len(self.decisions)} ways back, {len(self.reloads)} reloads"
            print(told, file=sys.stderr, flush=True)


def register(product: Product) -> None:
    """Register two versions of the paced model."""
    command = [sys.executable, "-m", "tests.bench.models.register", "--tracking-uri", product.mlflow]
    environment = {"PATH": os.environ["PATH"], "HOME": str(product.data_dir), "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [*command, "--name", MODEL, "--versions", "2"],
        check=True,
        timeout=TRAINING_WITHIN_S,
        env=environment,
        cwd=ROOT,
        capture_output=True,
    )


def mirrored(rest: Rest) -> bool:
    answer = rest.call("engineer", "GET", f"/models/{MODEL}/versions")
    return answer.status == 200 and sum(bool(version["digest"]) for version in answer.body["results"]) == 2


def request(rest: Rest, endpoint: str, version: int, strategy: dict[str, Any]) -> str:
    """Request a release where nobody has to approve; return its id."""
    answer = rest.request(version, strategy, ENVIRONMENT, model=MODEL, endpoint=endpoint, guardrails=[])
    assert answer.status == 201, answer
    return str(answer.body["id"])


def canary(last_bake_s: int, weights: tuple[int, ...] = WEIGHTS) -> dict[str, Any]:
    steps = [{"weight": weight, "bake_s": 1} for weight in weights]
    steps[-1]["bake_s"] = last_bake_s
    return {"kind": "canary", "steps": steps}


def until_baking(rest: Rest, release: str, weight: int) -> None:
    """Wait until every gateway has acknowledged the weight."""

    def reached() -> bool:
        seen = rest.get(f"/releases/{release}")
        assert seen["status"] not in {"failed", "rolled_back", "rejected", "aborted"}, seen["status_reason"]
        rollout = seen["rollout"] or {}
        return rollout.get("weight_pct") == weight and rollout.get("phase") == "baking"

    until(reached, f"{weight} % of {release} are acknowledged", within_s=RELEASE_WITHIN_S)


def take_back(run: Run, endpoint: str, release: str, version: int) -> Decision:
    """Roll back by hand and wait until the site shows it."""
    decided = time.time()
    path = f"/endpoints/{ENVIRONMENT}/{endpoint}/rollback"
    answer = run.rest.call("manager", "POST", path, {"reason": "the bench goes back", "expects": release})
    assert answer.status == 200, answer
    run.rest.reach(release, {"rolled_back"}, RELEASE_WITHIN_S)
    return Decision(endpoint, str(version), decided, time.time())


def shift(run: Run, endpoint: str) -> None:
    """Release to one endpoint until all endpoints together have shifted often enough."""
    stable, number = 1, 0
    while not run.is_over:
        number += 1
        other = 3 - stable
        promotes = number % PROMOTED_EVERY == 0
        release = request(run.rest, endpoint, other, canary(1 if promotes else LAST_BAKE_S))
        if promotes:
            run.rest.reach(release, {"succeeded"}, RELEASE_WITHIN_S)
            stable = other
            run.add(len(WEIGHTS) + 1, None)
        else:
            until_baking(run.rest, release, WEIGHTS[-1])
            run.add(len(WEIGHTS) + 1, take_back(run, endpoint, release, other))
            time.sleep(SETTLE_S)  # what the bad version answers now is not the next release's


def reload_until_over(run: Run, product: Product) -> None:
    """Replace the gateway's process again and again; note how many seconds each took until the new one answered."""
    while not run.is_over:
        wanted, began = product.output.count(REPLACED) + 1, time.monotonic()
        product.process.send_signal(signal.SIGUSR2)
        replaced = partial(_has_said, product, REPLACED, wanted)
        until(replaced, "the gateway is replaced", within_s=RELOAD_WITHIN_S)
        run.reloads.append(time.monotonic() - began)
        time.sleep(RELOAD_EVERY_S)


def _has_said(product: Product, text: str, times: int) -> bool:
    return product.output.count(text) >= times


def shape_of(number: int) -> Shape:
    """The endpoint by turns, every fourth over a connection of its own; now and then a slow or a streamed request."""
    endpoint, is_fresh = ENDPOINTS[number % len(ENDPOINTS)], number // len(ENDPOINTS) % FRESH_EVERY == 0
    if number % STREAM_EVERY == 0:
        return Shape(endpoint, wait_ms=STREAM_MS, streams=True, is_fresh=is_fresh)
    return Shape(endpoint, wait_ms=SLOW_MS if number % SLOW_EVERY in (0, 1) else 0.0, is_fresh=is_fresh)


def split(run: Run, product: Product) -> tuple[list[Seen], int]:
    """Hold one endpoint at a weight until enough requests came; return them with the number that reached the
    candidate.
    """
    release = request(run.rest, ENDPOINTS[0], 2, canary(3600, (SPLIT_WEIGHT,)))
    until_baking(run.rest, release, SPLIT_WEIGHT)
    with steady(product, lambda number: Shape(ENDPOINTS[0])) as load:
        until(lambda: len(load.answers) >= SPLIT_REQUESTS, "enough requests for the split", within_s=600)
    run.add(2, take_back(run, ENDPOINTS[0], release, 2))
    return load.answers, sum(row.version == "2" for row in load.answers)


def steady(product: Product, shapes: Callable[[int], Shape]) -> Steady:
    return Steady(product.gateway, product.credentials["gateway_key"], ENVIRONMENT, RATE_PER_S, shapes)


def bad_for(decision: Decision, answers: list[Seen], slow_too: bool) -> float:
    """How many seconds after the decision the last answer of the bad version came, 0 when none did.

    Without `slow_too` only requests count that a model answers at once: a slow one in flight is finished, not cut.
    """
    late = [
        row.ended - decision.decided
        for row in answers
        if row.shape.endpoint == decision.endpoint and row.version == decision.version and row.status == 200
        # The version may come back later as the candidate of the next release.
        if decision.decided - 30 < row.sent < decision.shown and (slow_too or not row.shape.wait_ms)
    ]
    return max([0.0, *late])


def after_shown(decision: Decision, answers: list[Seen]) -> int:
    """How many requests sent after "rolled back" was shown, and before the next release, the bad version answered."""
    return sum(
        decision.shown <= row.sent < decision.shown + SETTLE_S
        for row in answers
        if row.shape.endpoint == decision.endpoint and row.version == decision.version
    )


def rows_of_events(run: Run, events: list[Event], answers: list[Seen]) -> list[Row]:
    """How often each kind of event was, and how many of the requests around it failed."""
    ways_back = [Event("release that goes back", decision.decided, decision.shown) for decision in run.decisions]
    rows = []
    for kind, (count, touched, failed) in sorted(failures([*events, *ways_back], answers).items()):
        rows += [Row(kind, count, ""), Row(f"  of {touched} requests around it failed", failed, "", 0)]
    return rows


def rows_of(run: Run, answers: list[Seen], drawn: list[Seen], candidate: int) -> list[Row]:
    """The measurements with their budgets."""
    everything = answers + drawn
    failed = [row for row in everything if row.status != 200]
    for row in failed[:10]:
        print(f"  failed: {row}", file=sys.stderr)
    decisions = [decision for decision in run.decisions if any(row.sent < decision.decided for row in answers)]
    plain = sorted(bad_for(decision, everything, slow_too=False) for decision in decisions)
    slow = sorted(bad_for(decision, everything, slow_too=True) for decision in decisions)
    strays = sum(after_shown(decision, everything) for decision in decisions)
    ordinary = sorted(row.ended - row.sent for row in answers if row.status == 200 and not row.shape.wait_ms)
    off = abs(100 * candidate / max(1, len(drawn)) - SPLIT_WEIGHT)
    share = 0.99
    return [
        Row("traffic shifts", run.shifts, "", None, run.wanted),
        Row("requests", len(everything), ""),
        Row("slow ones among them", sum(row.shape.wait_ms == SLOW_MS for row in everything), ""),
        Row("streamed ones among them", sum(row.shape.streams for row in everything), ""),
        Row("over a connection of their own", sum(row.shape.is_fresh for row in everything), ""),
        Row("failed requests", len(failed), "", 0),
        Row(f"split off its weight, n = {len(drawn)}", off, "pp", SPLIT_BUDGET_POINTS),
        Row("decision → last bad answer, p50", plain[len(plain) // 2], "s"),
        Row(f"decision → last bad answer, slowest of {len(plain)}", plain[-1], "s", BAD_ANSWER_BUDGET_S),
        Row("the same with slow and streamed ones", slow[-1], "s"),
        Row("bad answers after “rolled back” was shown", strays, "", 0),
        Row("reload until the new process answers, slowest", max(run.reloads), "s"),
        Row("latency of ordinary requests, p50", 1000 * ordinary[len(ordinary) // 2], "ms"),
        Row("latency of ordinary requests, p99", 1000 * ordinary[int(share * len(ordinary))], "ms"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shifts", type=int, default=SHIFTS)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="switching-", dir="/tmp") as folder,
        running(Path(folder), "--no-demo", "--gateway-processes", "1") as product,
    ):
        until(lambda: product.answers(f"{product.mlflow}/health"), "MLflow answers", within_s=90)
        register(product)
        run = Run(Rest(product), options.shifts)
        until(lambda: mirrored(run.rest), "both versions are mirrored", within_s=90)
        for endpoint in ENDPOINTS:
            first = request(run.rest, endpoint, 1, {"kind": "immediate"})
            run.rest.reach(first, {"succeeded"}, RELEASE_WITHIN_S)
        drawn, candidate = split(run, product)
        with (
            Watch(product, ENVIRONMENT) as watch,
            steady(product, shape_of) as load,
            ThreadPoolExecutor(len(ENDPOINTS) + 1) as threads,
        ):
            time.sleep(SETTLE_S)
            work = [threads.submit(shift, run, endpoint) for endpoint in ENDPOINTS]
            for done in [*work, threads.submit(reload_until_over, run, product)]:
                done.result()
            time.sleep(SETTLE_S)
    rows = rows_of(run, load.answers, drawn, candidate) + rows_of_events(run, watch.events, load.answers)
    hand_over([*rows, Row("sent late by the load itself", 100 * load.late_share, "%")])


if __name__ == "__main__":
    main()
