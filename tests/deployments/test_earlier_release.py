"""Request again: the form is filled in as a release that ended was requested, and says what it cannot carry."""

import pytest
from django.urls import reverse

from deployments.earlier_release import asked_again, left_out
from deployments.models import Release
from deployments.services import release_abort
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
        {"kind": "blue_green", "bake_s": 12},
        {"kind": "immediate"},
    ],
    ids=lambda strategy: f"{strategy['kind']} of {len(strategy)}",
)
def test_form__sent_as_it_is_filled_in__asks_for_the_same(world: World, strategy: dict) -> None:
    release = ended(world, strategy=strategy)
    _, form = form_of(release)
    filled = {name: form[name].value() for name in form.fields if form[name].value() not in (None, False)}
    with world.at():
        asked = signed_in("emma").post(reverse("release-new"), filled)

    again = Release.objects.exclude(pk=release.pk).latest("created_at")
    assert asked.status_code == 303, asked.context["form"].errors
    assert (again.strategy, again.guardrails) == (strategy, GUARDRAILS)
    assert (again.version, again.endpoint, again.reason) == (release.version, release.endpoint, "better recall")


def test_form__two_guardrails_of_one_metric__says_which_it_has_no_room_for(world: World) -> None:
    more = [*GUARDRAILS, {"metric": "latency_over_slo", "slo_ms": 400.0, "margin": 0.01}]
    answer, form = form_of(ended(world, guardrails=more))

    assert form["slo_ms"].value() == 40
    assert "The form has no room for its guardrail “share of requests slower than 400 ms" in answer.content.decode()


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


def test_form__guardrails_of_every_kind__are_filled_in_or_said_to_be_left_out(world: World) -> None:
    shown = [
        {"metric": "latency_p99", "margin_ms": 25.0},
        {"metric": "saturation", "method": "threshold", "max": 0.02, "interval_s": 30},
    ]
    other = [{"metric": "error_rate", "method": "kayenta"}, {"metric": "latency_p50", "margin_ratio": 0.1}]
    release = world.request(2, guardrails=[*shown, *other])

    values = asked_again(release)
    assert (values["quantile"], values["quantile_margin_ms"], values["saturation_max"]) == ("latency_p99", 25.0, 2.0)
    assert values["error_margin"] is None
    assert len(left_out(release)) == len(other)
