"""A policy leaves pausing, promoting, aborting and rolling back to some of the roles that can."""

import re
from typing import Any

import pytest
from django.urls import reverse

from deployments.models import Release
from deployments.selectors import held_for
from deployments.services import (
    endpoint_rollback,
    release_abort,
    release_pause,
    release_promote,
    release_resume,
)
from mlorch_site.accounts.models import RoleBinding, User
from mlorch_site.accounts.roles import Role
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib.errors import Forbidden, Invalid
from registry.models import Policy
from registry.operators import operators_lost
from registry.services import policy_revise
from tests.deployments.world import World
from tests.factories import take_role
from tests.support.live import signed_in

pytestmark = pytest.mark.usefixtures("data_dir")

MANAGERS = {operation: ["release_manager"] for operation in ("pause", "promote", "abort", "rollback")}


@pytest.fixture
def world(people: Any) -> World:
    return World(people)


@pytest.fixture
def rolling(world: World) -> Release:
    """A rollout that was requested under a policy which leaves everything to release managers."""
    world.serve(1)
    Policy.objects.update(operators=MANAGERS)
    release = world.request(2)
    world.tick(6)
    return release


def test_controls__role_that_is_not_named__refused_with_the_policy_s_name(world: World, rolling: Release) -> None:
    refused = r"production policy 1 leaves it to Release manager to .*, and you are not\."
    with world.at():
        for actor in (world.people.emma.actor, world.people.ada.actor):
            for service in (release_pause, release_resume, release_abort):
                with pytest.raises(Forbidden, match=refused):
                    service(actor=actor, release=rolling, reason="so")
        with pytest.raises(Forbidden, match=refused):
            release_promote(actor=world.people.ada.actor, release=rolling, reason="so")
        with pytest.raises(Forbidden, match=refused):
            endpoint_rollback(
                actor=world.people.oscar.actor, endpoint=world.endpoint, expects=str(rolling.pk), reason="so"
            )
        release_pause(actor=world.people.mona.actor, release=rolling)
        release_resume(actor=world.people.mona.actor, release=rolling)
        release_abort(actor=world.people.mona.actor, release=rolling)

    assert world.until(rolling, "aborted", most_s=10)


def test_rollout__policy_changed_since__asks_the_one_it_was_requested_under(world: World, rolling: Release) -> None:
    with world.at():
        policy_revise(actor=world.people.ada.actor, environment=world.environment, operators={})
        with pytest.raises(Forbidden, match="production policy 1 leaves it"):
            release_pause(actor=world.people.emma.actor, release=rolling)
        # Rolling the endpoint back asks the one in force.
        endpoint_rollback(actor=world.people.emma.actor, endpoint=world.endpoint, expects=str(rolling.pk), reason="so")

    assert world.until(rolling, "rolled_back", most_s=10)


def test_requester__before_the_rollout__takes_the_own_release_back_all_the_same(people: Any) -> None:
    world = World(people, rules=[{"role": "reviewer", "count": 1}])
    Policy.objects.update(operators=MANAGERS)
    release = world.request(1)
    with world.at():
        with pytest.raises(Forbidden):
            release_abort(actor=people.oscar.actor, release=release, reason="no")
        assert release_abort(actor=people.emma.actor, release=release, reason="no").status == "aborted"


@pytest.mark.parametrize("by", ["role taken", "switched off"])
def test_rollback_and_abort__nobody_is_left_who_is_named__nobody_is_kept_from_them(
    world: World, rolling: Release, by: str
) -> None:
    if by == "role taken":
        take_role(world.people.ada.actor, world.people.mona.user, Role.RELEASE_MANAGER)
        told = AuditRecord.objects.get(action="role.unbound").data["consequences"]
        assert any(
            "nobody could roll back there; until somebody is, everybody whose role allows it can" in s for s in told
        )
        assert any(sentence.endswith("nobody could promote there.") for sentence in told)
    else:
        User.objects.filter(username="mona").update(is_active=False)
    with world.at():
        with pytest.raises(Forbidden):
            release_pause(actor=world.people.emma.actor, release=rolling)
        release_abort(actor=world.people.emma.actor, release=rolling, reason="so")

    assert len(operators_lost()) == 4
    world.until(rolling, "aborted", most_s=10)


def test_rollback__somebody_named_for_another_model_only__is_nobody_here(world: World) -> None:
    world.serve(1)
    second = world.serve(2)
    Policy.objects.update(operators=MANAGERS)
    RoleBinding.objects.filter(user__username="mona").update(scope="model:lungs")
    with world.at():
        endpoint_rollback(actor=world.people.oscar.actor, endpoint=world.endpoint, expects=str(second.pk), reason="so")


@pytest.mark.parametrize(
    ("operators", "problem"),
    [
        ({"rollback": []}, "leave rollback out"),
        ({"rollback": ["reviewer"]}, "not known"),
        ({"stop": ["engineer"]}, "not known"),
        ({"rollback": ["risk_officer"]}, "nobody is Risk officer in production, so nobody could roll back there"),
    ],
)
def test_policy__list_that_is_empty_or_nobody_meets__refused_at_the_field(
    world: World, operators: Any, problem: str
) -> None:
    take_role(world.people.ada.actor, world.people.oscar.user, Role.RISK_OFFICER)
    with pytest.raises(Invalid, match=problem) as error:
        policy_revise(actor=world.people.ada.actor, environment=world.environment, operators=operators)
    assert set(error.value.details) == {"operators"}


def test_page__buttons__say_why_and_lead_to_the_policy(world: World, rolling: Release) -> None:
    page = signed_in("emma").get(reverse("release", args=[rolling.pk])).content.decode()
    endpoint = signed_in("emma").get(reverse("endpoint", args=["production", "clinic"])).content.decode()
    said = r'">production policy 1 leaves it to Release manager to [^<]*<a href="/environments/production/">'

    for name in ("pause", "abort", "rollback"):
        assert re.search(f'id="why-{name}{said}', page), name
    assert re.search(f'id="why-rollback{said}', endpoint)
    mona = signed_in("mona").get(reverse("release", args=[rolling.pk])).content.decode()
    assert 'class="why"' not in mona


def test_rest__refused__is_403_and_names_the_policy(world: World, rolling: Release) -> None:
    answer = signed_in("emma").post(f"/api/v1/releases/{rolling.pk}/pause", {}, content_type="application/json")

    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "not_operator"


def test_held_for__paused__only_of_those_who_may_go_on(world: World, rolling: Release) -> None:
    with world.at():
        release_pause(actor=world.people.mona.actor, release=rolling)

    assert len(held_for(world.people.mona.actor)) == 1
    assert held_for(world.people.emma.actor) == []
