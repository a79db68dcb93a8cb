"""Bring a reviewed draft of a policy into force: by a person, or on the day that it was published for."""

from datetime import datetime

import structlog
from django.db import transaction
from django.db.models import QuerySet

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import User
from mlorch_site.accounts.selectors import actor_for_user
from mlorch_site.audit.services import audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, DomainError, Forbidden
from mlorch_site.live.outbox import publish
from registry import audit_subjects
from registry.actors import POLICIES
from registry.draft_access import why_not_publisher
from registry.draft_conflict import text_of
from registry.lifecycle import PolicyStage
from registry.models import Policy, PolicyDraft
from registry.policy_lines import line_of, title_of
from registry.services.environments import PolicyChange, check_operators, check_reviewers, policy_change, revision_write
from registry.services.policy_drafts import check_base, draft_locked, draft_move, require_publisher

log = structlog.get_logger(__name__)


@transaction.atomic
def draft_publish(*, actor: Actor, draft: PolicyDraft, seen: int) -> Policy:
    """Bring what is in review into force, as the next revision of its line, and return it; of a draft that ends its
    line, return the revision that was retired.

    `seen` is the `row_version` that was looked at. Raises Forbidden for an author of it in a protected environment and
    for people without the role, Conflict when it is not in review (any more), was changed since, or has lost its base,
    Invalid when nobody could meet its approval rules.
    """
    draft = draft_locked(draft, seen)
    require_publisher(actor, draft)
    return _take_effect(actor, draft)


def _take_effect(actor: Actor, draft: PolicyDraft) -> Policy:
    """Write a locked draft as the revision in force; everything is asked once more."""
    check_base(draft)
    if draft.ends_line:
        return _end_line(actor, draft)
    based_on = draft.base.revision if draft.base else 0
    by = actor.on_behalf(draft.created_by.username)
    values = {**text_of(draft), "note": draft.note}
    change: PolicyChange = policy_change(actor=by, line=line_of(draft), based_on=based_on, fields=values)
    check_reviewers(change.line, draft.values["approval_rules"])
    check_operators(change.line.environment, draft.values.get("operators", {}))
    policy = revision_write(actor=by, change=change, author=draft.created_by)
    _published(draft, actor, policy)
    return policy


def _end_line(actor: Actor, draft: PolicyDraft) -> Policy:
    policy = draft.base
    if policy is None:
        raise Conflict("This line was ended already.")
    Policy.objects.filter(pk=policy.pk).update(retired_at=clock.now())
    by = actor.on_behalf(draft.created_by.username)
    data = {"line": line_of(policy).words, "revision": policy.revision}
    audit_record(by, "policy.ended", audit_subjects.of_policy(policy), reason=draft.note, data=data)
    publish("registry", "policy.changed", {"environment": draft.environment.name, "revision": policy.revision})
    _published(draft, actor, policy)
    return policy


def _published(draft: PolicyDraft, actor: Actor, policy: Policy) -> None:
    publisher = actor.user or draft.published_by
    reason = f"{title_of(policy)} {'was ended' if draft.ends_line else 'is in force'}."
    draft_move(draft, PolicyStage.IN_FORCE, actor=actor, reason=reason, made=policy, published_by=publisher)


def drafts_due(now: datetime) -> QuerySet[PolicyDraft]:
    """The drafts whose day has come."""
    return PolicyDraft.objects.filter(stage=PolicyStage.SCHEDULED, starts_at__lte=now)


def draft_take_effect(*, draft: PolicyDraft, now: datetime) -> Policy | None:
    """Bring a scheduled draft into force when its day has come; twice is harmless. What holds no more sends it back,
    saying what: then None.
    """
    try:
        with transaction.atomic():
            found = _due(draft, now)
            return _take_effect(_publisher_of(found), found) if found else None
    except DomainError as error:
        log.warning("policy.not_in_force", draft=str(draft.pk), error=error.message[:200])
        _send_back(draft, now, error.message)
        return None


def _due(draft: PolicyDraft, now: datetime) -> PolicyDraft | None:
    """The draft, locked, unless it was brought into force or taken back meanwhile."""
    if not drafts_due(now).filter(pk=draft.pk).exists():
        return None
    found = draft_locked(draft, None)
    is_due = found.stage == PolicyStage.SCHEDULED and found.starts_at is not None and found.starts_at <= now
    return found if is_due else None


def _publisher_of(draft: PolicyDraft) -> Actor:
    """Who published it, as they may act now. Raises Forbidden when they may not any more."""
    publisher: User | None = draft.published_by
    if publisher is None or not publisher.is_active:
        raise Forbidden("Whoever published this has no account any more.")
    actor = actor_for_user(publisher)
    if why := why_not_publisher(actor, draft):
        raise Forbidden(f"{publisher.username} published this and may not any more. {why}")
    return actor


@transaction.atomic
def _send_back(draft: PolicyDraft, now: datetime, why: str) -> None:
    if found := _due(draft, now):
        reason = f"It did not come into force: {why}"[:500]
        draft_move(found, PolicyStage.DRAFT, actor=POLICIES, reason=reason, starts_at=None, published_by=None)
