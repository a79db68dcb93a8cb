"""The split of the traffic: counts of a split that is not the one asked for prove nothing, so nothing is promoted on
them.
"""

import pytest
from django.urls import reverse

from deployments.models import ReleaseEvent
from deployments.rollout.split import Split
from deployments.services import release_promote
from mlorch_site.lib.errors import Invalid
from tests.deployments.world import CANARY
from tests.support.live import signed_in


def test_split__as_asked__is_not_off_and_says_both():
    split = Split(weight_pct=10, candidate=98, stable=902)

    assert not split.is_off
    assert split.sentence == "9.8 % of 1,000 drawn requests reached the new version; 10 % was asked for."


def test_split__far_from_the_weights__names_expected_and_seen():
    split = Split(weight_pct=10, candidate=300, stable=700)

    assert split.is_off
    assert "10 % of 1,000 drawn requests (100) should have reached the new version, 30.0 % (300) did" in split.sentence


@pytest.mark.parametrize(("stable", "is_off"), [(1, False), (400, True)])
def test_split__all_traffic__a_stray_request_is_passed_over_and_a_share_is_not(stable, is_off):
    assert Split(weight_pct=100, candidate=600, stable=stable).is_off is is_off


def test_split__stored__reads_back():
    split = Split(weight_pct=10, candidate=300, stable=700)

    assert Split.from_dict(split.to_dict()) == split


def test_canary__split_broken__never_promoted_and_goes_back_at_the_deadline(world):
    world.serve(1)
    world.skew = {"2": 40, "1": 60}
    release = world.until(world.request(2), "rolled_back")

    assert "should have reached the new version" in release.status_reason
    assert release.report.document["assessment"]["verdict"] == "inconclusive"
    assert release.report.document["assessment"]["split"]["is_off"]
    assert not ReleaseEvent.objects.filter(release=release, data__weight_pct=50).exists()


def test_canary__split_broken_without_guardrails__is_not_promoted_either(world):
    world.serve(1)
    world.skew = {"2": 40, "1": 60}

    assert "should have reached" in world.until(world.request(2, guardrails=[]), "rolled_back").status_reason


def test_canary__split_broken_and_harmful__goes_back_at_once(world):
    world.serve(1)
    world.skew, world.errors = {"2": 40, "1": 60}, {"2": 0.9}

    assert "Harmful" in world.until(world.request(2), "rolled_back").status_reason


def test_canary__split_heals__goes_on(world):
    world.serve(1)
    world.skew = {"2": 20, "1": 80}
    release = world.request(2)
    world.tick(14)
    held = world.weights
    world.skew = {}
    world.until(release, "succeeded")

    assert held != {"2": 100}
    assert world.weights == {"2": 100}


def test_split__slow_answers_of_the_weights_before__are_not_counted(world):
    world.serve(1)
    release = world.request(2)
    world.skew, world.slow_ms = {"2": 0, "1": 100}, 6_000.0
    world.tick(7)
    world.skew = {}
    world.until(release, "succeeded")

    assert not ReleaseEvent.objects.filter(release=release, kind="rollout.split_off").exists()


def test_pages__split_off__shown_live_in_the_history_and_in_the_report(world):
    world.serve(1)
    world.skew = {"2": 40, "1": 60}
    release = world.request(2)
    world.tick(16)
    sentence = "should have reached the new version"
    vik = signed_in("vik")
    assert sentence in vik.get(reverse("release", args=[release.pk])).content.decode()
    assert ReleaseEvent.objects.filter(release=release, kind="rollout.split_off").count() == 1

    world.until(release, "rolled_back")

    html = vik.get(reverse("release-report", args=[release.pk])).content.decode()
    assert html.split("Timeline")[0].count(sentence) >= 2, "in the outcome and with the verdict"


def test_promote_by_hand__holding_on_a_broken_split__needs_a_reason(world):
    world.serve(1)
    release = world.request(2, strategy={**CANARY, "hold": True})
    world.tick(80)
    world.skew = {"2": 5, "1": 95}
    world.tick(40)
    release.refresh_from_db()
    assert release.rollout.phase == "holding"
    assert "should have reached" in release.rollout.waiting_for

    with world.at(), pytest.raises(Invalid, match="not split as asked"):
        release_promote(actor=world.people.mona.actor, release=release)
