"""What gateways said of themselves, on the pages of gateways and endpoints."""

from datetime import timedelta

import pytest
from django.urls import reverse

from deployments.models import GatewayState
from deployments.traffic import arms_traffic, gateway_processes
from mlorch_site.lib import clock
from tests.deployments.world import World
from tests.support.live import signed_in

LANE = {
    "environment": "production",
    "arm": "stable",
    "version": "1",
    "queued": 2,
    "in_flight": {"r-1": 3},
    "batch_sizes": {"1": 10, "8": 30},
    "retries": 1,
    "clients_gone": 4,
    "deadlines_exceeded": 5,
    "ejected": {"r-2": 1790000000.0},
}


def reported(name: str, endpoint: str, *, ago_s: float = 0, **stats: object) -> GatewayState:
    """Store a gateway's report."""
    seen = clock.now() - timedelta(seconds=ago_s)
    lanes = [{**LANE, "endpoint": endpoint}, {**LANE, "endpoint": "another"}]
    fields = {"boot": "b", "applied": {"production": 0}, "stats": {"lanes": lanes, **stats}}
    return GatewayState.objects.create(gateway=name, first_seen_at=seen, last_seen_at=seen, **fields)


def test_arms_traffic__two_gateways__added_up(world: World) -> None:
    world.serve()
    endpoint = world.endpoint
    told = [reported("gateway-1", endpoint.name), reported("gateway-2", endpoint.name)]
    (arm,) = arms_traffic(endpoint, told)

    assert (arm.arm, arm.version, arm.queued, arm.in_flight) == ("stable", "1", 4, {"r-1": 6})
    assert (arm.retries, arm.clients_gone, arm.deadlines_exceeded, arm.ejected) == (2, 8, 10, {"r-2"})
    assert arm.bars == [("1", 20, 33), ("5–8", 60, 100)]


def test_gateway_processes__not_heard_within_the_lease__is_not_live(world: World) -> None:
    reported("gateway-1", "e", started_at=1790000000.0)
    reported("gateway-2", "e", ago_s=60, started_at="yesterday")
    first, second = gateway_processes(clock.now())

    assert (first.is_live, second.is_live) == (True, False)
    assert first.started_at is not None
    assert second.started_at is None


@pytest.mark.parametrize("stats", [{}, {"lanes": "many"}])
def test_pages__gateway_of_an_older_version__are_shown(world: World, stats: dict[str, object]) -> None:
    world.serve()
    endpoint = world.endpoint
    now = clock.now()
    GatewayState.objects.create(gateway="old", boot="b", stats=stats, first_seen_at=now, last_seen_at=now)
    client = signed_in("vik")
    place = {"environment": endpoint.environment.name, "name": endpoint.name}

    assert b"old" in client.get(reverse("gateways")).content
    assert b"No gateway serves this endpoint yet." in client.get(reverse("endpoint", kwargs=place)).content


def test_page_of_gateways__nobody_reported__says_what_to_do(world: World) -> None:
    client = signed_in("vik")

    assert b"scripts/up" in client.get(reverse("gateways")).content
