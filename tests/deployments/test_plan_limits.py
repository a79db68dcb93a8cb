"""What a policy asks of plans: refused at the field, on the page too, and the form is filled in so as to keep it."""

from types import SimpleNamespace

import pytest
from django.urls import reverse

from deployments.lifecycle import StrategyKind
from deployments.plan_limits import can_be_kind, guardrails_problems, steps_problems
from deployments.release_defaults import release_defaults
from deployments.rollout.strategies import compile_strategy
from mlorch_site.lib.errors import Invalid
from registry.models import Policy
from registry.policy_fields import check_policy
from tests.deployments.test_preview_and_selectors import preview
from tests.deployments.world import World
from tests.support.live import signed_in

NONE = {
    "allowed_strategies": [],
    "max_first_weight_pct": 100,
    "bake_s_min": 0,
    "requests_min": 0,
    "hold_required": False,
    "margins_max": {},
}
CANARY = {"kind": "canary", "steps": [{"weight": 10, "bake_s": 60, "min_requests": 9}, {"weight": 50, "bake_s": 9}]}
SHADOW = {"kind": "shadow", "bake_s": 9, "min_requests": 99, "steps": [{"weight": 50, "bake_s": 60}], "hold": False}
BLUE_GREEN = {"kind": "blue_green", "bake_s": 9}
LINEAR = {"kind": "linear", "step_pct": 25, "bake_s": 9}
IMMEDIATE = {"kind": "immediate"}


def problems(strategy, **limits) -> dict[str, str]:
    asked = SimpleNamespace(**{**NONE, **limits})
    return steps_problems(strategy, compile_strategy(strategy), asked, "production")


@pytest.mark.parametrize(
    ("strategy", "limits", "fields"),
    [
        (CANARY, {}, set()),
        (CANARY, {"bake_s_min": 60}, {"strategy.steps[1].bake_s"}),
        (CANARY, {"requests_min": 5}, {"strategy.steps[1].min_requests"}),
        (SHADOW, {"bake_s_min": 60}, {"strategy.bake_s"}),
        (SHADOW, {"requests_min": 99}, {"strategy.steps[0].min_requests"}),
        (BLUE_GREEN, {"bake_s_min": 60, "requests_min": 1}, {"strategy.bake_s", "strategy.min_requests"}),
        (LINEAR, {}, set()),
        (LINEAR, {"bake_s_min": 60, "requests_min": 1}, {"strategy.bake_s", "strategy.min_requests"}),
        (LINEAR, {"max_first_weight_pct": 20}, {"strategy.step_pct"}),
        (LINEAR, {"hold_required": True}, {"strategy.hold"}),
        (IMMEDIATE, {"bake_s_min": 1}, {"strategy.kind"}),
        (IMMEDIATE, {"requests_min": 1, "hold_required": True}, {"strategy.kind"}),
        (CANARY, {"hold_required": True}, {"strategy.hold"}),
        ({**CANARY, "hold": True}, {"hold_required": True}, set()),
        (SHADOW, {"hold_required": True}, {"strategy.hold"}),
        (BLUE_GREEN, {"hold_required": True}, {"strategy.hold"}),
        ({**BLUE_GREEN, "hold": True}, {"hold_required": True}, set()),
        (BLUE_GREEN, {"max_first_weight_pct": 50}, {"strategy.steps[0].weight"}),
        (CANARY, {"allowed_strategies": ["shadow"]}, {"strategy.kind"}),
    ],
)
def test_steps__against_limits__blamed_at_the_field(strategy, limits, fields):
    assert set(problems(strategy, **limits)) == fields


def test_steps__sentence__says_what_is_asked_and_what_was_written():
    assert problems(CANARY, bake_s_min=3600) == {
        "strategy.steps[0].bake_s": "In production each step is watched for 3,600 s at least, not 60 s.",
        "strategy.steps[1].bake_s": "In production each step is watched for 3,600 s at least, not 9 s.",
    }


@pytest.mark.parametrize(
    ("guardrails", "found"),
    [
        ([], {"guardrails.error_rate": "with a margin of 1 percentage points at most"}),
        ([{"metric": "error_rate", "margin": 0.01}], {}),
        (
            [{"metric": "latency_over_slo", "slo_ms": 9.0, "margin": 0.5}, {"metric": "error_rate", "margin": 0.02}],
            {"guardrails[1].margin": "not 2."},
        ),
    ],
)
def test_guardrails__widest_margin__one_must_be_there_and_none_wider(guardrails, found):
    limits = SimpleNamespace(**{**NONE, "margins_max": {"error_rate": 0.01}})
    told = guardrails_problems(guardrails, limits, "production")

    assert set(told) == set(found)
    assert all(found[field] in told[field] for field in told)


