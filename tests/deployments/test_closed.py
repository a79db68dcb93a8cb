"""An environment that is closed by a window: releases wait and say until when, rollbacks do not wait."""

from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse

from deployments.services import endpoint_rollback
from registry.services import policy_revise
from tests.deployments.test_preview_and_selectors import preview
from tests.deployments.world import World
from tests.support.live import signed_in

pytestmark = pytest.mark.usefixtures("data_dir")


@pytest.fixture
def world(people: Any) -> World:
    return World(people)


def freeze(world: World, *, minutes: int) -> None:
    """Close the environment from now on."""
    starts = f"{world.now:%Y-%m-%dT%H:%M:%S}"
    window = {"kind": "freeze", "name": "Stocktaking", "zone": "UTC", "starts": starts, "minutes": minutes}
    with world.at():
        policy_revise(actor=world.people.ada.actor, environment=world.environment, windows=[window])


def test_release__approved_while_it_is_closed__waits_and_begins_when_it_opens(world: World) -> None:
    world.serve(1)
    freeze(world, minutes=1)
    opens = world.now + timedelta(minutes=1)
    release = world.request(2)
    world.tick(3)
    release.refresh_from_db()

    assert release.status == "approved"
    assert release.status_reason == f"Frozen: Stocktaking. It opens at {opens:%Y-%m-%d %H:%M} UTC."
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

    assert any(warning.startswith("Frozen: Stocktaking. It opens at ") for warning in told.warnings)
    assert "Frozen: Stocktaking. It opens at " in first
    assert "Frozen: Stocktaking. It opens at " in page
    assert "Stocktaking: no rollout begins from " in page
