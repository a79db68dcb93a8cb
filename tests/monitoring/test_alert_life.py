"""What becomes of an alert among people: told, acknowledged, silenced, escalated, resolved."""

import json
from datetime import timedelta

import pytest

from mlorch_site.accounts.models import User
from mlorch_site.accounts.roles import Role
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid, NotFound
from mlorch_site.notices.deliveries import delivery_attempt, delivery_replay
from mlorch_site.notices.models import Delivery, Notice
from mlorch_site.notices.selectors import why_not_told
from monitoring.alert_selectors import alert_for, alerts_visible_to, alerts_waiting_for, silence_for
from monitoring.models import Alert, AlertEvent, Silence
from monitoring.services import (
    RuleWish,
    alert_acknowledge,
    alert_rule_add,
    alert_silence,
    silence_end,
)
from tests.factories import make_person, take_role
from tests.monitoring.watching import Watch
from tests.support.receivers import webhook_server
from tests.support.sending import subscribe

KINDS = ["alert_fired", "alert_escalated", "alert_resolved"]


@pytest.fixture
def watch(people):
    return Watch(people)


@pytest.fixture
def rule(watch):
    wish = RuleWish(
        "threshold", "error_share", bound=5.0, clear_min=0, escalate_after_min=10, escalate_to="release_manager"
    )
    with watch.at():
        return alert_rule_add(actor=watch.people.emma.actor, place=watch.place, wish=wish)


@pytest.fixture
def firing(watch, rule):
    watch.minutes(1, bad=30)
    return Alert.objects.select_related("rule__environment", "rule__model", "rule__objective").get()


def told(kind):
    return set(Notice.objects.filter(kind=kind).values_list("person__username", flat=True))


def waiting(kind="alert_fired"):
    return Notice.objects.filter(kind=kind, settled_at=None).count()


def test_fired__tells_who_may_answer_there_and_nobody_else(watch, firing):
    assert told("alert_fired") == {"emma", "oscar", "mona", "ada"}  # not vik, rita, and max of staging
    notice = Notice.objects.filter(kind="alert_fired").first()
    assert "production/clinic: urgent: Errors over 5 minutes above 5 %" in notice.title
    assert notice.path == f"/alerts/{firing.pk}/"
    watch.minutes(2, bad=30)
    assert Notice.objects.filter(kind="alert_fired").count() == 4  # once


def test_acknowledged__is_settled_not_escalated_and_said_when_it_is_over(watch, firing):
    with watch.at():
        alert_acknowledge(actor=watch.people.emma.actor, alert=firing, note="I look.")
        alert_acknowledge(actor=watch.people.mona.actor, alert=firing, note="Me too.")
    watch.minutes(15, bad=30)
    assert (waiting(), told("alert_escalated")) == (0, set())
    assert "emma acknowledged it: I look." in AlertEvent.objects.values_list("sentence", flat=True)
    assert AuditRecord.objects.filter(action="alert.acknowledged").count() == 1
    watch.minutes(5)
    assert told("alert_resolved") == {"emma", "oscar", "mona", "ada"}
    with pytest.raises(Conflict, match="resolved"):
        alert_acknowledge(actor=watch.people.mona.actor, alert=firing)


def test_nobody_acknowledges__the_second_role_is_told_once(watch, firing):
    watch.minutes(9, bad=30)
    assert told("alert_escalated") == set()
    watch.minutes(3, bad=30)
    assert told("alert_escalated") == {"mona"}
    assert AuditRecord.objects.filter(action="alert.escalated").count() == 1
    watch.minutes(5)
    assert waiting("alert_escalated") == 0


def test_silenced__nobody_is_told_until_it_ends_by_itself_and_then_anew(watch, rule):
    with watch.at():
        until = watch.now + timedelta(minutes=20)
        alert_silence(actor=watch.people.emma.actor, rule=rule, until=until, reason="Load test.")
    watch.minutes(15, bad=30)
    assert Notice.objects.filter(kind__in=KINDS).count() == 0  # neither fired nor escalated
    assert [alert.state for alert in watch.alerts] == ["firing"]
    watch.minutes(6, bad=30)
    assert "emma" in told("alert_fired")
    assert Silence.objects.get().ended_at == watch.now - timedelta(minutes=1)
    assert AuditRecord.objects.filter(action="alert_rule.silence_ended", actor="alerts").count() == 1


def test_silenced_from_beginning_to_end__nobody_hears_of_it(watch, rule):
    with watch.at():
        until = watch.now + timedelta(days=1)
        alert_silence(actor=watch.people.emma.actor, rule=rule, until=until, reason="Load test.")
    watch.minutes(3, bad=30)
    watch.minutes(7)
    assert (watch.alerts[0].state, Notice.objects.filter(kind__in=KINDS).count()) == ("resolved", 0)


