"""The form of a new release: what exists is picked, what the policy asks for is filled in, nothing written is lost."""

import re
from typing import Any

import pytest
from django.http import HttpResponse
from django.urls import reverse

from deployments.release_defaults import VERSIONS_OFFERED, ReleaseDefaults, release_defaults
from registry.models import Alias, Policy, Version
from tests.deployments.world import START, World, make_model
from tests.support.live import signed_in

pytestmark = pytest.mark.usefixtures("data_dir")


@pytest.fixture
def world(people: Any) -> World:
    return World(people)


def defaults(world: World, model: str = "tumours", environment: str = "production") -> ReleaseDefaults:
    return release_defaults(world.people.emma.actor, model=model, environment=environment)


def value_of(answer: HttpResponse, name: str) -> str:
    """What a field of the form is filled with."""
    return str(answer.context["form"][name].value())  # type: ignore[attr-defined]


def test_defaults__served_model__its_endpoint_and_versions_with_what_is_known(world: World) -> None:
    world.serve(1)
    Alias.objects.create(model=world.model, name="challenger", version_number=2, seen_at=START)
    Version.objects.filter(number=3).update(status="FAILED_REGISTRATION")
    found = defaults(world)

    assert found.versions == [
        (3, "3 (failed registration)"),
        (2, "2 (challenger)"),
        (1, "1 (stable in production/clinic)"),
    ]
    assert (found.endpoints, found.of_model["endpoint"], found.of_model["version"]) == (["clinic"], "clinic", 3)


def test_defaults__model_without_endpoint__a_name_that_an_endpoint_may_have(world: World) -> None:
    make_model("Tumours (new)_model")
    found = defaults(world, model="Tumours (new)_model")

    assert (found.endpoints, found.of_model["endpoint"]) == ([], "tumours-new-model")


def test_defaults__policy__its_guardrails_strategies_and_first_share(world: World) -> None:
    Policy.objects.update(
        default_guardrails=[
            {"metric": "error_rate", "margin": 0.023},
            {"metric": "latency_over_slo", "slo_ms": 40, "margin": 0.07},
        ],
        allowed_strategies=["shadow", "canary"],
        max_first_weight_pct=5,
    )
    found = defaults(world)

    assert found.of_environment == {
        "endpoint": "tumours",
        "error_margin": 2.3,
        "slo_ms": 40,
        "slo_margin": 7.0,
        "weight_0": 5,
        "step_pct": 5,
        "kind": "shadow",
    }
    assert found.kinds == ["shadow", "canary"]
    assert found.note == "Filled in as production policy 1 asks."
    assert found.ruling.sentence == "Revision 1 of production rules it: no line of production is more specific."


@pytest.mark.parametrize(("model", "environment"), [("", ""), ("no-such-model", "no-such-place"), ("tumours", "")])
def test_defaults__unknown_or_not_chosen__nothing_is_offered_for_it(world: World, model: str, environment: str) -> None:
    found = defaults(world, model=model, environment=environment)

    assert (found.note, found.kinds) == ("", [])
    assert bool(found.versions) == (model == "tumours")


def test_defaults__place_that_the_person_may_not_see__nothing_of_it(world: World) -> None:
    world.serve(1)
    hidden = release_defaults(world.people.max.actor, model="tumours", environment="production")

    assert hidden.versions[-1] == (1, "1")
    assert (hidden.endpoints, hidden.note) == ([], "")


def test_defaults__very_many_versions__the_newest(world: World) -> None:
    Version.objects.bulk_create(
        Version(model=world.model, number=n, status="READY", created_at=START, updated_at=START) for n in range(4, 90)
    )
    found = defaults(world)

    assert len(found.versions) == VERSIONS_OFFERED
    assert found.versions[0] == (89, "89")


def test_form__from_a_cell_of_the_board__needs_no_typing(world: World) -> None:
    world.serve(1)
    emma = signed_in("emma")
    answer = emma.get(reverse("release-new"), {"model": "tumours", "environment": "production"})
    form = answer.context["form"]
    filled = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    with world.at():
        asked = emma.post(reverse("release-new"), filled)

    assert (value_of(answer, "version"), value_of(answer, "endpoint")) == ("3", "clinic")
    assert asked.status_code == 303, asked.content


def test_form__version_that_is_not_offered__is_not_lost(world: World) -> None:
    answer = signed_in("emma").get(reverse("release-new"), {"model": "tumours", "version": "77"})

    assert re.search(r'<option value="77" selected>', answer.content.decode())


def test_form__environment_chosen__policy_is_filled_in_and_what_was_written_stays(world: World) -> None:
    Policy.objects.update(default_guardrails=[{"metric": "error_rate", "margin": 0.02}])
    written = {
        "model": "tumours",
        "version": "2",
        "environment": "production",
        "reason": "my words",
        "error_margin": "9",
    }
    answer = signed_in("emma").post(
        reverse("release-form"), {**written, "weight_1": "33"}, headers={"HX-Trigger-Name": "environment"}
    )

    assert {name: value_of(answer, name) for name in ("version", "reason", "weight_1", "error_margin")} == {
        "version": "2",
        "reason": "my words",
        "weight_1": "33",
        "error_margin": "2.0",
    }
    assert "my words" in answer.content.decode()


def test_form__another_model_chosen__its_newest_version_and_its_endpoint(world: World) -> None:
    make_model("lungs", versions=2)
    written = {"model": "lungs", "version": "3", "endpoint": "clinic", "error_margin": "9"}
    answer = signed_in("emma").post(reverse("release-form"), written, headers={"HX-Trigger-Name": "model"})

    assert {name: value_of(answer, name) for name in ("version", "endpoint", "error_margin")} == {
        "version": "2",
        "endpoint": "lungs",
        "error_margin": "9",
    }


def test_form__something_else_chosen__is_refused(world: World) -> None:
    answer = signed_in("emma").post(reverse("release-form"), {}, headers={"HX-Trigger-Name": "reason"})

    assert answer.status_code == 400
