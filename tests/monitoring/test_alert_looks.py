"""Rules of a real database over time: they fire, are late, resolve; each look counts once."""

from datetime import timedelta

import pytest

from mlorch_site.audit.models import AuditRecord
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.lib.errors import Invalid
from mlorch_site.live.models import Event
from monitoring import outside_figures
from monitoring.models import Alert, AlertEvent, ObjectiveStanding, RuleStanding
from monitoring.services import (
    ObjectiveWish,
    RuleWish,
    alert_rule_add,
    alert_rule_end,
    alerts_forget,
    objective_end,
    objective_set,
    rules_look,
    windows_roll_up,
)
from monitoring.span_figures import span_figures
from tests.monitoring.watching import Watch

ERRORS = RuleWish("threshold", "error_share", bound=5.0, over_min=5, minimum=20, for_min=2, clear_min=3)
ABSENCE = RuleWish("absence", over_min=10, clear_min=0)


@pytest.fixture
def watch(people):
    return Watch(people)


def rule(watch, wish=ERRORS):
    with watch.at():
        return alert_rule_add(actor=watch.people.emma.actor, place=watch.place, wish=wish)


def test_threshold__through_its_life__pending_firing_resolved_with_history_record_and_event(watch):
    found = rule(watch)
    watch.minutes(2)
    assert watch.state(found) == "ok"
    watch.minutes(1, bad=30)
    assert (watch.state(found), watch.alerts) == ("pending", [])
    watch.minutes(2, bad=30)
    [alert] = watch.alerts
    assert (watch.state(found), alert.state) == ("firing", "firing")
    assert alert.fired_at == watch.now
    assert alert.numbers["requests"] == 300
    assert Event.objects.filter(kind="alert.changed", data={"alert": str(alert.pk)}).exists()
    watch.minutes(5)  # 5 minutes until no bad one is in the span, and 3 more that it has to be kept
    assert watch.state(found) == "firing"
    watch.minutes(3)
    [alert] = watch.alerts
    assert (watch.state(found), alert.resolved_at) == ("ok", watch.now)
    actions = list(AuditRecord.objects.filter(actor="alerts").order_by("sequence").values_list("action", flat=True))
    assert actions == ["alert.fired", "alert.resolved"]
    assert list(AlertEvent.objects.filter(alert=alert).values_list("kind", flat=True)) == ["fired", "resolved"]


@pytest.mark.parametrize("late_s", [None, 121])
def test_data__late_or_without_a_gateway__is_its_own_state_and_resolves_nothing(watch, late_s):
    found = rule(watch)
    watch.minutes(4, bad=30)
    assert watch.state(found) == "firing"
    watch.minutes(30, requests=0, late_s=late_s)
    assert (watch.state(found), watch.alerts[0].state) == ("no_data", "firing")
    watch.minutes(30, requests=0)  # in time again, and nobody asks: that is no proof either
    assert (watch.state(found), watch.alerts[0].state) == ("no_data", "firing")
    watch.minutes(3)
    assert (watch.state(found), len(watch.alerts)) == ("firing", 1)
    watch.minutes(1)
    assert (watch.state(found), watch.alerts[0].state) == ("ok", "resolved")


def test_absence__fires_only_when_it_is_known_that_nobody_asks(watch):
    found = rule(watch, ABSENCE)
    watch.minutes(12, requests=0, late_s=None)
    assert watch.state(found) == "no_data"
    watch.minutes(1, requests=0)
    assert watch.state(found) == "firing"
    watch.minutes(1, requests=1)
    assert watch.state(found) == "ok"


def test_look__twice_late_or_out_of_order__counts_once(watch):
    found = rule(watch)
    watch.minutes(4, bad=30)
    before = RuleStanding.objects.get(rule=found)
    RuleStanding.objects.update(due_at=watch.now)
    for now in (watch.now, watch.now - timedelta(minutes=3)):
        rules_look(now=now, told_until=now)
    after = RuleStanding.objects.get(rule=found)
    assert (after.state, after.looked_at, len(watch.alerts)) == (before.state, before.looked_at, 1)
    assert AlertEvent.objects.filter(kind="fired").count() == 1


def test_look__one_rule_that_cannot_be_looked_at__stops_no_other(watch, monkeypatch):
    broken, fine = rule(watch), rule(watch, ABSENCE)
    from monitoring.services import alert_looks

    real = alert_looks.figures_of_rule
    monkeypatch.setattr(
        alert_looks, "figures_of_rule", lambda one, now: 1 / 0 if one.pk == broken.pk else real(one, now)
    )
    watch.minutes(1)
    assert watch.state(fine) == "ok"
    assert RuleStanding.objects.get(rule=broken).due_at > watch.now


def test_rule__ended_while_it_fires__its_alert_ends_with_who_did_it_and_nobody_looks_any_more(watch):
    found = rule(watch)
    watch.minutes(4, bad=30)
    with watch.at():
        alert_rule_end(actor=watch.people.mona.actor, rule=found, reason="Wrong bound.")
        alert_rule_end(actor=watch.people.mona.actor, rule=found, reason="Again.")
    [alert] = watch.alerts
    assert (alert.state, alert.resolution) == ("resolved", "mona ended the rule. Wrong bound.")
    watch.minutes(3, bad=60)
    assert len(watch.alerts) == 1
    assert AuditRecord.objects.filter(action="alert_rule.ended").count() == 1


