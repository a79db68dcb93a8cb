"""The way back with a gateway that does not obey: it ends by its deadline, loudly, and nothing the gateway still uses
is stopped.
"""

from deployments import limits
from deployments.models import ReleaseEvent, Replica
from registry.models import Finding
from tests.deployments.world import World


def harmful_with_a_refusing_gateway(world: World):
    world.serve(1)
    release = world.request(2)
    world.tick(6)
    assert world.weights["2"] == 10
    world.platform.refuses = "weights of clinic sum to 90"
    world.errors = {"2": 0.9}
    return release


def test_reverting__gateway_refuses__waits_until_the_deadline_with_the_reason(world):
    release = harmful_with_a_refusing_gateway(world)
    world.tick(limits.REVERT_DEADLINE_S - 20)
    release.refresh_from_db()

    assert release.status == "rolling_out"
    assert "refuses routes" in release.rollout.waiting_for
    assert release.rollout.deadline_at is not None


def test_reverting__gateway_refuses_past_the_deadline__ends_and_says_so_loudly(world):
    release = world.until(harmful_with_a_refusing_gateway(world), "rolled_back", most_s=limits.REVERT_DEADLINE_S + 20)
    warning = "Gateway fake-gateway refuses routes"

    assert "Harmful" in release.status_reason
    assert warning in release.status_reason
    assert "may still send requests to version 2" in release.status_reason
    assert ReleaseEvent.objects.get(release=release, kind="rollout.not_obeyed").sentence.startswith(warning)
    finding = Finding.objects.get(kind="gateway_does_not_obey")
    assert finding.model == world.model
    assert "clinic" in finding.summary


def test_reverting__ended_without_the_gateway__its_replicas_live_until_it_obeys(world):
    world.until(harmful_with_a_refusing_gateway(world), "rolled_back", most_s=limits.REVERT_DEADLINE_S + 20)
    world.tick(5)
    assert world.weights["2"] == 10, "the gateway serves from its last good table"
    assert Replica.objects.filter(version__number=2, wanted=True).exists()

    world.platform.refuses = ""
    world.tick(5)

    assert world.weights == {"1": 100}
    assert not Replica.objects.filter(version__number=2).exists()


def test_reverting__gateway_obeys_in_time__no_warning(world):
    release = harmful_with_a_refusing_gateway(world)
    world.tick(20)
    world.platform.refuses = ""
    world.until(release, "rolled_back")

    assert not Finding.objects.exists()
    assert "refuses" not in release.status_reason
