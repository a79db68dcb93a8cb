"""Two revisions of a card side by side: the fields that differ, texts line by line. Pure."""

import difflib
from dataclasses import dataclass, field
from typing import Any

from registry.cards.card_content import CARD_FIELDS, EXTRA, FieldKind, result_line, type_Content

LINES_COMPARED_MAX = 2_000
CONTEXT_LINES = 2


@dataclass(frozen=True)
class CardDifference:
    """One field that differs. `lines` are (sign, text): `+` is there after, `-` was there before, a space both, and `…`
    where lines are left out.
    """

    name: str
    label: str
    lines: list[tuple[str, str]] = field(default_factory=list)


def compare_cards(before: type_Content, after: type_Content) -> list[CardDifference]:
    """The fields in which two cards differ."""
    found = [
        CardDifference(one.name, one.label, _lines(_text(one.kind, before[one.name]), _text(one.kind, after[one.name])))
        for one in CARD_FIELDS
        if before[one.name] != after[one.name]
    ]
    if before[EXTRA] != after[EXTRA]:
        names = sorted(
            key for key in before[EXTRA].keys() | after[EXTRA].keys() if before[EXTRA].get(key) != after[EXTRA].get(key)
        )
        found.append(CardDifference(EXTRA, "Other front matter", [(" ", name) for name in names]))
    return found


def _text(kind: FieldKind, value: Any) -> list[str]:
    if kind is FieldKind.RESULTS:
        return [result_line(row) for row in value]
    if kind is FieldKind.LIST:
        return list(value)
    return value.split("\n") if value else []


def _lines(before: list[str], after: list[str]) -> list[tuple[str, str]]:
    if max(len(before), len(after)) > LINES_COMPARED_MAX:
        return [("…", f"{len(before)} lines before, {len(after)} after: too many to compare here")]
    diff = list(difflib.unified_diff(before, after, n=CONTEXT_LINES, lineterm=""))[2:]  # without the names of files
    rows = [("…", "") if line.startswith("@@") else (line[0], line[1:]) for line in diff]
    return rows[1:] if rows and rows[0] == ("…", "") else rows