def test_silence__while_it_fires__settles_and_ended_by_hand__tells_anew(watch, firing):
    with watch.at():
        until = watch.now + timedelta(hours=1)
        made = alert_silence(actor=watch.people.emma.actor, rule=firing.rule, until=until, reason="Known.")
    watch.look()
    assert waiting() == 0
    with watch.at():
        for _ in range(2):
            silence_end(actor=watch.people.oscar.actor, silence=silence_for(watch.people.oscar.actor, made.pk))
    watch.look()
    assert waiting() == 4
    assert Notice.objects.filter(kind="alert_fired", occasion="1", settled_at=None).count() == 4


@pytest.mark.parametrize("minutes", [0, -5, 31 * 24 * 60])
def test_silence__into_the_past_or_for_ever__is_refused(watch, rule, minutes):
    until, soon = (watch.now + timedelta(minutes=count) for count in (minutes, 5))
    with watch.at(), pytest.raises(Invalid):
        alert_silence(actor=watch.people.emma.actor, rule=rule, until=until, reason="x")
    with watch.at(), pytest.raises(Invalid):
        alert_silence(actor=watch.people.emma.actor, rule=rule, until=soon, reason=" ")


def test_rights__hidden_is_not_there_and_seen_is_not_answered(watch, firing):
    people = watch.people
    with pytest.raises(NotFound):
        alert_for(people.max.actor, firing.pk)
    with pytest.raises(Forbidden, match="ML engineer"):
        alert_acknowledge(actor=people.vik.actor, alert=alert_for(people.vik.actor, firing.pk))
    until = watch.now + timedelta(hours=1)
    with watch.at(), pytest.raises(Forbidden):
        alert_silence(actor=people.rita.actor, rule=firing.rule, until=until, reason="x")
    owner = make_person("olga", [(Role.ENGINEER, "model:tumours")])
    assert alerts_visible_to(owner.actor).get() == firing
    waits = {name: alerts_waiting_for(getattr(people, name).actor).count() for name in ("emma", "vik", "max", "noa")}
    assert waits == {"emma": 1, "vik": 0, "max": 0, "noa": 0}
    assert alerts_waiting_for(owner.actor).count() == 1


def test_told_at_sending__who_lost_the_role_is_not(watch, firing):
    notice = Notice.objects.get(kind="alert_fired", person=watch.people.emma.user)
    assert why_not_told(notice) == ""
    take_role(watch.people.ada.actor, watch.people.emma.user, Role.ENGINEER)
    assert why_not_told(Notice.objects.select_related("person").get(pk=notice.pk)) != ""


def test_subscriptions__standard_and_slack__say_it_in_their_own_way_and_are_sent_again(watch, rule, settings):
    settings.OUTGOING_PRIVATE_NETWORKS = ["127.0.0.0/8", "::1/128"]
    User.objects.update(email="")
    with webhook_server() as standard, webhook_server() as slack:
        subscribe(watch.people, standard, kinds=KINDS)
        channel, _ = subscribe(watch.people, slack, kinds=KINDS, format="slack")
        watch.minutes(1, bad=30)
        for delivery in Delivery.objects.all():
            delivery_attempt(delivery_id=str(delivery.pk), now=watch.now + timedelta(seconds=1))
        event = json.loads(standard.heard[0].body)
        assert (event["type"], event["data"]["state"], event["data"]["severity"]) == ("alert_fired", "firing", "urgent")
        assert event["data"]["numbers"]["value"] == 50.0
        message = json.loads(slack.heard[0].body)
        assert set(message) == {"text", "blocks"}
        assert "production/clinic" in message["text"]
        assert message["blocks"][0]["text"]["type"] == "mrkdwn"
        link = f"/alerts/{watch.alerts[0].pk}/|Open in mlorch>"
        assert link in message["blocks"][1]["elements"][0]["text"]
        sent = Delivery.objects.get(subscription=channel)
        delivery_replay(actor=watch.people.ada.actor, delivery=sent)
        delivery_attempt(delivery_id=str(sent.pk), now=watch.now + timedelta(days=365))
        assert slack.heard[1].body == slack.heard[0].body


def test_slack__address__is_in_no_record_and_its_words_call_nobody(watch, settings):
    settings.OUTGOING_PRIVATE_NETWORKS = ["127.0.0.0/8", "::1/128"]
    with webhook_server() as hook:
        made, _ = subscribe(watch.people, hook, kinds=KINDS, format="slack")
    assert made.shown_url.endswith("/…")
    assert "/hook" not in str(list(AuditRecord.objects.values("data", "subject_label")))
    from mlorch_site.notices.slack_message import escaped, slack_message

    told_to = slack_message(label="A", title="<!channel> & <http://x|y>", sentence="a\nb", place="p", path="/x/")
    assert "<!channel>" not in str(told_to)
    assert told_to["blocks"][0]["text"]["text"] == "*&lt;!channel&gt; &amp; &lt;http://x|y&gt;*\na b"
    assert escaped("&" * 1000, 20) == "&amp;&amp;&amp;…"
    with pytest.raises(Invalid, match="made"):
        subscribe(watch.people, hook, kinds=KINDS, format="teams")
