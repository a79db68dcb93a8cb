"""Who is told what of an approval request, of a mention in its thread, and of an emergency.

What is told follows from how the request stands now, so events may come late, twice or out of order.
"""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import RoleBinding, User
from mlorch_site.accounts.roles import EVERYWHERE
from mlorch_site.accounts.selectors import actor_for_user
from mlorch_site.lib import clock
from mlorch_site.live.models import Event
from mlorch_site.notices.kinds import News, NoticeKind, register_kind
from mlorch_site.notices.services import notices_raise, notices_settle
from registry.approvals.holders import DECIDING
from registry.approvals.reviews import reviews_visible_to, why_cannot_review
from registry.approvals.selectors import (
    approvals_visible_to,
    own_counting_decision,
    usable_voices,
    why_cannot_decide,
)
from registry.approvals.voices import delegated_voices
from registry.lifecycle import ApprovalStatus, DecisionKind
from registry.models import ApprovalRequest, Emergency

WAITING, REMINDER, ESCALATED = "approval_waiting", "approval_reminder", "approval_escalated"
CHANGES, GIVEN, REFUSED, MENTION = "changes_requested", "approval_given", "approval_refused", "mention"
EMERGENCY_USED, REVIEW_OPEN = "emergency_used", "review_open"
ASKS = (WAITING, REMINDER, ESCALATED, CHANGES)  # what is done with as soon as the request has ended
UNSEEN = "The person cannot see it any more."
NOT_GIVEN = {
    ApprovalStatus.REJECTED: "It was rejected.",
    ApprovalStatus.EXPIRED: "Nobody decided in time.",
    ApprovalStatus.VOID: "What was to be approved has changed.",
}


def ids_holding(roles: Collection[str], scopes: list[str]) -> set[int]:
    """The ids of active people who hold one of the roles in the scopes now."""
    held = RoleBinding.objects.in_force(clock.now()).filter(role__in=roles, scope__in=[EVERYWHERE, *scopes])
    return set(held.filter(user__is_active=True).values_list("user", flat=True))


def deciders_of(request: ApprovalRequest) -> set[int]:
    """The ids of the people who may decide on the request now, for themselves or for others, and have not approved it.

    Whoever counts by a group or decides for somebody else holds a role that decides too.
    """
    people = User.objects.filter(pk__in=ids_holding(DECIDING, request.scopes))
    return {person.pk for person in people if not why_not_asked(actor_for_user(person), request)}


def why_not_asked(actor: Actor, request: ApprovalRequest) -> str:
    """Why the request does not wait for this actor, empty when it does."""
    if not usable_voices(actor, request, delegated_voices(actor, clock.now())):
        return why_cannot_decide(actor, request) or "The person may not decide on it."
    said = own_counting_decision(actor, request)
    has_approved = said and said.kind == DecisionKind.APPROVE and said.content_hash == request.content_hash
    return "The person has approved it." if has_approved else ""


def news_of(request: ApprovalRequest, kind: str, sentence: str, occasion: str = "") -> News:
    """What is told of a request; its page is where it is decided."""
    return News(
        kind=kind,
        thing=str(request.pk),
        title=request.title,
        sentence=sentence,
        path=f"/approvals/{request.pk}/",
        scopes=tuple(request.scopes),
        occasion=occasion,
        data={"approval": str(request.pk), request.subject_kind: request.subject_id, "status": request.status},
    )


def on_approval_changed(event: Event) -> None:
    """Tell whom a request concerns how it stands now."""
    rows = ApprovalRequest.objects.select_related("policy__environment", "requester")
    request = rows.filter(pk=event.data["request"]).first()
    if request is not None:
        approval_tell(request)


def approval_tell(request: ApprovalRequest) -> None:
    """Tell those who may decide while it is open, and the requester what became of it. Twice is harmless."""
    thing = str(request.pk)
    if request.status == ApprovalStatus.OPEN:
        people = deciders_of(request)
        sentence = f"{request.requester.username} asks for approval; it expires on {request.expires_at:%Y-%m-%d}."
        notices_settle(kinds=[WAITING, REMINDER], thing=thing, except_people=people)
        notices_raise(news=news_of(request, WAITING, sentence), people=people)
    else:
        notices_settle(kinds=ASKS, thing=thing)
    _tell_requester(request)


def _tell_requester(request: ApprovalRequest) -> None:
    me = {request.requester_id}
    if request.status == ApprovalStatus.OPEN:
        _tell_of_changes(request, me)
    elif request.status == ApprovalStatus.APPROVED and request.rules:
        notices_raise(news=news_of(request, GIVEN, "Every approval that is needed was given."), people=me)
    elif request.status in NOT_GIVEN:
        sentence = request.status_reason or NOT_GIVEN[ApprovalStatus(request.status)]
        notices_raise(news=news_of(request, REFUSED, sentence), people=me)


def _tell_of_changes(request: ApprovalRequest, me: set[int]) -> None:
    for decision in request.decisions.filter(kind=DecisionKind.REQUEST_CHANGES).select_related("person"):
        if decision.content_hash == request.content_hash:
            sentence = f"{decision.person.username} asks for changes: {decision.comment}"
            notices_raise(news=news_of(request, CHANGES, sentence, str(decision.pk)), people=me)


