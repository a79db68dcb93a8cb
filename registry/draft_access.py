"""Who sees a draft of a policy, and who may change and publish it (reads the database)."""

from uuid import UUID

from django.db.models import Q, QuerySet

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import actor_for_user
from mlorch_site.lib.errors import NotFound
from registry.lifecycle import PolicyStage
from registry.models import PolicyDraft
from registry.selectors import environments_visible_to, policies_in_force


def drafts_visible_to(actor: Actor) -> QuerySet[PolicyDraft]:
    """The drafts of policies that an actor may see: those in review and scheduled wherever it sees the environment,
    what is still being written where it may write policies.
    """
    seen = environments_visible_to(actor)
    writes = [one.pk for one in seen if actor.may(Action.POLICY_EDIT, [one.scope])]
    rows = PolicyDraft.objects.filter(environment__in=seen)
    rows = rows.filter(Q(environment__in=writes) | ~Q(stage=PolicyStage.DRAFT))
    return rows.select_related("environment", "model", "base", "created_by", "published_by", "made")


def draft_for(actor: Actor, pk: UUID, *, action: Action = Action.VIEW) -> PolicyDraft:
    """One draft of a policy. Raises NotFound or Forbidden."""
    draft = drafts_visible_to(actor).filter(pk=pk).first()
    if draft is None:
        raise NotFound("There is no such draft of a policy.")
    if action is not Action.VIEW:
        actor.require(action, [draft.environment.scope])
    return draft


def why_cannot_edit(actor: Actor, draft: PolicyDraft) -> str:
    """Why this actor cannot change a draft, empty when it can."""
    if reason := actor.why_not(Action.POLICY_EDIT, [draft.environment.scope]):
        return reason
    if draft.stage != PolicyStage.DRAFT:
        return f"Only a draft is edited, and this is {PolicyStage(draft.stage).words}."
    return ""


def why_cannot_publish(actor: Actor, draft: PolicyDraft) -> str:
    """Why this actor cannot publish what is in review, empty when it can (reads the authors' roles)."""
    if draft.stage != PolicyStage.REVIEW:
        return f"What is in review is published, and this is {PolicyStage(draft.stage).words}."
    return why_not_publisher(actor, draft)


def why_not_publisher(actor: Actor, draft: PolicyDraft) -> str:
    """Why this actor does not count as who publishes a draft, whatever its stage (reads the authors' roles)."""
    scopes = [draft.environment.scope]
    if reason := actor.why_not(Action.POLICY_EDIT, scopes):
        return reason
    if actor.user is None:
        return "Only a person can publish a policy."
    authors = list(draft.authors.order_by("username"))
    lines = policies_in_force(draft.environment)
    if actor.user in authors and any(line.protected for line in lines):
        return f"You wrote this, and {draft.environment} is protected: another administrator has to publish it."
    for author in authors:
        if not author.is_active or not actor_for_user(author).may(Action.POLICY_EDIT, scopes):
            return f"{author.username}, who wrote this, may not write policies any more; send it back, or withdraw it."
    return ""
