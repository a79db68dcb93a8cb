"""What a reviewer's inbox shows of requests: whom each waits for, until when, and whether several can be decided
together (reads the database, as often for many rows as for few).
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import RoleBinding, User
from mlorch_site.accounts.roles import EVERYWHERE
from registry.approvals.holders import DECIDING
from registry.approvals.rules import GROUP, ApprovalProgress, holder_label
from registry.approvals.selectors import (
    approval_progress,
    approvals_visible_to,
    approving_decisions,
    counting_decisions,
    usable_voices,
    waiting_for,
)
from registry.approvals.voices import Voice, delegated_voices
from registry.lifecycle import ApprovalStatus, DecisionKind, RiskTier
from registry.models import ApprovalRequest, Decision

SOON = timedelta(hours=24)
NOT_IN_BULK = ("high", "critical")  # tiers in which each release is looked at by itself
TABS = ("mine", "open", "decided", "ended")


@dataclass(frozen=True)
class InboxRow:
    """One request. `awaited` are roles still asked for, with the people who hold them; `voices` the powers that the
    reader can decide with; `said` is what counts of what the reader said.
    """

    request: ApprovalRequest
    progress: ApprovalProgress
    is_due_soon: bool
    awaited: list[tuple[str, list[str]]] = field(default_factory=list)
    voices: list[Voice] = field(default_factory=list)
    said: Decision | None = None
    why_not_bulk: str = ""

    @property
    def why_not_choose(self) -> str:
        """Why it cannot be chosen to be decided on together with others, empty when it can."""
        return self.why_not_bulk or ("" if self.voices else "It is not for you to decide on.")

    @property
    def on_behalf_of(self) -> str:
        """Whom the reader decides for, when it cannot decide for itself."""
        return self.voices[0].person.username if self.voices and self.voices[0].delegation else ""


def inbox(actor: Actor, tab: str) -> QuerySet[ApprovalRequest]:
    """The requests of a tab: those that wait for the actor, all open ones, those it decided on, the ended ones."""
    if tab == "mine":
        return waiting_for(actor)
    visible = approvals_visible_to(actor)
    if tab == "decided":
        own = Decision.objects.filter(Q(person=actor.user) | Q(on_behalf_of=actor.user))
        return visible.filter(pk__in=own.values("request")) if actor.user else visible.none()
    is_open = Q(status=ApprovalStatus.OPEN)
    return visible.filter(is_open) if tab == "open" else visible.exclude(is_open)


@dataclass(frozen=True)
class _Held:
    """A role that somebody holds in a scope, with what they count by through it."""

    keys: set[str]
    scope: str
    user_id: int
    name: str


def inbox_rows(actor: Actor, requests: list[ApprovalRequest], now: datetime) -> list[InboxRow]:
    """What is shown of requests whose decisions, with their people, were read before."""
    awaited, delegated = _awaited(requests, now), delegated_voices(actor, now)
    return [_row(actor, request, awaited.get(str(request.pk), []), delegated, now) for request in requests]


def _row(
    actor: Actor, request: ApprovalRequest, awaited: list[tuple[str, list[str]]], delegated: list[Voice], now: datetime
) -> InboxRow:
    is_open = request.status == ApprovalStatus.OPEN
    voices = usable_voices(actor, request, delegated) if is_open else []
    key = actor.user.pk if actor.user else 0
    said = [row for row in counting_decisions(request) if key in (row.person_id, row.voice_id)]
    return InboxRow(
        request,
        approval_progress(request),
        is_open and request.expires_at - now < SOON,
        awaited,
        voices,
        next((row for row in said if row.kind != DecisionKind.TAKE_BACK), None),
        why_not_bulk(request),
    )


def why_not_bulk(request: ApprovalRequest) -> str:
    """Why a request may not be decided together with others, by the policy it was frozen with; empty when it may."""
    if not request.policy.bulk_decisions:
        return f"{request.policy} lets nobody decide on several releases at once."
    if request.risk_tier in NOT_IN_BULK or request.risk_tier not in [tier.value for tier in RiskTier]:
        tier = f"of risk tier {request.risk_tier}" if request.risk_tier else "of a model without a risk tier"
        return f"It is {tier}, so it is decided on by itself."
    return ""


def _awaited(requests: list[ApprovalRequest], now: datetime) -> dict[str, list[tuple[str, list[str]]]]:
    """Request → what it still asks for, with the people who count by it there and may still approve."""
    open_ones = [request for request in requests if request.status == ApprovalStatus.OPEN]
    held = _held(open_ones, now)
    found = {}
    for request in open_ones:
        lacking = [rule for rule in approval_progress(request).rules if not rule.met]
        done = {key for row in approving_decisions(request) for key in (row.person_id, row.voice_id)}
        out = {request.requester_id, *request.excluded, *done}
        places = {EVERYWHERE, *request.scopes}
        there = [one for one in held if one.scope in places and one.user_id not in out]
        found[str(request.pk)] = [
            (holder_label(rule.key), sorted({one.name for one in there if rule.key in one.keys})) for rule in lacking
        ]
    return found


def _held(requests: list[ApprovalRequest], now: datetime) -> list[_Held]:
    """The roles of active people in the scopes of the requests, each with the groups that count by it."""
    if not requests:
        return []
    scopes = {EVERYWHERE, *(scope for request in requests for scope in request.scopes)}
    rows = RoleBinding.objects.in_force(now).filter(scope__in=scopes, user__is_active=True)
    bindings = list(rows.values_list("role", "scope", "user_id", "user__username"))
    groups: dict[int, set[str]] = {}
    if any(rule.get("group") for request in requests for rule in request.rules):
        members = User.groups.through.objects.filter(user__in={user_id for _, _, user_id, _ in bindings})
        for user_id, name in members.values_list("user_id", "group__name"):
            groups.setdefault(user_id, set()).add(f"{GROUP}{name}")
    return [
        _Held({role, *(groups.get(user_id, ()) if role in DECIDING else ())}, scope, user_id, name)
        for role, scope, user_id, name in bindings
    ]
