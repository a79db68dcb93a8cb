"""Two versions side by side: metrics, parameters, signature. Pure over the rows' own fields."""

import math
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from registry.metric_direction import Direction, direction_of
from registry.models import Version


class Judgement(StrEnum):
    """What a change of a metric means. `missing`: the version that serves has it, and this one lacks it."""

    BETTER = "better"
    WORSE = "worse"
    CHANGED = "changed"  # which way is better is not known
    MISSING = "missing"
    NONE = ""


@dataclass(frozen=True)
class ComparisonRow:
    """One line of a comparison; `change` is the difference of two numbers, None otherwise. Only metrics are judged.

    `kind` is what it is a line of: `metric`, `fact`, `parameter` or `input`.
    """

    name: str
    before: Any
    after: Any
    kind: str
    change: float | None = None
    judgement: Judgement = Judgement.NONE

    @property
    def label(self) -> str:
        """The name as people read it."""
        return {"metric": self.name.replace("_", " "), "parameter": f"parameter {self.name}"}.get(self.kind, self.name)

    @property
    def differs(self) -> bool:
        return bool(self.before != self.after)


@dataclass(frozen=True)
class VersionComparison:
    """What differs between the version that serves and the one that shall."""

    metrics: list[ComparisonRow] = field(default_factory=list)
    params: list[ComparisonRow] = field(default_factory=list)
    inputs: list[ComparisonRow] = field(default_factory=list)
    facts: list[ComparisonRow] = field(default_factory=list)

    @property
    def _rows(self) -> list[ComparisonRow]:
        return [*self.metrics, *self.facts, *self.params]

    @property
    def changed(self) -> list[ComparisonRow]:
        """The metrics, facts and parameters that differ."""
        return [row for row in self._rows if row.differs]

    @property
    def same(self) -> list[ComparisonRow]:
        """The metrics, facts and parameters that are the same in both."""
        return [row for row in self._rows if not row.differs]

    def metrics_that_are(self, judgement: Judgement) -> list[str]:
        """The names of the metrics that are judged so."""
        return [row.name for row in self.metrics if row.judgement is judgement]

    @property
    def signature_differs(self) -> bool:
        return any(row.differs for row in self.inputs)


def compare_versions(before: Version | None, after: Version) -> VersionComparison:
    """Return `before` (None when nothing serves yet) and `after` side by side."""
    old = before.evidence if before else {}
    new = after.evidence
    return VersionComparison(
        metrics=_numbers(old.get("metrics", {}), new.get("metrics", {})),
        params=_rows("parameter", old.get("params", {}), new.get("params", {})),
        inputs=_rows("input", _inputs(before), _inputs(after)),
        facts=_rows("fact", _facts(before), _facts(after)),
    )


def _rows(kind: str, old: dict[str, Any], new: dict[str, Any]) -> list[ComparisonRow]:
    return [ComparisonRow(name, old.get(name), new.get(name), kind) for name in dict.fromkeys([*new, *old])]


def _numbers(old: dict[str, Any], new: dict[str, Any]) -> list[ComparisonRow]:
    rows = []
    for row in _rows("metric", old, new):
        change = row.after - row.before if _is_number(row.before) and _is_number(row.after) else None
        rows.append(replace(row, change=change, judgement=_judgement(row, change)))
    return rows


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _judgement(row: ComparisonRow, change: float | None) -> Judgement:
    """A metric that was a number and is none any more is as good as missing."""
    if _is_number(row.before) and not _is_number(row.after):
        return Judgement.MISSING
    if not change:
        return Judgement.NONE
    direction = direction_of(row.name)
    if direction is Direction.UNKNOWN:
        return Judgement.CHANGED
    return Judgement.BETTER if (change > 0) == (direction is Direction.HIGHER) else Judgement.WORSE


def _inputs(version: Version | None) -> dict[str, str]:
    columns = (version.signature or {}).get("inputs") or [] if version else []
    return {str(c.get("name", number)): _type(c) for number, c in enumerate(columns) if isinstance(c, dict)}


def _type(column: dict[str, Any]) -> str:
    spec = column.get("tensor-spec")
    return f"{spec.get('dtype')} {spec.get('shape')}" if isinstance(spec, dict) else str(column.get("type", ""))


def _facts(version: Version | None) -> dict[str, Any]:
    if version is None:
        return {}
    found = version.evidence
    return {
        "digest": version.digest,
        "flavours": ", ".join(found.get("flavors", [])),
        "data sets": ", ".join(str(row.get("name", "")) for row in found.get("datasets", [])),
        "code commit": found.get("git_commit", ""),
        "run by (says MLflow)": found.get("run_user", ""),
        "python": found.get("python", ""),
    }