@pytest.mark.parametrize("asked", [{"hold_required": True}, {"bake_s_min": 5}, {"requests_min": 1}])
def test_policy__no_plan_could_keep_to_it__refused(asked):
    with pytest.raises(Invalid, match="immediate alone watches nothing"):
        check_policy({"allowed_strategies": ["immediate"], **asked})
    check_policy({"allowed_strategies": ["immediate", "canary"], **asked})


@pytest.fixture
def strict(people, data_dir) -> World:
    """An environment that serves something, and asks for much."""
    world = World(people)
    world.serve(1)
    Policy.objects.update(
        bake_s_min=90, requests_min=150, hold_required=True, margins_max={"error_rate": 0.005, "latency_over_slo": 0.2}
    )
    return world


def test_request__that_falls_short__every_problem_at_its_field_in_the_preview(strict):
    told = preview(strict, strategy=CANARY, guardrails=[{"metric": "error_rate", "margin": 0.1}])

    assert set(told.problems) == {
        "strategy.steps[0].bake_s",
        "strategy.steps[0].min_requests",
        "strategy.steps[1].bake_s",
        "strategy.steps[1].min_requests",
        "strategy.hold",
        "guardrails[0].margin",
        "guardrails.latency_over_slo",
    }


@pytest.mark.parametrize("kinds", [[], ["blue_green"], ["linear"], ["immediate", "shadow"]])
def test_form__as_it_is_filled_in__keeps_to_the_policy(strict, kinds):
    Policy.objects.update(allowed_strategies=kinds)
    emma = signed_in("emma")
    form = emma.get(reverse("release-new"), {"model": "tumours", "environment": "production"}).context["form"]
    filled = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    with strict.at():
        asked = emma.post(reverse("release-new"), filled)

    assert asked.status_code == 303, asked.context["form"].errors


def test_form__filled_in_otherwise__errors_stand_at_their_fields_and_nothing_is_lost(strict):
    emma = signed_in("emma")
    form = emma.get(reverse("release-new"), {"model": "tumours", "environment": "production"}).context["form"]
    filled = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    # The first row is empty, so that the second row of the form is the first step of the plan.
    wrong = {**filled, "weight_0": "", "bake_1": "5", "error_margin": "7", "slo_margin": "", "reason": "my words"}
    wrong.pop("hold")
    answer = emma.post(reverse("release-new"), wrong)
    errors, page = answer.context["form"].errors, answer.content.decode()

    assert set(errors) == {"bake_1", "hold", "error_margin", "slo_margin"}
    assert all(text in page for told in errors.values() for text in told)
    assert "my words" in page


@pytest.mark.parametrize(
    ("limits", "kinds"),
    [
        ({}, {"canary", "linear", "shadow", "blue_green", "immediate"}),
        ({"hold_required": True}, {"canary", "linear", "shadow", "blue_green"}),
        ({"max_first_weight_pct": 20}, {"canary", "linear", "shadow"}),
        ({"max_first_weight_pct": 4}, {"canary", "shadow"}),
        ({"allowed_strategies": ["blue_green"]}, {"blue_green"}),
    ],
)
def test_can_be_kind__limits__the_kinds_that_can_keep_to_them(limits, kinds):
    found = SimpleNamespace(**{**NONE, **limits})
    assert {kind.value for kind in StrategyKind if can_be_kind(kind, found)} == kinds


def test_defaults__policy_that_asks_for_less_than_the_form__changes_nothing(strict):
    Policy.objects.update(bake_s_min=10, requests_min=0, hold_required=False, margins_max={"error_rate": 0.3})
    found = release_defaults(strict.people.emma.actor, model="tumours", environment="production")
    assert found.of_environment == {"endpoint": "clinic"}


def test_rest__preview_and_request__tell_the_same_problems(strict):
    body = {"model": "tumours", "version": 2, "environment": "production", "endpoint": "clinic"}
    body |= {"strategy": CANARY, "guardrails": [{"metric": "error_rate", "margin": 0.1}]}
    emma = signed_in("emma")
    told = emma.post("/api/v1/releases/preview", body, content_type="application/json").json()
    refused = emma.post("/api/v1/releases", body, content_type="application/json")

    assert refused.status_code == 400
    assert refused.json()["error"]["details"] == told["problems"]
    assert told["problems"]["strategy.steps[1].bake_s"].endswith("90 s at least, not 9 s.")
    assert (told["rules"], [step["kind"] for step in told["steps"]][:2]) == ([], ["start", "weight"])
