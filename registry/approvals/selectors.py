"""Reads of approval requests, for people and for the engine."""

from uuid import UUID

from django.db.models import QuerySet

from mlorch_site.accounts.actor import Actor, MissingRole
from mlorch_site.accounts.models import User
from mlorch_site.accounts.roles import Action, Role
from mlorch_site.accounts.selectors import actor_for_user
from mlorch_site.lib.errors import NotFound
from registry.approvals.rules import ApprovalProgress, evaluate
from registry.lifecycle import ApprovalStatus, DecisionKind
from registry.models import ApprovalRequest, Decision

WAITING_MAX = 200
DECIDED_BY = ("status", "requester", "excluded", "scopes", "rules")  # what `why_cannot_decide` reads of a request


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


def counting_decisions(request: ApprovalRequest) -> dict[int, Decision]:
    """The newest decision of each person, by user id (reads the decisions, unless a list has read those of all its
    rows).
    """
    decisions = request.decisions.all()
    if "decisions" not in getattr(request, "_prefetched_objects_cache", {}):
        decisions = decisions.select_related("person")
    return {decision.person_id: decision for decision in sorted(decisions, key=lambda row: (row.at, row.pk))}


def approving_decisions(request: ApprovalRequest) -> list[Decision]:
    """The decisions that count as approvals of what is asked about."""
    return [
        decision
        for user_id, decision in counting_decisions(request).items()
        if decision.kind == DecisionKind.APPROVE
        and user_id not in request.excluded
        and decision.content_hash == request.content_hash
    ]


def approval_progress(request: ApprovalRequest) -> ApprovalProgress:
    """How far the request's rules are met, by the roles people held when they decided."""
    approvals = {decision.person.username: decision.roles for decision in approving_decisions(request)}
    return evaluate(request.rules, approvals)


def why_cannot_decide(actor: Actor, request: ApprovalRequest) -> str:
    """Why this actor cannot decide on the request, empty when it can."""
    if request.status != ApprovalStatus.OPEN:
        return f"The request is {request.status}; nothing is to be decided."
    if actor.user is None:
        return "Only a person can decide."
    if actor.user.pk == request.requester_id:
        return "You asked for this release, so somebody else has to decide."
    if actor.user.pk in request.excluded:
        if actor.user.pk == request.requester.owner_id:  # read only here: a list asks this of each of its rows
            return "Your service account asked for this release, so somebody else has to decide."
        return "You made this version, so somebody else has to decide."
    if reason := actor.why_not(Action.RELEASE_DECIDE, request.scopes):
        return reason
    wanted = {str(rule["role"]) for rule in request.rules}
    if not wanted & {role.value for role in actor.roles_in(request.scopes)}:
        names = " or ".join(sorted(Role(role).label for role in wanted))
        ending = "and you are neither" if len(wanted) > 1 else "which you are not"
        return MissingRole(f"The policy asks for {names}, {ending}.", Action.RELEASE_DECIDE)
    return ""


def waiting_for(actor: Actor) -> QuerySet[ApprovalRequest]:
    """The open requests this actor can decide on and has not approved yet, oldest first (looks at the `WAITING_MAX`
    oldest).
    """
    requests = approvals_visible_to(actor).order_by("created_at")
    if actor.user is None:
        return requests.none()
    looked_at = requests.filter(status=ApprovalStatus.OPEN).select_related(None).only(*DECIDED_BY)[:WAITING_MAX]
    able = [request.pk for request in looked_at if not why_cannot_decide(actor, request)]
    own = Decision.objects.filter(person=actor.user, request__in=able).order_by("at", "pk")
    newest = dict(own.values_list("request", "kind"))
    return requests.filter(pk__in=[pk for pk in able if newest.get(pk) != DecisionKind.APPROVE])


def roles_now(user: User, scopes: list[str]) -> list[str]:
    """The roles a person holds in `scopes` today; none when disabled."""
    return sorted(role.value for role in actor_for_user(user).roles_in(scopes))
