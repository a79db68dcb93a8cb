"""Traffic shifts under load: lost requests, the observed split, and how long a withdrawn version still answers.

The whole product, releases over REST, two gateway processes, a steady load. `python -m tests.bench.switching [--releases N]`.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.report import Row, hand_over
from tests.e2e.client import ENDED, Load, Rest, Seen
from tests.support.product import Product, prepared, wait_until

ENDPOINT = "switching"
RATE_PER_S = 200
WEIGHTS = list(range(5, 100, 5))
RELEASES = 11
ABORTS = 20
SPLIT_PCT = 30
SPLIT_REQUESTS = 10_500
WITHIN_S = 300
LAST_ANSWER_BUDGET_S = 0.5
SPLIT_BUDGET_PP = 1.0


def release(rest: Rest, version: int, steps: list[dict[str, float]]) -> str:
    """Request a release in development, which needs no approval; return its id."""
    strategy = {"kind": "canary", "steps": steps} if steps else {"kind": "immediate"}
    answer = rest.request(version, strategy, environment="development", endpoint=ENDPOINT, guardrails=[])
    assert answer.status == 201, answer
    return str(answer.body["id"])


def weight_of(rest: Rest, identity: str) -> int:
    return int((rest.get(f"/releases/{identity}")["rollout"] or {}).get("weight_pct", 0))


def aborted(rest: Rest, load: Load, version: int) -> float:
    """Bring a version to half of the traffic, abort, and return the seconds from the decision to its last answer."""
    identity = release(rest, version, [{"weight": 50, "bake_s": 600}])
    wait_until(lambda: weight_of(rest, identity) == 50, within_s=WITHIN_S, saying="half of the traffic is shifted")
    time.sleep(0.5)
    decided = time.time()
    answer = rest.call("engineer", "POST", f"/releases/{identity}/abort", {"reason": "bench"})
    assert answer.status == 200, answer
    wait_until(lambda: rest.get(f"/releases/{identity}")["status"] in ENDED, within_s=WITHIN_S, saying="it has ended")
    ended = time.time()
    time.sleep(0.3)
    late = [row.answered_at for row in load.answers if row.answered_at > decided and row.version == str(version)]
    assert not [row for row in load.since(ended) if row.version == str(version)], (
        "answers of the withdrawn version after the end was shown"
    )
    return max(late, default=decided) - decided


def split(rest: Rest, load: Load, version: int) -> tuple[float, int]:
    """Return (error of the observed split in percentage points, requests) at a fixed weight."""
    identity = release(rest, version, [{"weight": SPLIT_PCT, "bake_s": 600}])
    wait_until(lambda: weight_of(rest, identity) == SPLIT_PCT, within_s=WITHIN_S, saying="the weight is published")
    began = time.time() + 0.5

    def rows() -> list[Seen]:
        return [row for row in load.since(began) if row.status == 200]

    wait_until(lambda: len(rows()) >= SPLIT_REQUESTS, within_s=WITHIN_S, saying="enough requests")
    seen = rows()
    share = sum(row.version == str(version) for row in seen) / len(seen)
    rest.call("engineer", "POST", f"/releases/{identity}/abort", {"reason": "bench"})
    rest.reach(identity, {"aborted"}, WITHIN_S)
    return abs(share * 100 - SPLIT_PCT), len(seen)


def shifts(rest: Rest, releases: int) -> int:
    """Run canaries through many weights, one after the other; return how many route tables that were."""
    count = 0
    for number in range(releases):
        version = 2 if number % 2 == 0 else 1
        identity = release(rest, version, [{"weight": weight, "bake_s": 1} for weight in WEIGHTS])
        rest.reach(identity, {"succeeded"}, WITHIN_S)
        count += len(WEIGHTS) + 2
        print(f"  release {number + 1} of {releases}: {count} shifts", file=sys.stderr, flush=True)
    return count


def measure(product: Product, releases: int) -> list[Row]:
    rest = Rest(product)
    rest.until_mirrored()
    rest.reach(release(rest, 1, []), {"succeeded"}, WITHIN_S)
    with Load(product, RATE_PER_S, ENDPOINT, "development", units=0) as load:
        time.sleep(1)
        count = shifts(rest, releases)
        stable = int(rest.get(f"/endpoints/development/{ENDPOINT}")["stable_version"])
        other = 3 - stable
        last = sorted(aborted(rest, load, other) for _ in range(ABORTS))
        error_pp, requests = split(rest, load, other)
        time.sleep(1)
    failed = [row for row in load.answers if row.status != 200]
    if failed:
        print(f"  first failures: {failed[:5]}", file=sys.stderr)
    return [
        Row("traffic shifts", count + 2 * ABORTS, "", None, 200),
        Row("requests", len(load.answers), ""),
        Row("failed requests", len(failed), "", 0),
        Row("decision to the last answer, median", last[len(last) // 2], "s"),
        Row("decision to the last answer, p99", last[-1], "s", LAST_ANSWER_BUDGET_S),
        Row(f"error of the split at {SPLIT_PCT} %, {requests} requests", error_pp, "pp", SPLIT_BUDGET_PP),
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--releases", type=int, default=RELEASES)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as folder,
        prepared(Path(folder), "--no-demo", "--gateway-processes", "2") as product,
    ):
        rows = measure(product, options.releases)
    hand_over(rows)


if __name__ == "__main__":
    main()
