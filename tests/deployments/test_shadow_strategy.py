"""Releases that are mirrored first: clients notice nothing, what copies show is judged, and real requests are judged
anew.
"""

import pytest
from django.urls import reverse

from deployments.models import ReleaseEvent
from deployments.rollout.agreement import MirrorAgreement
from deployments.rollout.steps import Step, StepKind, mirror_at
from deployments.rollout.strategies import compile_strategy
from deployments.services import release_promote
from mlorch_site.lib.errors import Invalid
from monitoring.shadow_agreement import ShadowAgreement
from tests.support.live import signed_in

SHADOW = {"kind": "shadow", "mirror": 50, "bake_s": 10, "min_requests": 100}


def kinds(strategy: dict) -> list[str]:
    return [step.kind.value for step in compile_strategy(strategy)]


def test_compile__without_steps__a_person_promotes():
    assert kinds({"kind": "shadow"}) == ["start", "mirror", "bake", "judge", "hold", "promote"]
    assert kinds({"kind": "shadow", "hold": False})[-2:] == ["judge", "promote"]


def test_compile__with_steps__goes_on_as_a_canary_by_itself():
    strategy = {**SHADOW, "min_agreement": 95, "steps": [{"weight": 10, "bake_s": 5}]}

    assert kinds(strategy) == ["start", "mirror", "bake", "judge", "weight", "bake", "judge", "promote"]
    assert compile_strategy(strategy)[1].title == "Mirror 50 % of traffic, 95 % must agree"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"mirror": 0}, "strategy.mirror"),
        ({"mirror": 101}, "strategy.mirror"),
        ({"min_agreement": 100}, "strategy.min_agreement"),
        ({"min_agreement": 99.5}, "strategy.min_agreement"),
        ({"bake_s": True}, "strategy.bake_s"),
        ({"hold": "yes"}, "strategy.hold"),
        ({"steps": 7}, "strategy.steps"),
        ({"weights": 7}, "strategy.weights"),
    ],
)
def test_compile__wrong__names_the_field(change, field):
    with pytest.raises(Invalid) as caught:
        compile_strategy({**SHADOW, **change})

    assert list(caught.value.details) == [field]


def test_mirror_at__first_weight_of_its_own__ends_it():
    steps = tuple(compile_strategy({**SHADOW, "steps": [{"weight": 10, "bake_s": 5}]}))

    assert [mirror_at(steps, index) is not None for index in range(len(steps))] == [False] + 3 * [True] + 4 * [False]
    assert mirror_at((Step(StepKind.START), Step(StepKind.PROMOTE)), 1) is None


@pytest.mark.parametrize(
    ("agreed", "disagrees", "is_settled"), [(1000, False, True), (950, False, False), (800, True, False)]
)
def test_compared__share_against_the_wanted_one__is_known_only_beyond_its_interval(agreed, disagrees, is_settled):
    compared = MirrorAgreement(95, ShadowAgreement(2, 1000, agreed, 0.0, 0.0))

    assert (compared.disagrees, compared.is_settled) == (disagrees, is_settled)
    assert ("which is not certain yet" in compared.sentence) is not (disagrees or is_settled)


def test_compared__nothing_wanted__any_answer_will_do():
    assert MirrorAgreement(0, None).is_settled
    assert not MirrorAgreement(0, ShadowAgreement(2, 1000, 0, 0.0, 0.0)).disagrees
    assert not MirrorAgreement(50, None).is_settled


def test_shadow__healthy__no_client_reaches_it_until_a_person_promotes(world):
    world.serve(1)
    release = world.request(2, strategy=SHADOW)
    world.tick(60)
    release.refresh_from_db()
    arms = world.platform.tables["production"]["endpoints"]["clinic"]["arms"]

    assert release.rollout.phase == "holding", release.rollout.waiting_for
    assert world.weights == {"1": 100, "2": 0}
    assert [arm.get("mirror_pct") for arm in arms] == [None, 50]
    assert release.rollout.step_candidate_requests >= 100
    assert "100.0 % of" in release.rollout.assessment["comparison"]["sentence"]

    with world.at():
        release_promote(actor=world.people.mona.actor, release=release, reason="same answers")
    world.until(release, "succeeded")
    assert world.weights == {"2": 100}
    assert not any(arm.mirror_pct for arm in world.endpoint.arms.all())


