"""A draft of a policy, and the revision of its line that came into force since it was begun (reads the database)."""

from dataclasses import dataclass
from typing import Any

from registry.models import Policy, PolicyDraft
from registry.policy_comparison import PolicyDifference, compare_policies
from registry.policy_fields import POLICY_FIELDS
from registry.policy_lines import line_of
from registry.services.environments import RevisedMeanwhile, policy_values

SAID_FIELDS = tuple(field for field in POLICY_FIELDS if field != "note")


@dataclass(frozen=True)
class DraftConflict:
    """`newest` came into force (None: the line was ended) after the draft was begun on `base`: what was changed since,
    what publishing the draft as it is would change now, and the fields that both changed.
    """

    base: Policy | None
    newest: Policy | None
    theirs: list[PolicyDifference]
    ours: list[PolicyDifference]
    both: list[str]
    error: RevisedMeanwhile

    @property
    def sentence(self) -> str:
        return self.error.message


def in_force_of(draft: PolicyDraft) -> Policy | None:
    """The revision in force of the draft's line; None where it has none."""
    rows = Policy.objects.in_force().filter(environment=draft.environment, model=draft.model, tier=draft.tier)
    return rows.select_related("environment", "model", "created_by", "published_by").first()


def conflict_of(draft: PolicyDraft) -> DraftConflict | None:
    """What has to be settled before the draft can be published; None when nothing has."""
    newest = in_force_of(draft)
    if (newest.pk if newest else None) == draft.base_id:
        return None
    mine = text_of(draft)
    then = _said(draft.base) if draft.base else mine
    now = _said(newest) if newest else then
    theirs, ours = compare_policies(then, now, SAID_FIELDS), compare_policies(now, mine, SAID_FIELDS)
    both = [row.label for row in theirs if mine[row.field] not in (then[row.field], now[row.field])]
    error = RevisedMeanwhile(draft.base.revision if draft.base else 0, newest, line_of(draft))
    return DraftConflict(draft.base, newest, theirs, ours, both, error)


def merged(conflict: DraftConflict, draft: PolicyDraft) -> dict[str, Any]:
    """What the draft says when it goes on from the newest revision: what it did not change is taken from there."""
    if conflict.newest is None or conflict.base is None:
        return text_of(draft)
    then, now, mine = _said(conflict.base), _said(conflict.newest), text_of(draft)
    return {field: now[field] if mine[field] == then[field] else mine[field] for field in SAID_FIELDS}


def text_of(draft: PolicyDraft) -> dict[str, Any]:
    """All fields of a policy as the draft says them; one that it was begun without is as usual."""
    usual = _said(Policy())
    return {field: draft.values.get(field, usual[field]) for field in SAID_FIELDS}


def _said(policy: Policy) -> dict[str, Any]:
    return {name: value for name, value in policy_values(policy).items() if name != "note"}
