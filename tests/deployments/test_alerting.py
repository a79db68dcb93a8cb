"""An alert that fires on the endpoint of a rollout: by the policy it goes on, holds, or goes back."""

from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse

from deployments import limits
from deployments.models import Release
from deployments.services import endpoint_rollback, release_promote
from deployments.services.watching import watched
from mlorch_site.lib.errors import Conflict
from monitoring.models import Alert
from monitoring.services import RuleWish, alert_rule_add
from registry.models import Policy
from tests.deployments.world import World
from tests.support.live import signed_in

SENTENCE = "12 % of 600 requests failed"


@pytest.fixture
def rolling(world: World) -> Release:
    """A canary with its first share of the traffic."""
    world.serve(1)
    release = world.request(2)
    world.until(release, "rolling_out")
    world.tick(5)
    assert world.weights == {"1": 90, "2": 10}
    return release


def fire(world: World, *, before_s: int = 0, **fields: Any) -> Alert:
    """An alert on the endpoint that has fired since now, or earlier."""
    wish = RuleWish("absence", over_min=15)
    with world.at():
        rule = alert_rule_add(actor=world.people.mona.actor, place=watched(world.endpoint), wish=wish)
    fired_at = world.now - timedelta(seconds=before_s)
    return Alert.objects.create(rule=rule, fired_at=fired_at, sentence=SENTENCE, **fields)


def policy(when: str) -> None:
    Policy.objects.update(when_alerting=when)


def test_go_on__alert_fires__nothing_changes(world, rolling):
    fire(world)
    assert world.until(rolling, "succeeded").status == "succeeded"


def test_hold__alert_fires__no_traffic_moves_until_it_is_over(world, rolling):
    policy("hold")
    alert = fire(world)
    world.tick(60)
    rolling.refresh_from_db()

    assert (rolling.status, world.weights) == ("rolling_out", {"1": 90, "2": 10})
    assert rolling.rollout.waiting_for.startswith(
        f"Held: an alert fires since {alert.fired_at:%Y-%m-%d %H:%M:%S} UTC: "
    )
    with world.at(), pytest.raises(Conflict, match="an alert fires"):
        release_promote(actor=world.people.mona.actor, release=rolling)
    assert reverse("alert", args=[alert.pk]) in page_of(world, rolling)

    Alert.objects.update(resolved_at=world.now)
    world.until(rolling, "succeeded")
    kinds = [event.kind for event in rolling.events.all()]
    assert kinds.index("rollout.held") < kinds.index("rollout.open_again")
    assert "held" in [one["kind"] for one in rolling.report.document["deviations"]]


def page_of(world: World, release: Release) -> str:
    with world.at():
        return signed_in("mona").get(reverse("release", args=[release.pk])).content.decode()


def test_hold__alert_acknowledged__still_holds_and_harm_goes_back(world, rolling):
    policy("hold")
    fire(world, acknowledged_at=world.now, acknowledged_by="emma")
    world.tick(30)
    assert world.weights == {"1": 90, "2": 10}
    world.errors = {"2": 0.9}
    assert world.until(rolling, "rolled_back").status_reason.startswith("Harmful")


def test_hold__longer_than_a_pause_may_last__goes_back(world, rolling, monkeypatch):
    monkeypatch.setattr(limits, "PAUSE_DEADLINE_S", 30)
    policy("hold")
    fire(world)
    assert "held the rollout for too long" in world.until(rolling, "rolled_back").status_reason


def test_roll_back__alert_fires__goes_back_and_says_which(world, rolling):
    policy("roll_back")
    fire(world)
    world.until(rolling, "rolled_back", most_s=5)

    assert world.weights == {"1": 100}
    assert SENTENCE in rolling.status_reason
    assert rolling.report.document["deviations"][-1]["kind"] == "taken back"


@pytest.mark.parametrize("when", ["hold", "roll_back"])
@pytest.mark.parametrize("fields", [{"before_s": 3600}, {"resolved": True}, {"elsewhere": True}])
def test_any__alert_from_before_or_over_or_elsewhere__goes_on(world, rolling, when, fields):
    policy(when)
    alert = fire(world, before_s=fields.get("before_s", 0))
    if "resolved" in fields:
        Alert.objects.update(resolved_at=world.now)
    if "elsewhere" in fields:
        alert.rule.__class__.objects.update(endpoint="other")
    assert world.until(rolling, "succeeded").status == "succeeded"


def test_rollback_by_hand__alert_fires__is_not_held(world, rolling):
    world.until(rolling, "succeeded")
    policy("hold")
    with world.at():
        back = endpoint_rollback(
            actor=world.people.mona.actor, endpoint=world.endpoint, expects=str(rolling.pk), reason="it is slow"
        )
    fire(world)
    assert world.until(back, "succeeded", most_s=20).status == "succeeded"
