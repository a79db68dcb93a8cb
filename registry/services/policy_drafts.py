"""Drafts of policies: written, reviewed, published, and in force at once or on their day."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.proof import require_recent_authentication
from mlorch_site.accounts.roles import Action
from mlorch_site.audit.services import audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Forbidden, IllegalTransition, Invalid
from mlorch_site.live.outbox import publish
from registry import audit_subjects
from registry.draft_access import why_cannot_edit, why_cannot_publish
from registry.draft_conflict import conflict_of, merged
from registry.lifecycle import POLICY_MOVES, WAITING_STAGES, PolicyStage
from registry.models import Environment, Policy, PolicyDraft
from registry.policy_fields import POLICY_FIELDS, check_policy
from registry.policy_lines import PolicyLine, line_of, ruling_before
from registry.selectors import policies_in_force
from registry.services.environments import check_operators, check_reviewers, line_locked, policy_values

REASON_MAX_CHARS = 300
AHEAD_MAX = timedelta(days=366)
SAID_FIELDS = tuple(field for field in POLICY_FIELDS if field != "note")


@transaction.atomic
def draft_create(
    *, actor: Actor, line: PolicyLine, values: dict[str, Any] | None = None, note: str = "", ends_line: bool = False
) -> PolicyDraft:
    """Begin the next revision of a line, from what rules its models now; `values` are fields that differ.

    Several drafts of a line may be open at once. Raises Forbidden without the role, Invalid with the field to blame.
    """
    actor.require(Action.POLICY_EDIT, [line.environment.scope])
    if actor.user is None:
        raise Forbidden("Only a person can write a policy.")
    line = line_locked(line, deleted=ends_line)
    lines = policies_in_force(line.environment)
    base = next((policy for policy in lines if line.is_line_of(policy)), None)
    if ends_line and (base is None or line.is_whole):
        raise Invalid("Only a line for a model or a tier that is in force can be ended.")
    before = base or ruling_before(lines, line)
    now = clock.now()
    draft = PolicyDraft.objects.create(
        environment=line.environment,
        model=line.model,
        model_made_at=line.model.created_at if line.model else None,
        tier=line.tier,
        base=base,
        values=_checked({**(_said(before) if before else {}), **(values or {})}),
        note=_short(note),
        ends_line=ends_line,
        created_by=actor.user,
        created_at=now,
        changed_at=now,
    )
    draft.authors.add(actor.user)
    _tell(draft, actor=actor, verb="created", reason=draft.note)
    return draft


def _said(policy: Policy) -> dict[str, Any]:
    return {name: value for name, value in policy_values(policy).items() if name != "note"}


def _checked(values: dict[str, Any]) -> dict[str, Any]:
    """All fields of a policy, with what is usual where nothing is given. Raises Invalid with the field to blame."""
    check_policy(values)
    usual = _said(Policy())
    return {name: values.get(name, usual[name]) for name in SAID_FIELDS}


def _short(text: str) -> str:
    if len(text) > REASON_MAX_CHARS:
        raise Invalid(f"The reason has at most {REASON_MAX_CHARS} characters.", details={"note": "too long"})
    return text.strip()


@transaction.atomic
def draft_edit(*, actor: Actor, draft: PolicyDraft, seen: int, values: dict[str, Any], note: str) -> PolicyDraft:
    """Write the text of a draft; fields not given stay as they are. `seen` is the `row_version` that was looked at.

    Raises Conflict when somebody changed it since, or it is no draft (any more); Invalid with the field to blame.
    """
    draft = draft_locked(draft, seen)
    if why := why_cannot_edit(actor, draft):
        raise (Conflict if actor.may(Action.POLICY_EDIT, [draft.environment.scope]) else Forbidden)(why)
    if actor.user is None:
        raise Forbidden("Only a person can write a policy.")
    values = _checked({**draft.values, **values})
    changed = {name: value for name, value in values.items() if draft.values.get(name) != value}
    _write(draft, values=values, note=_short(note))
    draft.authors.add(actor.user)
    _tell(draft, actor=actor, verb="edited", reason=draft.note, data=changed)
    return draft


@transaction.atomic
def draft_rebase(*, actor: Actor, draft: PolicyDraft, seen: int) -> PolicyDraft:
    """Go on from the revision that came into force meanwhile: what the draft did not change is taken from it, what it
    changed stays. Harmless when there is nothing to settle. Raises as `draft_edit` does.
    """
    draft = draft_locked(draft, seen)
    if why := why_cannot_edit(actor, draft):
        raise (Conflict if actor.may(Action.POLICY_EDIT, [draft.environment.scope]) else Forbidden)(why)
    conflict = conflict_of(draft)
    if conflict is None:
        return draft
    _write(draft, values=_checked(merged(conflict, draft)), base=conflict.newest)
    if actor.user is not None:
        draft.authors.add(actor.user)
    _tell(draft, actor=actor, verb="rebased", reason=conflict.sentence)
    return draft


@transaction.atomic
def draft_submit(*, actor: Actor, draft: PolicyDraft, seen: int) -> PolicyDraft:
    """Put a draft up for review. Raises Invalid without a reason and when nobody could meet its approval rules,
    RevisedMeanwhile when another revision came into force meanwhile, and as `draft_edit` does.
    """
    draft = draft_locked(draft, seen)
    if why := why_cannot_edit(actor, draft):
        raise (Conflict if actor.may(Action.POLICY_EDIT, [draft.environment.scope]) else Forbidden)(why)
    if not draft.note:
        raise Invalid("Say why, for whoever has to publish it.", details={"note": "required"})
    check_base(draft)
    if not draft.ends_line:
        line = line_locked(line_of(draft))
        check_reviewers(line, draft.values["approval_rules"])
        check_operators(line.environment, draft.values.get("operators", {}))
    draft_move(draft, PolicyStage.REVIEW, actor=actor)
    return draft


@transaction.atomic
def draft_return(*, actor: Actor, draft: PolicyDraft, seen: int, reason: str) -> PolicyDraft:
    """Make a draft of what is in review or scheduled again, saying why, so that it can be changed."""
    draft = draft_locked(draft, seen)
    actor.require(Action.POLICY_EDIT, [draft.environment.scope])
    if not reason.strip():
        raise Invalid("Say why it goes back.", details={"reason": "required"})
    draft_move(draft, PolicyStage.DRAFT, actor=actor, reason=_short(reason), starts_at=None, published_by=None)
    return draft


@transaction.atomic
def draft_withdraw(*, actor: Actor, draft: PolicyDraft, seen: int, reason: str = "") -> PolicyDraft:
    """Throw a draft away; it stays readable. Raises Forbidden without the role, Conflict when it has ended."""
    draft = draft_locked(draft, seen)
    actor.require(Action.POLICY_EDIT, [draft.environment.scope])
    draft_move(draft, PolicyStage.WITHDRAWN, actor=actor, reason=_short(reason), starts_at=None)
    return draft


def draft_schedule(*, actor: Actor, draft: PolicyDraft, seen: int, starts_at: datetime) -> PolicyDraft:
    """Publish what is in review for a day to come. What has to hold is asked now, and again when the day comes."""
    with transaction.atomic():
        draft = draft_locked(draft, seen)
        require_publisher(actor, draft)
        now = clock.now()
        if not now < starts_at <= now + AHEAD_MAX:
            raise Invalid("It comes into force within a year from now.", details={"starts_at": "out of range"})
        check_base(draft)
        draft_move(draft, PolicyStage.SCHEDULED, actor=actor, starts_at=starts_at, published_by=actor.user)
    return draft


def require_publisher(actor: Actor, draft: PolicyDraft) -> None:
    """Raise Forbidden or Conflict unless this actor may publish the draft as it stands."""
    if why := why_cannot_publish(actor, draft):
        raise (Conflict if draft.stage != PolicyStage.REVIEW else Forbidden)(why)
    asked = [line.reauthenticate_minutes for line in policies_in_force(draft.environment)]
    require_recent_authentication(actor, min((minutes for minutes in asked if minutes), default=0))


def check_base(draft: PolicyDraft) -> None:
    """Raise RevisedMeanwhile or Conflict when the draft is about what is not so any more."""
    if conflict := conflict_of(draft):
        raise conflict.error
    if draft.ends_line or draft.model is None:
        return
    if draft.model.created_at != draft.model_made_at:
        raise Conflict(f"{draft.model} was made again in MLflow since this was begun; withdraw it and begin anew.")


def draft_locked(draft: PolicyDraft, seen: int | None) -> PolicyDraft:
    """The draft as it is now, under the lock that revisions take too. Raises Conflict when it was changed since."""
    Environment.objects.select_for_update().get(pk=draft.environment_id)
    rows = PolicyDraft.objects.select_related("environment", "model", "base", "created_by", "published_by")
    found = rows.get(pk=draft.pk)
    if found.stage not in WAITING_STAGES:
        raise Conflict(f"This is {PolicyStage(found.stage).words} already. {found.stage_reason}".strip())
    if seen is not None and found.row_version != seen:
        raise Conflict("This was changed since you looked at it; look again.", code="changed_meanwhile")
    return found


def _write(draft: PolicyDraft, **values: Any) -> None:
    """Write a locked draft; whoever has not seen it as it is now changes it no more."""
    values |= {"row_version": draft.row_version + 1, "changed_at": clock.now()}
    PolicyDraft.objects.filter(pk=draft.pk).update(**values)
    for name, value in values.items():
        setattr(draft, name, value)


def draft_move(draft: PolicyDraft, to: PolicyStage, *, actor: Actor, reason: str = "", **changes: Any) -> None:
    """Move a locked draft to a stage, by the table. Belongs into a transaction."""
    if to not in POLICY_MOVES[PolicyStage(draft.stage)]:
        raise IllegalTransition("policy", draft.stage, to, draft.stage_reason)
    _write(draft, stage=to.value, stage_reason=reason, **changes)
    _tell(draft, actor=actor, verb=to.value, reason=reason or draft.note)


def _tell(draft: PolicyDraft, *, actor: Actor, verb: str, reason: str, data: dict[str, Any] | None = None) -> None:
    """Record and announce what happened to a draft."""
    about = {
        "line": line_of(draft).words,
        "base": draft.base.revision if draft.base else 0,
        "ends_line": draft.ends_line,
    }
    about |= {"starts_at": draft.starts_at.isoformat()} if draft.starts_at else {}
    about |= {"changes": data if data is not None else draft.values}
    audit_record(actor, f"policy_draft.{verb}", audit_subjects.of_draft(draft), reason=reason, data=about)
    publish(
        "registry",
        "policy.draft",
        {"environment": draft.environment.name, "draft": str(draft.pk), "stage": draft.stage},
    )