def test_change__against_the_span_before(watch):
    found = rule(watch, RuleWish("change", "rate", "below", bound=50, over_min=5, clear_min=0))
    watch.minutes(10)
    assert watch.state(found) == "ok"
    watch.minutes(5, requests=20)
    assert watch.state(found) == "firing"


def test_act__recorded_about_the_model_or_the_environment_and_no_other__fires_without_any_gateway(watch):
    found = rule(watch, RuleWish("audit", watched_act="waiver", over_min=10, clear_min=0))
    place = watch.place
    act(watch, "gate.waived", [place.environment.scope, "model:another"])
    act(watch, "policy.revised", [place.environment.scope])
    watch.minutes(1, late_s=None)
    assert watch.state(found) == "ok"
    act(watch, "gate.waived", [place.environment.scope, place.model.scope])
    watch.minutes(1, late_s=None)
    [alert] = watch.alerts
    assert alert.sentence == "1 record in 10 minutes of a gate that was waived."
    watch.minutes(10, late_s=None)
    assert (watch.state(found), watch.alerts[0].state) == ("ok", "resolved")


def act(watch, action, scopes):
    with watch.at():
        audit_record(watch.people.ada.actor, action, Subject("release", "r1", "a release", tuple(scopes)))


@pytest.mark.parametrize(
    ("cost", "state", "says"),
    [
        (60.0, "firing", "Cost: 60 a day over 1 hour."),
        (48.0, "ok", "Cost: 48 a day over 1 hour."),
        (None, "no_data", "A serving config does not say what a replica costs, so the cost is not known."),
    ],
)
def test_cost__above_its_bound_or_unknown__needs_no_request_and_no_gateway(watch, monkeypatch, cost, state, says):
    monkeypatch.setattr(outside_figures, "_cost", [lambda *asked: cost])
    found = rule(watch, RuleWish("threshold", "cost", bound=50.0, over_min=60, minimum=20))
    watch.minutes(1, requests=0, late_s=None)
    standing = RuleStanding.objects.get(rule=found)
    assert (standing.state, standing.sentence) == (state, says)


WRONG_ACTS = [
    RuleWish("audit"),
    RuleWish("audit", watched_act="other"),
    RuleWish("absence", watched_act="waiver"),
]


@pytest.mark.parametrize("wish", WRONG_ACTS)
def test_rule__act_missing_unknown_or_of_another_kind__is_refused(watch, wish):
    with pytest.raises(Invalid) as refused:
        rule(watch, wish)
    assert "watched_act" in refused.value.details


def test_burn__a_tenth_of_requests_bad__fires_within_the_minutes_and_says_the_rate(watch):
    with watch.at():
        objective = objective_set(
            actor=watch.people.emma.actor, place=watch.place, wish=ObjectiveWish("availability", 99.0)
        )
    fast, slow = objective.rules.order_by("-severity", "kind")
    watch.minutes(30)
    assert (watch.state(fast), watch.state(slow)) == ("ok", "ok")
    watch.minutes(20, bad=30)
    alert = watch.alerts[-1]
    assert watch.state(fast) == "firing"
    assert alert.numbers["burn_rate"] >= alert.numbers["bound"]
    assert watch.state(slow) == "firing"
    standing = ObjectiveStanding.objects.select_related("objective").get()
    assert (standing.requests, standing.bad) == (3000, 600)
    assert standing.measured_days == 1
    assert standing.budget.status == "spent"
    with watch.at():
        objective_end(actor=watch.people.emma.actor, objective=objective)
    assert {one.state for one in watch.alerts} == {"resolved"}


def test_figures__of_roll_ups_and_of_seconds__are_the_same(watch):
    """Nothing is counted twice or lost, whether it is rolled up or not, and copies of a shadow are no requests."""
    watch.window(10, bad=4, ms=300.0)
    windows_roll_up()
    watch.window(5, timeouts=2, ok=3, ms=5.0)
    watch.window(50, bad=50, arm="shadow")
    watch.window(7, client_errors=7, ok=0)
    with watch.at():
        objective = objective_set(
            actor=watch.people.emma.actor, place=watch.place, wish=ObjectiveWish("latency", 95, slo_ms=100)
        )
    terms = objective.rules.first().terms
    for seconds in (300, 3600, 28 * 86_400):
        found = span_figures("production", "clinic", until=watch.now, seconds=seconds, terms=terms)
        assert (found.requests, found.counted, found.errors, found.over_slo) == (22, 15, 6, 10)


def test_retention__forgets_what_was_resolved_long_ago_and_never_what_fires(watch):
    found = rule(watch)
    watch.minutes(4, bad=30)
    alerts_forget(now=watch.now + timedelta(days=500))
    assert len(watch.alerts) == 1
    with watch.at():
        alert_rule_end(actor=watch.people.mona.actor, rule=found)
    alerts_forget(now=watch.now + timedelta(days=500))
    assert Alert.objects.count() == 0
