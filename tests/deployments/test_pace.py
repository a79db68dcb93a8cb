"""What the ladder says of the time that is left."""

from django.urls import reverse

from deployments.models import Release
from deployments.pace import pace_of
from deployments.services import release_pause
from tests.deployments.world import CANARY, World
from tests.support.live import signed_in


def said(world: World, release: Release) -> str:
    release = Release.objects.get(pk=release.pk)
    return pace_of(release, release.rollout, world.now)


def baking(world: World, seconds: int, strategy: dict | None = None) -> Release:
    """A rollout that has watched its first share for so many seconds."""
    world.serve()
    release = world.request(2, strategy=strategy or CANARY)
    for _ in range(60):
        world.tick()
        if Release.objects.filter(pk=release.pk, rollout__phase="baking").exists():
            break
    world.tick(seconds)
    return release


def test_pace__a_share_is_watched__says_what_comes_when_and_when_it_can_be_over(world: World) -> None:
    release = baking(world, 4)
    assert said(world, release) == "Next: 50 % of traffic, in 6 s. Promoted in 16 s at the earliest."


def test_pace__the_time_is_over_and_requests_are_missing__is_not_below_zero(world: World) -> None:
    world.rate = 0
    release = baking(world, 30)
    assert said(world, release).startswith("Next: 50 % of traffic, as soon as it may.")


def test_pace__a_person_promotes__is_what_it_waits_for(world: World) -> None:
    release = baking(world, 0, {**CANARY, "hold": True})
    assert said(world, release).endswith("A person promotes.")


def test_pace__paused_or_over__says_nothing(world: World) -> None:
    release = baking(world, 0)
    with world.at():
        release_pause(actor=world.people.mona.actor, release=Release.objects.get(pk=release.pk), reason="look")
    assert said(world, release) == ""
    assert pace_of(release, None, world.now) == ""


def test_page__of_a_release_that_moves__shows_it(world: World) -> None:
    release = baking(world, 4)
    with world.at():
        page = signed_in("emma").get(reverse("release", args=[release.pk])).content.decode()
    assert "Promoted in 16 s at the earliest." in page