def test_shadow__copies_fail__goes_back_as_rolled_back(world):
    world.serve(1)
    world.errors = {"2": 0.9}
    release = world.until(world.request(2, strategy=SHADOW), "rolled_back")

    assert "Harmful" in release.status_reason
    assert world.weights == {"1": 100}


def test_shadow__answers_differ_more_than_allowed__goes_back_and_says_by_how_much(world):
    world.serve(1)
    world.agreeing = {"2": 0.7}
    release = world.until(world.request(2, strategy={**SHADOW, "min_agreement": 95}), "rolled_back")

    assert "compared answers of version 2 agree" in release.status_reason
    assert "At least 95 % must agree" in release.status_reason
    assert release.report.document["assessment"]["comparison"]["disagrees"]


def test_shadow__answers_differ_and_nothing_was_asked_for__waits_for_a_person(world):
    world.serve(1)
    world.agreeing = {"2": 0.1}
    release = world.request(2, strategy=SHADOW, guardrails=[])
    world.tick(40)
    release.refresh_from_db()

    assert release.rollout.phase == "holding"


def test_shadow__agreement_not_certain_at_the_deadline__goes_back(world):
    world.serve(1)
    world.agreeing = {"2": 0.95}
    release = world.until(world.request(2, strategy={**SHADOW, "min_agreement": 95}), "rolled_back")

    assert "Inconclusive at the deadline" in release.status_reason
    assert "not certain yet" in release.status_reason


def test_shadow__then_canary__real_requests_are_judged_from_nothing(world):
    world.serve(1)
    release = world.request(2, strategy={**SHADOW, "steps": [{"weight": 50, "bake_s": 10}]})
    while world.weights.get("2", 0) == 0:
        world.tick()
    release.refresh_from_db()
    assert release.rollout.judge == {}
    world.errors = {"2": 0.9}

    assert "Harmful" in world.until(release, "rolled_back").status_reason
    assert "comparison" in release.report.document["assessment"], "what was compared stays in the report"


def test_shadow__no_traffic__goes_back_at_the_deadline(world):
    world.serve(1)
    world.rate = 0

    assert "Inconclusive" in world.until(world.request(2, strategy=SHADOW), "rolled_back").status_reason


def test_shadow__replica_fails__is_taken_back(world):
    world.serve(1)
    release = world.request(2, strategy=SHADOW)
    world.tick(8)
    world.platform.broken = {2: "failed"}

    assert "failed" in world.until(release, "rolled_back").status_reason


def test_policy__first_share_bounded__mirror_alone_would_take_all_at_once(world):
    world.serve(1)
    world.environment.policies.update(max_first_weight_pct=25)
    with pytest.raises(Invalid, match="25 % at most, not 100 %"):
        world.request(2, strategy=SHADOW)

    assert world.request(2, strategy={**SHADOW, "steps": [{"weight": 20, "bake_s": 5}]}).status == "approved"


def test_pages__mirrored__say_so_live_and_in_the_report(world):
    world.serve(1)
    world.agreeing = {"2": 0.7}
    release = world.request(2, strategy=SHADOW, guardrails=[])
    world.tick(25)
    vik = signed_in("vik")
    page = vik.get(reverse("release", args=[release.pk])).content.decode()
    endpoint = vik.get(reverse("endpoint", args=["production", "clinic"])).content.decode()

    assert "compared answers of version 2 agree" in page
    assert "50 % of the requests are mirrored to version 2" in page
    assert 'data-chart="agreement"' in page
    assert "50 % mirrored" in endpoint
    assert ReleaseEvent.objects.filter(release=release, data__mirror_pct=50).count() == 1

    with world.at():
        release_promote(actor=world.people.mona.actor, release=release, reason="looked at")
    world.until(release, "succeeded")
    report = vik.get(reverse("release-report", args=[release.pk])).content.decode()
    assert "compared answers of version 2 agree" in report.split("Timeline")[0]


def test_canary__page__has_no_chart_of_agreement(world):
    world.serve(1)
    release = world.request(2)
    world.tick(15)

    assert 'data-chart="agreement"' not in signed_in("vik").get(reverse("release", args=[release.pk])).content.decode()
