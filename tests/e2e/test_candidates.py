"""What only a real gateway and real workers show of a candidate: copies that clients never notice, and a replica that
is gone.
"""

import json
import os
import signal
import sqlite3
from collections import Counter
from contextlib import closing
from typing import Any

import pytest

from dataplane.gateway.core.router import buckets_of
from dataplane.gateway.site.kept_tables import load
from tests.e2e.client import ROWS, Load, Rest, infer
from tests.support.product import Product
from tests.support.waiting import PATIENCE_S, until

pytestmark = pytest.mark.e2e

SHADOW = {"kind": "shadow", "mirror": 100, "bake_s": 8, "min_requests": 100, "min_agreement": 60}
WATCHED = {"kind": "canary", "steps": [{"weight": 50, "bake_s": 120}]}


def served(rest: Rest, endpoint: str) -> None:
    """Serve version 1 at a new endpoint."""
    first = rest.request(1, {"kind": "immediate"}, endpoint=endpoint)
    rest.approve(first.body["id"])
    rest.reach(first.body["id"], {"succeeded"})


def begun(rest: Rest, endpoint: str, strategy: dict[str, Any]) -> str:
    """Begin to roll version 2 out; return the release's id."""
    answer = rest.request(2, strategy, endpoint=endpoint)
    assert answer.status == 201, answer
    rest.approve(answer.body["id"])
    return str(answer.body["id"])


def workers(product: Product, endpoint: str) -> list[int]:
    """The process ids of the candidate's workers: the gateway's table names them, the agent wrote their processes
    down.
    """
    table = load(product.data_dir / "gateway" / "gateway-1" / "routes" / "production.json")
    (candidate,) = [arm for arm in table.endpoints[endpoint].arms if arm.arm == "candidate"]
    folder = product.data_dir / "run" / "agent"
    return [json.loads((folder / f"{replica.id}.json").read_bytes())["pid"] for replica in candidate.replicas]


def test_shadow__real_copies__compared_while_clients_get_the_stable_version_only(product: Product, rest: Rest) -> None:
    served(rest, "mirrored")
    with Load(product, 60, "mirrored") as traffic:
        release = begun(rest, "mirrored", SHADOW)

        def holding() -> bool:
            rollout = rest.get(f"/releases/{release}")["rollout"]
            return rollout is not None and rollout["phase"] == "holding"

        until(holding, "a person is waited for", within_s=2 * PATIENCE_S)
        seen = list(traffic.answers)
    compared = rest.get(f"/releases/{release}")["rollout"]["assessment"]["comparison"]
    arms = {arm["arm"]: arm for arm in rest.get("/endpoints/production/mirrored")["arms"]}

    assert {(row.status, row.version) for row in seen} == {(200, "1")}
    assert 0.6 < compared["agreed"] / compared["compared"] < 1, "two versions that are not the same model"
    assert compared["compared"] > 100
    assert (arms["candidate"]["weight_pct"], arms["candidate"]["mirror_pct"]) == (0, 100)
    rest.call("manager", "POST", f"/releases/{release}/promote", {"reason": "looked at"})
    rest.reach(release, {"succeeded"})


def test_candidate__one_of_two_replicas_killed__rollout_goes_back_and_says_why(product: Product, rest: Rest) -> None:
    served(rest, "halved")
    answer = rest.call(
        "manager", "PATCH", "/endpoints/production/halved/serving-config", {"replicas": 2, "reason": "two"}
    )
    assert answer.status == 200, answer
    with Load(product, 60, "halved") as traffic:
        release = begun(rest, "halved", WATCHED)
        until(
            lambda: any(row.version == "2" for row in traffic.answers), "the candidate answers", within_s=2 * PATIENCE_S
        )
        traffic.go_on()
        processes = workers(product, "halved")
        assert len(processes) == 2
        os.kill(processes[0], signal.SIGKILL)
        ended = rest.reach(release, {"rolled_back"})
        traffic.go_on()
        assert traffic.answers[-1].version == "1"

    told = ended["status_reason"]
    assert "could not use replica r-" in told or "1 of 2 replicas of the new version are still ready" in told, told


def unit_counts(product: Product, endpoint: str) -> Counter[tuple[str, int, str]]:
    """What the site has of each arm and evidence bucket."""
    (path,) = product.data_dir.glob("*.sqlite3")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        rows = database.execute(
            "SELECT arm, units FROM monitoring_window WHERE endpoint = ? AND units IS NOT NULL", [endpoint]
        ).fetchall()
    sums: Counter[tuple[str, int, str]] = Counter()
    for arm, units in rows:
        for bucket, (requests, errors, client_errors, *_) in json.loads(units)["buckets"].items():
            sums[arm, int(bucket), "requests"] += requests
            sums[arm, int(bucket), "errors"] += errors
            sums[arm, int(bucket), "client errors"] += client_errors
    return +sums


def test_units__some_fail_every_time__their_failures_are_in_their_buckets_and_nowhere_else(
    product: Product, rest: Rest
) -> None:
    served(rest, "sticky")
    answer = rest.request(
        2, WATCHED, endpoint="sticky", guardrails=[{"metric": "latency_over_slo", "slo_ms": 140, "margin": 0.9}]
    )
    release = answer.body["id"]
    rest.approve(release)

    def watched() -> bool:
        rollout = rest.get(f"/releases/{release}")["rollout"]
        return rollout is not None and rollout["phase"] == "baking"

    until(watched, "every gateway obeys the weights", within_s=2 * PATIENCE_S)
    good, bad = {"dataframe_records": ROWS.head(1).to_dict(orient="records")}, {"dataframe_records": "nothing"}
    wanted: Counter[tuple[str, int, str]] = Counter()
    for number in range(60):
        unit = f"person-{number % 12}"
        fails = number % 12 < 4
        path, body = "/production/endpoints/sticky/invocations", bad if fails else good
        told = infer(product, path, body, **{"X-Mlorch-Unit": unit})
        assert told.status == (400 if fails else 200), told
        place = told.headers["x-mlorch-arm"], buckets_of(release, unit)[1]
        wanted[*place, "requests"] += 1
        wanted[*place, "client errors"] += fails

    seen = lambda: unit_counts(product, "sticky")  # noqa: E731
    until(lambda: seen() == +wanted, "the site has every request in its bucket", seen=lambda: (seen(), wanted))
    assert {arm for arm, *_ in wanted} == {"stable", "candidate"}
