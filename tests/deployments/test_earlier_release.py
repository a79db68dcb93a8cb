"""Request again: the form is filled in as a release that ended was requested, and says what it cannot carry."""

import json

import pytest
from django.urls import reverse

from deployments.earlier_release import asked_again
from deployments.models import Release
from deployments.services import release_abort
from deployments.services.watching import watched
from monitoring.services import OutcomeWish, outcome_define
from registry.models import Version
from tests.deployments.world import World
from tests.support.live import signed_in

CANARY = {"kind": "canary", "steps": [{"weight": 3 * n, "bake_s": 7, "min_requests": n} for n in range(1, 9)]}
GUARDRAILS = [
    {"metric": "error_rate", "margin": 0.023},
    {"metric": "latency_over_slo", "slo_ms": 40.0, "margin": 0.07},
]


@pytest.fixture
def world(people, data_dir) -> World:
    found = World(people)
    found.serve(1)
    return found


def ended(world: World, **wish) -> Release:
    """A release of version 2 that its requester ended."""
    release = world.request(2, **{"guardrails": GUARDRAILS, "reason": "better recall", **wish})
    with world.at():
        release_abort(actor=world.people.emma.actor, release=release, reason="a typo")
    return world.until(release, "aborted")


def filled_in(form) -> dict:
    """What a browser sends of the form as it is."""
    values = {name: form[name].value() for name in form.fields}
    return {name: value for name, value in values.items() if value is not None and value is not False}


def form_of(release: Release, person: str = "emma"):
    answer = signed_in(person).get(reverse("release-new"), {"like": str(release.pk)})
    return answer, answer.context["form"] if answer.status_code == 200 else None


@pytest.mark.parametrize(
    "strategy",
    [
        CANARY,
        {"kind": "canary", "steps": [{"weight": 10, "bake_s": 5, "min_requests": 0}], "hold": True},
        {"kind": "linear", "step_pct": 25, "bake_s": 9, "min_requests": 4},
        {"kind": "shadow", "mirror": 20, "min_agreement": 90, "bake_s": 9, "steps": [], "hold": True},
        {"kind": "blue_green", "bake_s": 12, "watch_s": 0},
        {"kind": "canary", "steps": [{"weight": 5, "bake_s": 5, "min_requests": 0}], "baseline": "fresh"},
        {"kind": "immediate"},
    ],
    ids=lambda strategy: f"{strategy['kind']} of {len(strategy)}",
)
def test_form__sent_as_it_is_filled_in__asks_for_the_same(world: World, strategy: dict) -> None:
    release = ended(world, strategy=strategy)
    _, form = form_of(release)
    filled = filled_in(form)
    with world.at():
        asked = signed_in("emma").post(reverse("release-new"), filled)

    again = Release.objects.exclude(pk=release.pk).latest("created_at")
    assert asked.status_code == 303, asked.context["form"].errors
    assert (again.strategy, again.guardrails) == (strategy, GUARDRAILS)
    assert (again.version, again.endpoint, again.reason) == (release.version, release.endpoint, "better recall")


def test_form__guardrails_without_a_field__are_kept_unless_they_are_let_go(world: World) -> None:
    more = [*GUARDRAILS, {"metric": "latency_over_slo", "slo_ms": 400.0, "margin": 0.01}]
    release = ended(world, guardrails=more)
    answer, form = form_of(release)
    assert form["slo_ms"].value() == 40
    assert "share of requests slower than 400 ms" in answer.content.decode()

    filled = filled_in(form)
    for keep, wanted in (({"keep": "on"}, more), ({}, GUARDRAILS)):
        sent = {name: value for name, value in filled.items() if name != "keep"} | keep
        with world.at():
            assert signed_in("emma").post(reverse("release-new"), sent).status_code == 303
        again = Release.objects.latest("created_at")
        assert again.guardrails == wanted
        with world.at():
            release_abort(actor=world.people.emma.actor, release=again)


