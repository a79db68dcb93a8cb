"""What is looked at before a draft of a policy is published (reads the database)."""

from dataclasses import dataclass
from datetime import date, tzinfo
from typing import Any

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from registry.approvals.rules import one_more
from registry.change_windows import ChangeWindow
from registry.counting_windows import freezes_of, windows_under
from registry.draft_conflict import SAID_FIELDS, DraftConflict, conflict_of, text_of
from registry.dry_run import DryRun, dry_run
from registry.lifecycle import AuthorUnknown, PolicyStage
from registry.models import Policy, PolicyDraft
from registry.policy_comparison import PolicyDifference, compare_policies
from registry.policy_lines import PolicyLine, broader_lines, line_of, ruling_before
from registry.policy_sentences import PolicySection, policy_sections
from registry.rule_holders import RuleHolders, holders_of, publishers_of, why_line_unmeetable
from registry.selectors import policies_in_force
from registry.services.environments import loosened_by, policy_values
from registry.window_calendar import MonthCalendar, month_calendar


@dataclass(frozen=True)
class DraftReview:
    """A draft with all that its publisher should know.

    `before` rules its models now: the revision in force of the line, or of the one that rules where the line has none.
    `holders` says rule by rule who can meet it, and `unmeetable` why nobody can, empty when somebody can;
    `unmeetable_unknown` why nobody can where the author of a version is unknown and one more is asked for. `publishers`
    may publish it, by name; `is_alone` where nobody may, because its authors are all who write policies there.
    `overruled_by` are the more specific lines, which only its freezes reach, and `freezes`
    those of broader lines, which reach it. `trial` is None for who only reads.
    """

    line: PolicyLine
    before: Policy | None
    differences: list[PolicyDifference]
    loosened: list[str]
    sections: list[PolicySection]
    conflict: DraftConflict | None
    holders: list[RuleHolders]
    unmeetable: str
    unmeetable_unknown: str
    is_protected: bool
    publishers: list[str]
    is_alone: bool
    overruled_by: list[Policy]
    freezes: list[ChangeWindow]
    trial: DryRun | None
    calendar: MonthCalendar


def draft_review(actor: Actor, draft: PolicyDraft, *, month: date, zone: tzinfo) -> DraftReview:
    """All that is looked at; the releases of before only for who may write policies of the environment."""
    line, values = line_of(draft), text_of(draft)
    lines = policies_in_force(draft.environment)
    base = next((policy for policy in lines if line.is_line_of(policy)), None)
    others = [policy for policy in lines if not line.is_line_of(policy)]
    after = ruling_before(others, line) if draft.ends_line else None
    if after is not None:
        values = policy_values(after)
    before = base or ruling_before(lines, line)
    was = policy_values(before) if before else None
    is_protected = any(policy.protected for policy in lines)
    is_waiting = draft.stage in (PolicyStage.DRAFT, PolicyStage.REVIEW, PolicyStage.SCHEDULED)
    may_look = is_waiting and actor.may(Action.POLICY_EDIT, [draft.environment.scope])
    publishers = publishers_of(draft.environment, [one.pk for one in draft.authors.all()] if is_protected else [])
    return DraftReview(
        line=line,
        before=before,
        differences=compare_policies(was, values, SAID_FIELDS) if was else [],
        loosened=loosened_by(before, values, lines, line) if before else [],
        sections=policy_sections(values),
        conflict=conflict_of(draft) if is_waiting else None,
        holders=holders_of(line, values["approval_rules"]),
        unmeetable=why_line_unmeetable(line, values["approval_rules"]),
        unmeetable_unknown=_unmeetable_unknown(line, values),
        is_protected=is_protected,
        publishers=publishers,
        is_alone=is_waiting and is_protected and not publishers,
        overruled_by=[policy for policy in others if _is_within(policy, line)],
        freezes=freezes_of(broader_lines(others, line)),
        trial=dry_run(line, values) if may_look and not draft.ends_line else None,
        calendar=month_calendar(windows_under(values["windows"], lines, line), month, zone),
    )


def _unmeetable_unknown(line: PolicyLine, values: dict[str, Any]) -> str:
    """Why nobody could approve a version of an unknown author; empty when somebody could."""
    if values["when_author_unknown"] != AuthorUnknown.ONE_MORE:
        return ""
    return why_line_unmeetable(line, one_more(values["approval_rules"]))


def _is_within(policy: Policy, line: PolicyLine) -> bool:
    """Whether a line takes models out of another one: it is more specific, and may be about the same ones."""
    if line.model is not None:
        return policy.model_id == line.model.pk and bool(policy.tier) and not line.tier
    if line.tier:
        return policy.model_id is not None and policy.tier in ("", line.tier)
    return True


def why_cannot_submit(draft: PolicyDraft, review: DraftReview) -> str:
    """Why a draft cannot be put up for review as it stands, empty when it can."""
    if not draft.note:
        return "Say why first: edit it."
    if review.conflict:
        return "Another revision came into force meanwhile: settle that first."
    return "" if not review.unmeetable or draft.ends_line else f"Nobody could approve: {review.unmeetable}."
