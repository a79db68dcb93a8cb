"""Reads of approval requests, for people and for the engine."""

from collections.abc import Collection
from uuid import UUID

from django.db.models import QuerySet

from mlorch_site.accounts.actor import Actor, MissingRole
from mlorch_site.accounts.models import User
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.scopes import scope_label
from mlorch_site.accounts.selectors import actor_for_user
from mlorch_site.lib import clock
from mlorch_site.lib.errors import NotFound
from registry.approvals.holders import groups_of, keys_held
from registry.approvals.rules import GROUP, ApprovalProgress, evaluate, keys_of, member_label
from registry.approvals.voices import Voice, covers, delegated_voices, own_voice
from registry.lifecycle import ApprovalStatus, DecisionKind
from registry.models import ApprovalRequest, Decision

WAITING_MAX = 200
# What `why_cannot_decide` reads of a request.
DECIDED_BY = ("status", "requester", "excluded", "authors", "scopes", "rules")


def approvals_visible_to(actor: Actor) -> QuerySet[ApprovalRequest]:
    """The requests an actor may see: those whose scopes it has a binding in (reads the scopes of all for a scoped
    actor).
    """
    requests = ApprovalRequest.objects.select_related("requester", "policy__environment")
    scopes = actor.visible_scopes()
    if scopes is None:
        return requests
    visible = [pk for pk, own in ApprovalRequest.objects.values_list("pk", "scopes") if scopes & set(own)]
    return requests.filter(pk__in=visible)


def approval_for(actor: Actor, pk: UUID | str, *, action: Action = Action.VIEW) -> ApprovalRequest:
    """A request the actor may do `action` on. Raises NotFound or Forbidden."""
    request = approvals_visible_to(actor).filter(pk=pk).first()
    if request is None:
        raise NotFound("There is no such approval request.")
    actor.require(action, request.scopes)
    return request


def counting_decisions(request: ApprovalRequest) -> list[Decision]:
    """The newest decision of each person and of each power, oldest first (reads the decisions, unless a list has read
    those of all its rows).

    One person once: what somebody says for themselves and what they say for another one replace each other, and so do
    what somebody says and what another one says for them.
    """
    decisions = request.decisions.all()
    if "decisions" not in getattr(request, "_prefetched_objects_cache", {}):
        decisions = decisions.select_related("person", "on_behalf_of", "delegation")
    counting: list[Decision] = []
    for decision in sorted(decisions, key=lambda row: (row.at, row.pk)):
        counting = [
            row for row in counting if row.person_id != decision.person_id and row.voice_id != decision.voice_id
        ]
        counting.append(decision)
    return counting


def approving_decisions(request: ApprovalRequest) -> list[Decision]:
    """The decisions that count as approvals of what is asked about."""
    return [
        decision
        for decision in counting_decisions(request)
        if decision.kind == DecisionKind.APPROVE
        and not {decision.person_id, decision.voice_id} & set(request.excluded)
        and decision.content_hash == request.content_hash
    ]


def own_counting_decision(actor: Actor, request: ApprovalRequest) -> Decision | None:
    """What counts so far of what the actor said, or of what somebody said for the actor; None where nothing does."""
    if actor.user is None:
        return None
    said = [row for row in counting_decisions(request) if row.kind != DecisionKind.TAKE_BACK]
    own = [row for row in said if row.person_id == actor.user.pk]
    return next(iter([*own, *(row for row in said if row.voice_id == actor.user.pk)]), None)


def approval_progress(request: ApprovalRequest) -> ApprovalProgress:
    """How far the request's rules are met, by the roles and groups people held when they decided."""
    approvals = {decision.by: decision.roles for decision in approving_decisions(request)}
    return evaluate(request.rules, approvals)


