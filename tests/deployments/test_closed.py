"""An environment that is closed by a window: releases wait and say until when, rollbacks do not wait."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse

from deployments.models import Release
from deployments.services import endpoint_rollback, release_abort, release_pause, release_promote, release_resume
from mlorch_site.lib.errors import Conflict
from registry.policy_lines import PolicyLine
from registry.selectors import why_closed
from registry.services import draft_create, policy_revise
from tests.deployments.test_preview_and_selectors import preview
from tests.deployments.world import World
from tests.support.live import signed_in

pytestmark = pytest.mark.usefixtures("data_dir")
FROZEN = "Frozen: Stocktaking (revision 2 of production)"


@pytest.fixture
def world(people: Any) -> World:
    return World(people)


def freeze(world: World, *, minutes: int, when_closed: str = "go_on") -> None:
    """Close the environment from now on."""
    starts = f"{world.now:%Y-%m-%dT%H:%M:%S}"
    window = {"kind": "freeze", "name": "Stocktaking", "zone": "UTC", "starts": starts, "minutes": minutes}
    with world.at():
        policy_revise(
            actor=world.people.ada.actor, environment=world.environment, windows=[window], when_closed=when_closed
        )


def test_release__approved_while_it_is_closed__waits_and_begins_when_it_opens(world: World) -> None:
    world.serve(1)
    freeze(world, minutes=1)
    opens = world.now + timedelta(minutes=1)
    release = world.request(2)
    world.tick(3)
    release.refresh_from_db()

    assert release.status == "approved"
    assert release.status_reason == f"{FROZEN}. It opens at {opens:%Y-%m-%d %H:%M} UTC."
    world.until(release, "rolling_out", most_s=70)
    assert world.now >= opens


def test_rollout__that_runs_when_it_closes__goes_on(world: World) -> None:
    world.serve(1)
    release = world.request(2)
    world.until(release, "rolling_out")
    freeze(world, minutes=600)

    assert world.until(release, "succeeded").status == "succeeded"
    assert world.weights == {"2": 100}


def test_rollback__while_it_is_closed__does_not_wait(world: World) -> None:
    world.serve(1)
    second = world.serve(2)
    freeze(world, minutes=600)
    with world.at():
        release = endpoint_rollback(
            actor=world.people.mona.actor, endpoint=world.endpoint, expects=str(second.pk), reason="bad"
        )

    assert world.until(release, "succeeded").status == "succeeded"
    assert world.weights == {"1": 100}


def test_pages__while_it_is_closed__say_so_before_anything_is_asked_for(world: World) -> None:
    world.serve(1)
    freeze(world, minutes=60)
    told = preview(world)
    with world.at():
        first = signed_in("vik").get(reverse("overview")).content.decode()
        page = signed_in("vik").get(reverse("environment", args=["production"])).content.decode()

    assert any(warning.startswith(f"{FROZEN}. It opens at ") for warning in told.warnings)
    assert f"{FROZEN}. It opens at " in first
    assert f"{FROZEN}. It opens at " in page
    assert "Stocktaking: no rollout begins from " in page


HELD = "Held: freeze Stocktaking (revision 2 of production) until "


def rolling(world: World, **changes: Any) -> Release:
    """A rollout of version 2 with its first share of traffic."""
    world.serve(1)
    release = world.request(2, **changes)
    world.tick(6)
    assert world.weights["2"] == 10
    return release


def test_rollout__held_by_a_freeze__keeps_its_weight_and_goes_on_by_itself(world: World) -> None:
    release = rolling(world)
    freeze(world, minutes=5, when_closed="hold")
    opens = world.now + timedelta(minutes=5)
    world.tick(15)
    world.now += timedelta(minutes=3)
    world.tick(2)
    release.refresh_from_db()

    assert (release.status, world.weights["2"]) == ("rolling_out", 10)
    assert release.rollout.waiting_for == f"{HELD}{opens:%Y-%m-%d %H:%M} UTC."
    assert release.rollout.held_at is not None
    assert release.rollout.deadline_at < world.now, "the clock would have run out"
    world.now = opens - timedelta(seconds=2)
    world.until(release, "succeeded", most_s=40)
    kinds = list(release.events.filter(kind__in=["rollout.held", "rollout.open_again"]).values_list("kind", flat=True))
    assert kinds == ["rollout.held", "rollout.open_again"]


def test_rollout__held__harm_takes_it_back_at_once(world: World) -> None:
    release = rolling(world)
    freeze(world, minutes=600, when_closed="hold")
    world.tick(20)
    world.errors = {"2": 0.9}

    assert "Harmful" in world.until(release, "rolled_back", most_s=30).status_reason
    assert world.weights == {"1": 100}


@pytest.mark.parametrize("by", ["abort", "rollback"])
def test_rollout__held__a_person_takes_it_back_and_nobody_promotes(world: World, by: str) -> None:
    release = rolling(world)
    freeze(world, minutes=600, when_closed="hold")
    world.tick(20)
    with world.at():
        with pytest.raises(Conflict, match=f"{re.escape(HELD)}.* Nobody promotes"):
            release_promote(actor=world.people.mona.actor, release=release, reason="urgent")
        page = signed_in("mona").get(reverse("release", args=[release.pk])).content.decode()
        if by == "abort":
            release_abort(actor=world.people.emma.actor, release=release, reason="no")
        else:
            endpoint_rollback(
                actor=world.people.emma.actor, endpoint=world.endpoint, expects=str(release.pk), reason="no"
            )

    windows = '[^<]*<a href="/environments/production/">Windows of production'
    assert re.search(rf'id="why-promote">{re.escape(HELD)}{windows}', page)
    world.until(release, {"abort": "aborted", "rollback": "rolled_back"}[by], most_s=10)


def test_rollout__paused_while_held__time_of_both_counts_once(world: World) -> None:
    release = rolling(world)
    before = release.rollout.deadline_at
    freeze(world, minutes=4, when_closed="hold")
    world.tick(10)
    with world.at():
        release_pause(actor=world.people.emma.actor, release=release)
    world.tick(10)
    with world.at():
        release_resume(actor=world.people.emma.actor, release=release)
    world.tick(10)
    release.rollout.refresh_from_db()

    assert release.rollout.step == Release.objects.get(pk=release.pk).rollout.step
    effective = release.rollout.deadline_at + (world.now - release.rollout.held_at)
    assert timedelta(seconds=27) <= effective - before <= timedelta(seconds=31)


def test_first_release__held_before_any_traffic__begins_to_serve_when_it_opens(world: World) -> None:
    world.platform.broken = {1: "backoff"}
    release = world.request(1, strategy={"kind": "immediate"})
    world.tick(2)
    freeze(world, minutes=1, when_closed="hold")
    opens = world.now + timedelta(minutes=1)
    world.platform.broken = {}
    world.tick(5)
    release.refresh_from_db()

    assert (release.status, release.rollout.phase) == ("rolling_out", "starting")
    world.now = opens
    assert world.until(release, "succeeded").status == "succeeded"


def own_line(world: World, **changes: Any) -> None:
    """A line for the model of the world, which rules it."""
    with world.at():
        policy_revise(actor=world.people.ada.actor, environment=world.environment, model=world.model, **changes)


def test_freeze_of_the_environment__model_with_a_line_of_its_own__is_frozen_too(world: World) -> None:
    world.serve(1)
    own_line(world)
    starts = f"{world.now:%Y-%m-%dT%H:%M:%S}"
    window = {"kind": "freeze", "name": "Christmas", "zone": "UTC", "starts": starts, "minutes": 60}
    office = {**window, "kind": "release", "name": "Night", "minutes": 1, "starts": "2027-01-01T00:00"}
    with world.at():
        policy_revise(actor=world.people.ada.actor, environment=world.environment, windows=[window, office])
    release = world.request(2)
    world.tick(3)
    release.refresh_from_db()
    line = PolicyLine(world.environment, world.model)
    with world.at():
        draft = draft_create(actor=world.people.ada.actor, line=line, values={"windows": []}, note="off")
        page = signed_in("ada").get(f"/policies/drafts/{draft.pk}/").content.decode()
        own = signed_in("ada").get("/policies/production/2/").content.decode()

    assert release.status == "approved"
    assert release.status_reason.startswith("Frozen: Christmas (revision 3 of production). It opens at ")
    assert "Freezes of broader lines, which apply here whatever it says" in page
    assert "by revision 3 of production</li>" in page
    assert "The freezes of revision 3 of production apply here too" in page
    assert "The freezes of revision 3 of production apply here too" in own
    world.now += timedelta(minutes=60)
    # Its release windows are of the environment's own line alone.
    assert world.until(release, "rolling_out", most_s=20).status == "rolling_out"


def test_freezes_of_two_lines__one_holds__held_until_that_one_ends(world: World) -> None:
    release = rolling(world)
    starts, opens = f"{world.now:%Y-%m-%dT%H:%M}", world.now.replace(second=0) + timedelta(minutes=4)
    window = {"kind": "freeze", "name": "Long", "zone": "UTC", "starts": starts, "minutes": 600}
    own_line(world, windows=[{**window, "name": "Short", "minutes": 4}], when_closed="hold")
    with world.at():
        policy_revise(
            actor=world.people.ada.actor, environment=world.environment, windows=[window], when_closed="go_on"
        )
    world.tick(15)
    release.rollout.refresh_from_db()
    with world.at():
        said = why_closed(world.environment, world.now, world.model)
        page = signed_in("vik").get(reverse("environment", args=["production"])).content.decode()

    short = "Short (revision 2 of production for model tumours)"
    both = f"Frozen: Long (revision 3 of production) and {short}."
    assert release.rollout.waiting_for == f"Held: freeze {short} until {opens:%Y-%m-%d %H:%M} UTC."
    assert said.startswith(both)
    assert f"For model tumours: {both}" in page
    world.now = opens
    world.until(release, "succeeded", most_s=60)
