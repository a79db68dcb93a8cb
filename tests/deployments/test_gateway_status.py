"""What gateways said of themselves, on the pages of gateways and endpoints."""

from datetime import timedelta

from django.urls import reverse

from deployments.models import GatewayState
from deployments.processes.gateway_status import arms_traffic, gateway_processes
from mlorch_site.lib import clock
from registry.models import Environment
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


def reported(name: str, endpoint: str, *, ago_s: float = 0, boot: str = "b", **stats: object) -> GatewayState:
    """Store a gateway's report."""
    seen = clock.now() - timedelta(seconds=ago_s)
    lanes = [{**LANE, "endpoint": endpoint}, {**LANE, "endpoint": "another"}]
    fields = {"boot": boot, "applied": {"production": 0}, "stats": {"lanes": lanes, **stats}}
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
    reported("gateway-2", "e", ago_s=60)
    first, second = gateway_processes(clock.now(), Environment.objects.all())

    assert (first.is_live, second.is_live) == (True, False)
    assert first.started_at is not None
    assert second.started_at is None


def test_gateway_processes__two_of_one_gateway__the_older_one_hands_over(world: World) -> None:
    reported("gateway-1", "e", boot="old", ago_s=2)
    reported("gateway-1", "e", boot="new")
    page = signed_in("vik").get(reverse("gateways")).content

    assert [process.is_leaving for process in gateway_processes(clock.now(), Environment.objects.all())] == [
        True,
        False,
    ]
    assert page.count(b"handing over") == 1
    assert page.count(b'id="gateway-2"') == 1


def test_pages__gateway_that_says_nothing_of_itself__are_shown(world: World) -> None:
    world.serve()
    endpoint = world.endpoint
    now = clock.now()
    GatewayState.objects.create(gateway="old", boot="b", first_seen_at=now, last_seen_at=now)
    client = signed_in("vik")
    place = {"environment": endpoint.environment.name, "name": endpoint.name}

    assert b"old" in client.get(reverse("gateways")).content
    assert b"No gateway serves this endpoint yet." in client.get(reverse("endpoint", kwargs=place)).content


def test_page_of_gateways__nobody_reported__says_what_to_do(world: World) -> None:
    client = signed_in("vik")

    assert b"scripts/up" in client.get(reverse("gateways")).content