def why_cannot_decide(actor: Actor, request: ApprovalRequest, groups: Collection[str] | None = None) -> str:
    """Why this actor cannot decide on the request, empty when it can.

    The actor's groups are read from the database where a rule asks for one, unless they are given.
    """
    if request.status != ApprovalStatus.OPEN:
        return f"The request is {request.status}; nothing is to be decided."
    if actor.user is None:
        return "Only a person can decide."
    if actor.user.pk == request.requester_id:
        return "You asked for this release, so somebody else has to decide."
    if actor.user.pk in request.authors.get("people", []):
        return "By MLflow's word you made this version, so somebody else has to decide."
    if actor.user.pk in request.excluded:
        if actor.user.pk == request.requester.owner_id:  # read only here: a list asks this of each of its rows
            return "Your service account asked for this release, so somebody else has to decide."
        return "You wrote part of what this is about, so somebody else has to decide."
    if reason := actor.why_not(Action.RELEASE_DECIDE, request.scopes):
        return reason
    wanted = keys_of(request.rules)
    asks_for_group = any(key.startswith(GROUP) for key in wanted)
    if not wanted & set(keys_held(actor, request.scopes, groups if asks_for_group else ())):
        names = " or ".join(sorted(member_label(key) for key in wanted))
        ending = "and you are neither" if len(wanted) > 1 else "which you are not"
        return MissingRole(f"The policy asks for {names}, {ending}.", Action.RELEASE_DECIDE)
    return ""


def why_voice_cannot_decide(actor: Actor, request: ApprovalRequest, voice: Voice) -> str:
    """Why the actor cannot decide on the request with a power that was delegated, empty when it can."""
    if request.status != ApprovalStatus.OPEN:
        return f"The request is {request.status}; nothing is to be decided."
    name, excluded = voice.person.username, {request.requester_id, *request.excluded}
    if actor.user is None or voice.delegation is None:
        return "Only a person can decide."
    if actor.user.pk in excluded:
        return f"You may not decide on this yourself, so you may not for {name}."
    if not covers(voice.delegation, request.scopes):
        places = " or ".join(scope_label(scope) for scope in voice.delegation.scopes)
        return f"{name} gave you the power to decide for {places} only."
    if reason := actor.why_not(Action.RELEASE_DECIDE, request.scopes):
        return reason
    if voice.person.pk in excluded or why_cannot_decide(voice.holder, request):
        return f"{name} may not decide on this, so nobody may for {name}."
    return ""


def usable_voices(
    actor: Actor, request: ApprovalRequest, delegated: list[Voice], groups: Collection[str] | None = None
) -> list[Voice]:
    """The powers the actor can decide with: the own first, then those of `delegated` that reach. The actor's groups
    are read where a rule asks for one, unless they are given.
    """
    own = [] if why_cannot_decide(actor, request, groups) else [own_voice(actor)]
    return [*own, *(voice for voice in delegated if not why_voice_cannot_decide(actor, request, voice))]


def waiting_for(actor: Actor) -> QuerySet[ApprovalRequest]:
    """The open requests this actor can decide on, for itself or for others, and has not approved yet, oldest first
    (looks at the `WAITING_MAX` oldest).
    """
    requests = approvals_visible_to(actor).order_by("created_at")
    if actor.user is None:
        return requests.none()
    looked_at = requests.filter(status=ApprovalStatus.OPEN).select_related(None).only(*DECIDED_BY)[:WAITING_MAX]
    groups, delegated = groups_of(actor.user), delegated_voices(actor, clock.now())
    able = [request.pk for request in looked_at if usable_voices(actor, request, delegated, groups)]
    own = Decision.objects.filter(person=actor.user, request__in=able).order_by("at", "pk")
    newest = dict(own.values_list("request", "kind"))
    return requests.filter(pk__in=[pk for pk in able if newest.get(pk) != DecisionKind.APPROVE])


def roles_now(user: User, scopes: list[str]) -> list[str]:
    """What a person counts by in `scopes` today, roles and groups; nothing when disabled."""
    return keys_held(actor_for_user(user), scopes)
