"""Who is told of approvals and of drafts, by what is true when it is told; reminders, the last call, escalation."""

from datetime import timedelta

import pytest
import time_machine
from django.db import transaction

from mlorch_site.accounts.models import User
from mlorch_site.accounts.roles import Role
from mlorch_site.accounts.selectors import actor_for_user
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib import clock
from mlorch_site.live.outbox import publish, relay
from mlorch_site.notices.kinds import notice_kind
from mlorch_site.notices.models import Notice
from registry import tasks
from registry.approvals.approval_timers import timers_run
from registry.approvals.services import approval_decide, approval_open, approval_withdraw
from registry.models import ApprovalRequest, ApprovalTimer, Policy
from registry.policy_lines import line_of
from registry.services import draft_create, draft_return, draft_submit
from registry.services.environments import environment_create
from tests.factories import make_person, take_role
from tests.registry.test_approvals import ENGINE, RULES

HOUR = timedelta(hours=1)


@pytest.fixture
def request_(people):
    """A request that was opened at noon, and told of."""
    environment = environment_create(
        actor=ENGINE,
        name="production",
        position=0,
        approval_rules=RULES,
        approval_days=5,
        remind_hours=24,
        escalate_hours=36,
        escalate_to="risk_officer",
    )
    with time_machine.travel("2026-11-30 12:00Z", tick=False):
        found = approval_open(
            actor=ENGINE,
            subject_kind="release",
            subject_id="r1",
            title="tumours version 2 to production/clinic",
            url="/",
            content={"plan": "a"},
            policy=Policy.objects.get(environment=environment),
            scopes=["environment:production", "model:tumours"],
            requester=people.emma.user,
            excluded=[],
        )
        relay()
    return found


def told(kind, **filters):
    """Who has notices of a kind that wait still."""
    rows = Notice.objects.filter(kind=kind, settled_at=None, **filters)
    return sorted(rows.values_list("person__username", flat=True))


def decide(request, person, kind="approve", comment=""):
    approval_decide(actor=actor_for_user(person.user), request=request, kind=kind, comment=comment)
    relay()


def sweep(request, hours):
    """Let the sweep look so many hours after the request was opened; return for how many it told somebody."""
    with time_machine.travel(request.created_at + hours * HOUR, tick=False):
        return timers_run(now=clock.now())


def test_opened__those_who_may_decide_are_told_and_nobody_else(people, request_):
    assert told("approval_waiting") == ["oscar", "rita"]
    relay()
    assert Notice.objects.count() == 2


def test_approved_by_one__waits_for_the_other_only(people, request_):
    decide(request_, people.rita)
    assert told("approval_waiting") == ["oscar"]
    assert told("approval_given") == []
    decide(request_, people.oscar)
    assert (told("approval_waiting"), told("approval_given")) == ([], ["emma"])


@pytest.mark.parametrize(("kind", "notice"), [("reject", "approval_refused"), ("request_changes", "changes_requested")])
def test_answer__is_told_to_whoever_asked_with_the_words(people, request_, kind, notice):
    decide(request_, people.rita, kind, "the slice of minors is missing")
    [row] = Notice.objects.filter(kind=notice)
    assert (row.person.username, "the slice of minors is missing" in row.sentence) == ("emma", True)
    relay()
    assert Notice.objects.filter(kind=notice).count() == 1


def test_withdrawn__is_told_to_nobody_and_waits_for_nobody(people, request_):
    approval_withdraw(actor=ENGINE, request=request_, reason="not wanted")
    relay()
    assert told("approval_waiting") == told("approval_refused") == []


def test_why_not_told__follows_the_rights_of_the_moment(people, request_):
    kind, thing = notice_kind("approval_waiting"), str(request_.pk)
    assert kind.why_not(actor_for_user(people.rita.user), thing) == kind.why_over(thing) == ""
    assert "You asked for this release" in kind.why_not(people.emma.actor, thing)
    take_role(people.ada.actor, people.rita.user, Role.REVIEWER)
    assert kind.why_not(actor_for_user(people.rita.user), thing)
    decide(request_, people.oscar, "reject", "no")
    assert kind.why_over(thing) == "The request is rejected by now."


def test_who_lost_the_role__is_not_reminded_and_who_got_it_is(people, request_):
    take_role(people.ada.actor, people.rita.user, Role.REVIEWER)
    nina = make_person("nina", [(Role.REVIEWER, "environment:production")])
    assert sweep(request_, 24) == 1
    assert told("approval_reminder") == ["nina", "oscar"]
    assert nina.user.is_active