@pytest.mark.parametrize("kept", ["{", "3", '[{"metric": "nonsense"}]', "[" * 5000, '["\\u0000"]'])
def test_form__kept_guardrails_that_are_none__are_refused_with_a_sentence(world: World, kept: str) -> None:
    form = {"model": "tumours", "version": 2, "environment": "production", "endpoint": "clinic", "kind": "immediate"}
    answer = signed_in("emma").post(reverse("release-new"), {**form, "kept": kept, "keep": "on"})
    assert answer.status_code in (303, 400)
    assert not [row for release in Release.objects.all() for row in release.guardrails if row["metric"] == "nonsense"]


def test_form__what_the_endpoint_has__has_fields_that_become_guardrails(world: World) -> None:
    with world.at():
        wish = OutcomeWish("conversion", "binary", "better")
        outcome_define(actor=world.people.emma.actor, place=watched(world.endpoint), wish=wish)
    form = {"model": "tumours", "version": 2, "environment": "production", "endpoint": "clinic", "kind": "canary"}
    lines = {"weight_0": 10, "bake_0": 5, "watch_s": 30, "fresh_baseline": "on"}
    more = {"more:outcome:conversion": "0.05", "more:prediction_shift": "0.2"}
    page = signed_in("emma").get(reverse("release-new"), {"model": "tumours", "environment": "production"})
    assert "Outcome conversion: at most so much worse" in page.content.decode()
    wrong = signed_in("emma").post(reverse("release-new"), {**form, **lines, "more:outcome:conversion": "2"})
    assert wrong.context["form"]["more:outcome:conversion"].errors or wrong.context["form"].non_field_errors()
    with world.at():
        assert signed_in("emma").post(reverse("release-new"), {**form, **lines, **more}).status_code == 303
    release = Release.objects.latest("created_at")
    assert {"metric": "outcome:conversion", "margin": 0.05} in release.guardrails
    assert {"metric": "prediction_shift", "margin": 0.2} in release.guardrails
    assert (release.strategy["baseline"], release.strategy["watch_s"]) == ("fresh", 30)


def test_form__version_made_again__says_that_the_files_are_others(world: World) -> None:
    release = ended(world)
    Version.objects.filter(pk=release.version_id).update(superseded_at=release.created_at)
    answer, _ = form_of(release)

    assert "was made again in MLflow since" in answer.content.decode()


def test_form__like_one_that_is_not_there_or_not_to_be_seen__is_404(world: World) -> None:
    release = ended(world)

    assert form_of(release, "max")[0].status_code == 404
    for like in ("nonsense", "00000000-0000-0000-0000-000000000000"):
        assert signed_in("emma").get(reverse("release-new"), {"like": like}).status_code == 404


def test_page__ended_without_serving__offers_it_and_others_do_not(world: World) -> None:
    release = ended(world)
    served = world.until(world.request(2), "succeeded")

    def page(which: Release, person: str) -> str:
        return signed_in(person).get(reverse("release", args=[which.pk])).content.decode()

    assert f"?like={release.pk}" in page(release, "emma")
    assert "why-request" in page(release, "vik")
    assert "Request again" not in page(served, "emma")


def test_form__guardrails_of_every_kind__are_filled_in_or_kept(world: World) -> None:
    shown = [
        {"metric": "latency_p99", "margin_ms": 25.0},
        {"metric": "saturation", "method": "threshold", "max": 0.02, "interval_s": 30},
    ]
    other = [{"metric": "error_rate", "method": "kayenta"}, {"metric": "latency_p50", "margin_ratio": 0.1}]
    release = world.request(2, guardrails=[*shown, *other])

    values = asked_again(release)
    assert (values["quantile"], values["quantile_margin_ms"], values["saturation_max"]) == ("latency_p99", 25.0, 2.0)
    assert values["error_margin"] is None
    assert json.loads(values["kept"]) == release.guardrails[2:]
