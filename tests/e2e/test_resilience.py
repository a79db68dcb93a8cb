"""One process after the other is killed in the middle of a rollout: it goes on, and the gateway keeps answering."""

import time

import pytest

from tests.e2e.client import Load, Rest
from tests.support.product import Product
from tests.support.waiting import PATIENCE_S, until

pytestmark = pytest.mark.e2e

ENDPOINT = "resilient"
SLOW_CANARY = {"kind": "canary", "steps": [{"weight": 20, "bake_s": 45}, {"weight": 50, "bake_s": 5}]}
VICTIMS = ("web", "control", "work", "beat", "broker", "agent", "gateway-1")


def test_kill_9__any_process_in_a_rollout__it_goes_on_and_is_promoted(product: Product, rest: Rest) -> None:
    first = rest.request(1, {"kind": "immediate"}, endpoint=ENDPOINT)
    rest.approve(first.body["id"])
    rest.reach(first.body["id"], {"succeeded"})
    with Load(product, 40, ENDPOINT) as load:
        answer = rest.request(2, SLOW_CANARY, endpoint=ENDPOINT)
        assert answer.status == 201, answer
        release = answer.body["id"]
        rest.approve(release)
        rest.reach(release, {"rolling_out"})
        until(lambda: any(row.version == "2" for row in load.answers), "the candidate answers")
        for victim in VICTIMS:
            kill_and_wait(product, load, victim)
        rest.reach(release, {"succeeded"}, 5 * PATIENCE_S)
        load.go_on()
        assert load.answers[-1].version == "2"


def kill_and_wait(product: Product, load: Load, victim: str) -> None:
    """Kill one process, wait until it is back, and see that requests were answered all the while (but for the gateway's
    own end).
    """
    before = product.process_named(victim)
    began = time.time()
    product.kill(victim)

    def back() -> bool:
        now = product.process_named(victim)
        return now["pid"] != before["pid"] and now["state"] == "ready"

    until(back, f"{victim} is back")
    load.go_on()
    seen = load.since(began)
    lost = [row for row in seen if row.status != 200]
    if victim.startswith("gateway"):
        assert load.answers[-1].status == 200
        assert len(lost) < len(seen)
    else:
        assert not lost, f"after the end of {victim}: {lost[:5]}"
