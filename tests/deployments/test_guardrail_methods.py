"""Guardrails by the methods of others, and what they say of how much depends on them: read strictly, and driven."""

import pytest
from django.urls import reverse

from deployments.models import Release, Rollout
from deployments.rollout.guardrails import read_guardrails, sentence_of
from deployments.services.controls import release_promote
from mlorch_site.lib.errors import Invalid
from monitoring.models import Window
from tests.deployments.world import CANARY, World
from tests.support.live import signed_in

ERRORS = {"metric": "error_rate", "margin": 0.05}
FIXED = {"metric": "error_rate", "method": "threshold", "max": 0.05, "interval_s": 5}
FULL = {"metric": "saturation", "method": "threshold", "max": 0.1, "interval_s": 5}
RANKS = {"metric": "error_rate", "method": "kayenta", "interval_s": 5, "min_points": 5}
KNOWN = [
    *(ERRORS, FIXED, FULL, RANKS, {**ERRORS, "critical": False}, {**ERRORS, "min_effective": 500}),
    {"metric": "latency_over_slo", "slo_ms": 100, "margin": 0.1},
    {"metric": "latency_over_slo", "slo_ms": 100, "method": "kayenta"},
    {"metric": "latency_p50", "margin_ratio": 0.2},
    {"metric": "latency_p99", "method": "threshold", "max": 250, "fail_above": 300, "count": 3, "failure_limit": 2},
]


@pytest.mark.parametrize("row", KNOWN)
def test_reading__known_forms__read_again_are_the_same_and_say_what_they_are(row):
    (guardrail,) = read_guardrails([row])
    assert read_guardrails([guardrail]) == [guardrail]
    assert row.items() <= guardrail.items()
    assert len(sentence_of(guardrail)) > 20


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"metric": "latency_p95"}, "margin_ms"),
        ({"metric": "latency_p95", "margin_ms": 1, "margin_ratio": 1}, "margin_ms"),
        ({"metric": "latency_p95", "margin": 0.1}, "margin"),
        ({"metric": "latency_p95", "margin_ms": float("nan")}, "margin_ms"),
        ({"metric": "latency_p95", "margin_ms": float("inf")}, "margin_ms"),
        ({"metric": "latency_p42", "margin_ms": 1}, "metric"),
        ({**ERRORS, "method": "guess"}, "method"),
        ({**ERRORS, "method": ["threshold"]}, "method"),
        ({**ERRORS, "critical": 0}, "critical"),
        ({**ERRORS, "min_effective": -1}, "min_effective"),
        ({**FIXED, "margin": 0.1}, "margin"),
        ({**FIXED, "max": 1.5}, "max"),
        ({**FIXED, "fail_above": 0.01}, "fail_above"),
        ({**FIXED, "failure_limit": 1.5}, "failure_limit"),
        ({**RANKS, "min_points": 3}, "min_points"),
        ({"metric": "saturation", "margin": 0.1}, "method"),
        ({**FULL, "method": "kayenta"}, "method"),
    ],
)
def test_reading__anything_else__is_refused_by_field(row, field):
    with pytest.raises(Invalid) as refused:
        read_guardrails([row])
    assert f"guardrails[0].{field}" in refused.value.details


def test_reading__one_metric_by_two_methods__may_be():
    assert len(read_guardrails([ERRORS, FIXED, RANKS])) == 3
    with pytest.raises(Invalid, match="the same"):
        read_guardrails([FIXED, {**FIXED, "max": 0.2}])


@pytest.mark.parametrize(("guardrail", "most_s"), [(FIXED, 40), (RANKS, 60)])
def test_other_method__failing_version__is_taken_back_and_says_that_it_has_no_bound(world: World, guardrail, most_s):
    world.serve(1)
    world.errors = {"2": 0.34}
    release = world.until(world.request(2, guardrails=[guardrail]), "rolled_back", most_s=most_s)
    (row,) = release.rollout.assessment["guardrails"]
    assert (row["verdict"], row["method"]) == ("harmful", guardrail["method"])
    assert "has no bound" in release.rollout.assessment["sentence"]


def test_threshold__good_version__is_promoted(world: World):
    world.serve(1)
    release = world.until(world.request(2, guardrails=[FIXED, FULL]), "succeeded")
    assert {row["verdict"] for row in release.rollout.assessment["guardrails"]} == {"healthy"}


@pytest.mark.slow
def test_other_method__no_request_reaches_the_candidate__is_never_promoted(world: World):
    world.serve(1)
    world.skew = {"2": 0}
    release = world.until(world.request(2, guardrails=[FIXED, RANKS]), "rolled_back", most_s=300)
    assert [row["verdict"] for row in release.rollout.assessment["guardrails"]] == ["no_data", "no_data"]


def test_saturation__refused_at_the_queue__is_taken_back(world: World):
    world.serve(1)
    release = world.request(2, guardrails=[FULL])
    for _ in range(40):
        world.tick()
        Window.objects.filter(arm="candidate").update(rejected=3)
    world.until(release, "rolled_back", most_s=5)
    assert "full queue" in Rollout.objects.get(release=release).assessment["sentence"]


@pytest.mark.slow
def test_not_critical__harmful__waits_for_a_person_long_after_the_deadline(world: World):
    world.serve(1)
    world.errors = {"2": 0.34}
    release = world.request(2, guardrails=[{**ERRORS, "critical": False}])
    world.tick(92)
    release.refresh_from_db()
    assert release.status == "rolling_out"
    assert "a person decides" in release.rollout.waiting_for
    assert release.rollout.assessment["verdict"] == "inconclusive"
    assert release.rollout.weight_pct == CANARY["steps"][0]["weight"]

    with world.at():
        release_promote(actor=world.people.mona.actor, release=release, reason="known and accepted")
    world.until(release, "succeeded", most_s=20)


def test_min_effective__too_few__is_not_healthy(world: World):
    world.serve(1)
    release = world.request(2, guardrails=[{**ERRORS, "min_effective": 1_000_000}])
    world.tick(30)
    assert "1,000,000 independent requests are asked for" in Rollout.objects.get(release=release).waiting_for


def test_form__latency_and_queue_filled_in__are_guardrails_of_the_release(world: World):
    world.serve(1)
    form = {"model": world.model.name, "version": 2, "environment": "production", "endpoint": "clinic"}
    form |= {"kind": "canary", "weight_0": 50, "bake_0": 5, "reason": "better"}
    form |= {"quantile": "latency_p99", "quantile_margin_ms": "12.5", "saturation_max": "4"}
    assert signed_in("emma").post(reverse("release-new"), form).status_code == 303
    latency, queue = Release.objects.latest("created_at").guardrails
    assert latency == {"metric": "latency_p99", "margin_ms": 12.5}
    assert (queue["metric"], queue["method"], queue["max"]) == ("saturation", "threshold", 0.04)
