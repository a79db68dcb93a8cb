"""What a version says of itself by the standard schema, and where it says it. Reads rows, no files.

The model card in force comes before a tag of the version, that before one of its model, and all before what mlorch
itself knows of the model. What stands there to fill a field and says nothing counts as nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from registry.cards.selectors import card_said
from registry.models import Version

STANDARD = (
    "owner",
    "intended_use",
    "limits",
    "training_data",
    "evaluation_data",
    "licence",
    "contact",
    "risk_tier",
)
OTHER_NAMES = {
    "license": "licence",
    "limitations": "limits",
    "out_of_scope_use": "limits",
    "intended_uses": "intended_use",
    "train_data": "training_data",
    "training_dataset": "training_data",
    "eval_data": "evaluation_data",
    "evaluation_dataset": "evaluation_data",
    "contacts": "contact",
    "risk": "risk_tier",
}
SAYS_NOTHING = frozenset({"", "-", "?", "n/a", "na", "none", "null", "tbd", "tba", "todo", "unknown", "xxx", "fixme"})
VALUE_MAX_CHARS = 200


@dataclass(frozen=True)
class Stated:
    """One thing that is said: `source` is where."""

    value: str
    source: str


def name_of(word: str) -> str:
    """The schema's name for a word: `Intended use`, `intended-use` and `mlorch.intended_use` are one."""
    bare = re.sub(r"[^a-z0-9]+", "_", word.lower().removeprefix("mlorch.")).strip("_")
    return OTHER_NAMES.get(bare, bare)


def stated_metadata(version: Version) -> dict[str, Stated]:
    """Name → what the version or its model says."""
    model = version.model
    rows = {"owner": model.owner, "risk_tier": model.risk_tier}
    sources: list[tuple[str, Mapping[str, Any]]] = [
        ("the model in mlorch", rows),
        ("the run's data sets", _data_sets(version)),
        ("a tag of the model", model.tags or {}),
        ("a tag of the version", version.tags or {}),
        ("the model card", card_said(version)),
    ]
    found: dict[str, Stated] = {}
    for source, values in sources:
        for word, value in values.items():
            text = " ".join(str(value).split())
            if text.lower().rstrip(".") not in SAYS_NOTHING:
                found[name_of(str(word))] = Stated(text[:VALUE_MAX_CHARS], source)
    return found


def _data_sets(version: Version) -> dict[str, str]:
    """The data sets that were logged as inputs, by what whoever logged them says they are for."""
    rows = [row for row in version.evidence.get("datasets") or [] if isinstance(row, dict)]
    judging, names = re.compile(r"(?i)eval|test|valid"), {"training_data": "", "evaluation_data": ""}
    for row in rows:
        name = "evaluation_data" if judging.search(f"{row.get('context', '')}") else "training_data"
        names[name] = ", ".join(part for part in (names[name], str(row.get("name", ""))) if part)
    return names
