"""Reminders, the last call and escalation of open approval requests, by deadlines that the request's policy sets.

Deadlines are rows; a sweep does what is due. After a time in which nothing ran one reminder makes up for all that were
missed. A request that is decided is not told of again.
"""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet

from mlorch_site.accounts.roles import Role
from mlorch_site.audit.services import audit_record
from mlorch_site.lib.swap import swap
from mlorch_site.live.outbox import publish
from mlorch_site.notices.services import notices_raise
from registry import audit_subjects
from registry.actors import APPROVALS
from registry.approvals.approval_notices import ESCALATED, REMINDER, deciders_of, ids_holding, news_of
from registry.lifecycle import ApprovalStatus
from registry.models import ApprovalRequest, ApprovalTimer

LAST_CALL = timedelta(days=1)


def timers_due(now: datetime) -> QuerySet[ApprovalTimer]:
    """The timers with something to do."""
    return ApprovalTimer.objects.filter(due_at__lte=now)


def requests_without_timer() -> QuerySet[ApprovalRequest]:
    """The open requests that have none yet: the news that they were opened was lost, or is late."""
    return ApprovalRequest.objects.filter(status=ApprovalStatus.OPEN, timer=None)


@transaction.atomic
def timer_ensure(*, request: ApprovalRequest) -> ApprovalTimer | None:
    """Give an open request its deadlines; None when it is not open. Twice is harmless."""
    if request.status != ApprovalStatus.OPEN:
        return None
    policy, opened = request.policy, request.created_at
    last_call = request.expires_at - LAST_CALL
    values = {
        "remind_at": opened + timedelta(hours=policy.remind_hours) if policy.remind_hours else None,
        "last_call_at": last_call if last_call > opened else None,
        "escalate_at": opened + timedelta(hours=policy.escalate_hours)
        if policy.escalate_hours and policy.escalate_to
        else None,
    }
    timer, is_new = ApprovalTimer.objects.get_or_create(request=request, defaults=values)
    if is_new:
        swap(timer, "due_at", due_at=_next(timer, request))
    return timer


def _next(timer: ApprovalTimer, request: ApprovalRequest) -> datetime | None:
    """The nearest deadline before the request expires."""
    waiting = [timer.remind_at]
    waiting += [timer.last_call_at] if timer.last_called_at is None else []
    waiting += [timer.escalate_at] if timer.escalated_at is None else []
    found = [moment for moment in waiting if moment is not None and moment < request.expires_at]
    return min(found) if found else None


def timers_run(*, now: datetime) -> int:
    """Do what is due, and give timers to requests without; return for how many requests people were told."""
    for request in requests_without_timer().select_related("policy"):
        timer_ensure(request=request)
    return sum(_run(pk, now) for pk in timers_due(now).values_list("pk", flat=True))


@transaction.atomic
def _run(pk: int, now: datetime) -> bool:
    """Do what is due for one request, once, whoever comes at the same time; False when there was nothing."""
    rows = ApprovalTimer.objects.select_for_update(of=("self",))
    timer = rows.select_related("request__policy__environment", "request__requester").get(pk=pk)
    request = (
        ApprovalRequest.objects.select_for_update(of=("self",))
        .select_related("policy__environment")
        .get(pk=timer.request_id)
    )
    if timer.due_at is None or timer.due_at > now:
        return False
    if request.status != ApprovalStatus.OPEN or request.expires_at <= now:
        swap(timer, "due_at", due_at=None)
        return False
    told = [act(timer, request, now) for act in (_escalate, _last_call, _remind)]
    timer.due_at = _next(timer, request)
    timer.save()
    return any(told)


def _escalate(timer: ApprovalTimer, request: ApprovalRequest, now: datetime) -> bool:
    """Tell the holders of the policy's role that nobody has decided, once."""
    if timer.escalated_at is not None or timer.escalate_at is None or timer.escalate_at > now:
        return False
    role = Role(request.policy.escalate_to)
    people = ids_holding([role.value], request.scopes) - {request.requester_id}
    timer.escalated_at, timer.escalated_to = now, role.value
    hours = request.policy.escalate_hours
    sentence = f"Nobody has decided within {hours} hour{'s' if hours != 1 else ''}; escalated to {role.label}."
    notices_raise(news=news_of(request, ESCALATED, sentence), people=people)
    data = {"role": role.value, "told": len(people)}
    audit_record(APPROVALS, "approval.escalated", audit_subjects.of_approval(request), reason=sentence, data=data)
    data = {"request": str(request.pk), "subject_kind": request.subject_kind, "subject_id": request.subject_id}
    publish("approvals", "approval.changed", {**data, "status": request.status})
    return True


def _last_call(timer: ApprovalTimer, request: ApprovalRequest, now: datetime) -> bool:
    """Tell those who may still decide that the request expires soon, once."""
    if timer.last_called_at is not None or timer.last_call_at is None or timer.last_call_at > now:
        return False
    timer.last_called_at = now
    _tell_again(request, f"It expires on {request.expires_at:%Y-%m-%d at %H:%M} UTC.", "last")
    return True


def _remind(timer: ApprovalTimer, request: ApprovalRequest, now: datetime) -> bool:
    """Tell those who may still decide, every so many hours; not together with the last call."""
    if timer.remind_at is None or timer.remind_at > now:
        return False
    every = timedelta(hours=request.policy.remind_hours)
    timer.remind_at = now + every
    if timer.last_called_at == now:
        return False
    timer.reminders += 1
    waits = int((now - request.created_at) / timedelta(hours=1))
    _tell_again(request, f"It has waited for {waits} hour{'s' if waits != 1 else ''}.", str(timer.reminders))
    return True


def _tell_again(request: ApprovalRequest, sentence: str, occasion: str) -> None:
    people = deciders_of(request)
    notices_raise(news=news_of(request, REMINDER, sentence, occasion), people=people)
    data = {"told": len(people), "occasion": occasion}
    audit_record(APPROVALS, "approval.reminded", audit_subjects.of_approval(request), reason=sentence, data=data)