def on_approval_mentioned(event: Event) -> None:
    """Tell who was mentioned in the thread of a request: `people` are ids, `comment` the comment's, `by` a name."""
    request = ApprovalRequest.objects.filter(pk=event.data["request"]).first()
    people = event.data.get("people") or [event.data["person"]]
    if request is not None:
        sentence = f"{event.data.get('by') or 'Somebody'} mentioned you."
        occasion = str(event.data.get("comment", ""))[:40]
        notices_raise(news=news_of(request, MENTION, sentence, occasion), people={int(pk) for pk in people})


def on_emergency_changed(event: Event) -> None:
    """Tell everybody who was skipped that an emergency was used, and those who can that it is to be reviewed."""
    rows = Emergency.objects.select_related("request__policy__environment", "request__requester", "used_by")
    used = rows.filter(pk=event.data["emergency"]).first()
    if used is not None:
        emergency_tell(used)


def emergency_tell(used: Emergency) -> None:
    """Tell of a use of an emergency and of its review. Twice is harmless."""
    skipped = set(User.objects.filter(username__in=used.skipped["people"]).values_list("pk", flat=True))
    people = (skipped | {used.request.requester_id}) - {used.used_by_id}
    notices_raise(news=_emergency_news(used, EMERGENCY_USED, used.sentence), people=people)
    if not used.is_open:
        notices_settle(kinds=[REVIEW_OPEN], thing=str(used.pk))
        return
    sentence = (
        f"Begun without approvals by {used.used_by.username}; somebody else has to look at it and say what they find."
    )
    could = User.objects.filter(pk__in=ids_holding(DECIDING, used.request.scopes))
    able = {person.pk for person in could if not why_cannot_review(actor_for_user(person), used)}
    notices_raise(news=_emergency_news(used, REVIEW_OPEN, sentence), people=able)


def _emergency_news(used: Emergency, kind: str, sentence: str) -> News:
    request = used.request
    data: dict[str, Any] = {"emergency": str(used.pk), request.subject_kind: request.subject_id, "ticket": used.ticket}
    return News(kind, str(used.pk), request.title, sentence, f"/reviews/{used.pk}/", tuple(request.scopes), data=data)


def _request_seen_by(actor: Actor, thing: str) -> ApprovalRequest | None:
    return approvals_visible_to(actor).filter(pk=UUID(thing)).first()


def _why_not_seen(actor: Actor, thing: str) -> str:
    return "" if _request_seen_by(actor, thing) else UNSEEN


def _why_not_asked(actor: Actor, thing: str) -> str:
    request = _request_seen_by(actor, thing)
    return why_not_asked(actor, request) if request else UNSEEN


def _why_decided(thing: str) -> str:
    status = ApprovalRequest.objects.filter(pk=UUID(thing)).values_list("status", flat=True).first()
    return "" if status == ApprovalStatus.OPEN else f"The request is {status or 'gone'} by now."


def _still(status: ApprovalStatus | None) -> Any:
    """Why a request does not stand so any more."""

    def why_over(thing: str) -> str:
        now = ApprovalRequest.objects.filter(pk=UUID(thing)).values_list("status", flat=True).first()
        wanted = NOT_GIVEN if status is None else (status,)
        return "" if now in wanted else f"The request is {now or 'gone'} by now."

    return why_over


def _why_reviewed(thing: str) -> str:
    is_open = Emergency.objects.filter(pk=UUID(thing), closed_at=None).exists()
    return "" if is_open else "The review is closed by now."


def _why_not_reviewer(actor: Actor, thing: str) -> str:
    used = reviews_visible_to(actor).filter(pk=UUID(thing)).first()
    return why_cannot_review(actor, used) if used else UNSEEN


def _why_emergency_unseen(actor: Actor, thing: str) -> str:
    return "" if reviews_visible_to(actor).filter(pk=UUID(thing)).exists() else UNSEEN


def _never_over(thing: str) -> str:
    return ""


def register_kinds() -> None:
    """Called once, when the app is ready."""
    for kind in (
        NoticeKind(WAITING, "Approval wanted", _why_decided, _why_not_asked, waits=True),
        NoticeKind(REMINDER, "Approval still wanted", _why_decided, _why_not_asked, waits=True),
        NoticeKind(ESCALATED, "Approval escalated", _why_decided, _why_not_seen, waits=True),
        NoticeKind(CHANGES, "Changes asked for", _why_decided, _why_not_seen, waits=True),
        NoticeKind(GIVEN, "Approved", _still(ApprovalStatus.APPROVED), _why_not_seen),
        NoticeKind(REFUSED, "Not approved", _still(None), _why_not_seen),
        NoticeKind(MENTION, "Mention", _never_over, _why_not_seen),
        NoticeKind(EMERGENCY_USED, "Emergency used", _never_over, _why_emergency_unseen, must_mail=True),
        NoticeKind(REVIEW_OPEN, "Emergency to be reviewed", _why_reviewed, _why_not_reviewer, waits=True),
    ):
        register_kind(kind)