def test_reminders__each_time_once_and_one_for_all_that_were_missed(people, request_):
    assert [sweep(request_, 23.9), sweep(request_, 24), sweep(request_, 24), sweep(request_, 47.9)] == [0, 1, 0, 1]
    # At 36 hours it was escalated: the sweep of 47.9 hours found that.
    assert told("approval_reminder", occasion="1") == ["oscar", "rita"]
    assert sweep(request_, 90) == 1
    assert told("approval_reminder", occasion="3") == []
    assert ApprovalTimer.objects.get().reminders == 2
    assert AuditRecord.objects.filter(action="approval.reminded").count() == 2


def test_escalation__tells_the_holders_once_until_it_is_decided(people, request_):
    assert [sweep(request_, 36), sweep(request_, 36)] == [1, 0]
    assert told("approval_escalated") == ["oscar"]
    timer = ApprovalTimer.objects.get()
    assert (timer.escalated_to, timer.escalated_at) == ("risk_officer", request_.created_at + 36 * HOUR)
    assert AuditRecord.objects.filter(action="approval.escalated").count() == 1
    decide(request_, people.rita)
    assert told("approval_escalated") == ["oscar"]
    decide(request_, people.oscar)
    assert told("approval_escalated") == []


def test_last_call__a_day_before_it_expires_and_never_after(people, request_):
    Policy.objects.update(remind_hours=720, escalate_hours=0)
    ApprovalTimer.objects.all().delete()
    assert sweep(request_, 95.9) == 0
    assert [sweep(request_, 96), sweep(request_, 97)] == [1, 0]
    assert told("approval_reminder", occasion="last") == ["oscar", "rita"]
    assert ApprovalTimer.objects.get().due_at is None


def test_decided__is_reminded_of_and_escalated_no_more(people, request_):
    decide(request_, people.rita, "reject", "no")
    assert sweep(request_, 119) == 0
    assert Notice.objects.filter(kind__in=["approval_reminder", "approval_escalated"]).count() == 0
    assert ApprovalTimer.objects.get().due_at is None


def test_opening_that_was_not_heard_of__is_found_by_the_tick(people, request_):
    ApprovalTimer.objects.all().delete()
    with time_machine.travel(request_.created_at + HOUR, tick=False):
        assert tasks.tick_is_due()
        tasks.tick()
        assert not tasks.tick_is_due()
    assert ApprovalTimer.objects.get().due_at == request_.created_at + 24 * HOUR


def test_policy_of_now__changes_no_deadline_of_a_request_that_froze_another(people, request_):
    frozen = Policy.objects.get()
    Policy.objects.update(retired_at=clock.now())
    Policy.objects.create(
        environment=frozen.environment, revision=9, approval_rules=RULES, remind_hours=1, created_at=clock.now()
    )
    ApprovalTimer.objects.all().delete()
    assert sweep(request_, 2) == 0


def test_mention__is_told_to_who_can_see_it(people, request_):
    data = {"request": str(request_.pk), "people": [people.vik.user.pk, people.noa.user.pk], "by": "rita", "comment": 7}
    with transaction.atomic():
        publish("approvals", "approval.mentioned", data)
    relay()
    thing, kind = str(request_.pk), notice_kind("mention")
    assert Notice.objects.get(kind="mention", person=people.vik.user).sentence == "rita mentioned you."
    assert [kind.why_not(people.vik.actor, thing), bool(kind.why_not(people.noa.actor, thing))] == ["", True]


def test_draft__waits_for_the_other_administrators_while_it_is_in_review(people, request_):
    make_person("alan", [(Role.ADMINISTRATOR, "environment:production")])
    make_person("stella", [(Role.ADMINISTRATOR, "environment:staging")])
    Policy.objects.update(protected=True)
    draft = draft_create(
        actor=people.ada.actor,
        line=line_of(Policy.objects.get()),
        values={"approval_rules": []},
        note="too slow",
    )
    relay()
    assert told("policy_review") == []
    draft = draft_submit(actor=people.ada.actor, draft=draft, seen=draft.row_version)
    relay()
    assert told("policy_review") == ["alan"]
    alan = actor_for_user(User.objects.get(username="alan"))
    draft_return(actor=alan, draft=draft, seen=draft.row_version, reason="no")
    relay()
    assert told("policy_review") == []
    assert ApprovalRequest.objects.count() == 1
