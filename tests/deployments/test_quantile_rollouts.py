"""A release with a guardrail on P95 is taken back when it is slower, and promoted when it is not."""

import pytest

from dataplane.wire.histogram import Histogram
from monitoring.models import Window
from tests.deployments.world import World

P95 = {"metric": "latency_p95", "margin_ms": 20}


class Paced(World):
    """Every second has latencies that spread around `pace_ms` of the version."""

    pace_ms: dict[str, float] = {}

    def _traffic(self) -> None:
        super()._traffic()
        for window in Window.objects.filter(start=self.now):
            pace = self.pace_ms.get(str(window.version), 40.0)
            spread = [
                pace * (0.5 + (place * 7 % window.requests) / window.requests) for place in range(window.requests)
            ]
            window.latency = histogram(spread)
            window.save()


def histogram(latencies: list[float]) -> dict[str, object]:

    found = Histogram()
    for latency in latencies:
        found.add(latency)
    return found.to_dict()


@pytest.fixture
def paced(people) -> World:
    return Paced(people, rate=200)


def test_p95__much_slower__is_taken_back_with_numbers_in_ms(paced: Paced):
    paced.serve(1)
    paced.pace_ms = {"2": 90.0}
    release = paced.until(paced.request(2, guardrails=[P95]), "rolled_back", most_s=60)
    (row,) = release.rollout.assessment["guardrails"]
    assert (row["verdict"], row["unit"], row["ground"]) == ("harmful", "ms", "evidence")
    assert row["candidate_value"] == pytest.approx(90 * 1.45, rel=0.05)
    assert row["interval_low"] > 0
    assert " ms" in release.rollout.assessment["sentence"]


def test_p95__alike__is_promoted(paced: Paced):
    paced.serve(1)
    release = paced.until(paced.request(2, guardrails=[P95]), "succeeded", most_s=300)
    (row,) = release.rollout.assessment["guardrails"]
    assert row["interval_high"] < 20
