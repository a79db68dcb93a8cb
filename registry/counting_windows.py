"""Which change windows count for a model: all of the line that rules it, and the freezes of every broader line in force
that covers it too, so that whoever freezes an environment freezes all of it. Pure.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from registry.change_windows import ChangeWindow, read_windows
from registry.lifecycle import WhenClosed
from registry.models import Policy
from registry.policy_lines import PolicyLine, broader_lines, covers, revision_words, ruling_of

FREEZE = "freeze"


def counting_windows(
    lines: Sequence[Policy], model_id: int | None, tier: str, *, holding: bool = False
) -> list[ChangeWindow]:
    """The windows that count for a model of a tier, of the lines in force; None: for no model in particular.

    With `holding` only those of lines that hold what runs while they close: where several close it the strictest rules.
    """
    ruling = ruling_of(lines, model_id, tier)
    covering = [policy for policy in lines if covers(policy, model_id, tier)]
    return [
        window
        for policy in covering
        if not holding or policy.when_closed == WhenClosed.HOLD
        for window in read_windows(policy.windows, revision_words(policy))
        if window.kind == FREEZE or policy is ruling
    ]


def freezes_of(lines: Iterable[Policy]) -> list[ChangeWindow]:
    """The freezes of some lines, each with the revision it is of."""
    windows = [window for policy in lines for window in read_windows(policy.windows, revision_words(policy))]
    return [window for window in windows if window.kind == FREEZE]


def rows_with_freezes(rows: list[dict[str, Any]], lines: Iterable[Policy], line: PolicyLine) -> list[dict[str, Any]]:
    """The rows of a text for a line, and those of the freezes of broader lines: what counts under it."""
    broader = broader_lines(lines, line)
    return [*rows, *(row for policy in broader for row in policy.windows if row["kind"] == FREEZE)]


def windows_under(rows: list[dict[str, Any]], lines: Iterable[Policy], line: PolicyLine) -> list[ChangeWindow]:
    """The windows that count under a text for a line; those of other lines say which revision they are of."""
    return [*read_windows(rows), *freezes_of(broader_lines(lines, line))]
