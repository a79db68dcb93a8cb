"""Who is told of a draft of a policy in review: those who may publish it, while it waits for them."""

from uuid import UUID

from django.urls import reverse

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import User
from mlorch_site.accounts.roles import Action, roles_that_allow
from mlorch_site.accounts.selectors import actor_for_user
from mlorch_site.live.models import Event
from mlorch_site.notices.kinds import News, NoticeKind, register_kind
from mlorch_site.notices.services import notices_raise, notices_settle
from registry.approvals.approval_notices import ids_holding
from registry.draft_access import why_cannot_publish
from registry.lifecycle import PolicyStage
from registry.models import PolicyDraft
from registry.policy_lines import line_of

REVIEW = "policy_review"


def on_draft_changed(event: Event) -> None:
    """Tell who can publish a draft that is in review; one that is not waits for nobody."""
    draft = _draft(event.data["draft"])
    if draft is not None and draft.stage == PolicyStage.REVIEW:
        _review_tell(draft)
    else:
        notices_settle(kinds=[REVIEW], thing=str(event.data["draft"]))


def _draft(pk: str) -> PolicyDraft | None:
    return PolicyDraft.objects.select_related("environment", "model", "base", "created_by").filter(pk=UUID(pk)).first()


def _review_tell(draft: PolicyDraft) -> None:
    scopes = [draft.environment.scope]
    held = ids_holding([role.value for role in roles_that_allow(Action.POLICY_EDIT)], scopes)
    people = {one.pk for one in User.objects.filter(pk__in=held) if not why_cannot_publish(actor_for_user(one), draft)}
    own = set(draft.authors.values_list("pk", flat=True))
    sentence = f"{draft.created_by.username} asks that a change of the policy is published: {draft.note}"
    title = f"The policy of {line_of(draft).words}"
    news = News(
        REVIEW,
        str(draft.pk),
        title,
        sentence,
        reverse("policy-draft", args=[draft.pk]),
        tuple(scopes),
        str(draft.row_version),
    )
    notices_raise(news=news, people=people - own)


def _why_over(thing: str) -> str:
    draft = _draft(thing)
    return "" if draft is not None and draft.stage == PolicyStage.REVIEW else "It is not in review any more."


def _why_not(actor: Actor, thing: str) -> str:
    draft = _draft(thing)
    return why_cannot_publish(actor, draft) if draft is not None else "The draft is gone."


def register_kinds() -> None:
    """Called once, when the app is ready."""
    register_kind(NoticeKind(REVIEW, "A change of policy waits for me", _why_over, _why_not, waits=True))
