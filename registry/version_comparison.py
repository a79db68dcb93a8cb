"""Two versions side by side: metrics, parameters, signature. Pure over the rows' own fields."""

from dataclasses import dataclass, field
from typing import Any

from registry.models import Version


@dataclass(frozen=True)
class ComparisonRow:
    """One line of a comparison; `change` is the difference of two numbers, None otherwise."""

    name: str
    before: Any
    after: Any
    change: float | None = None

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
    def signature_differs(self) -> bool:
        return any(row.differs for row in self.inputs)


def compare_versions(before: Version | None, after: Version) -> VersionComparison:
    """Return `before` (None when nothing serves yet) and `after` side by side."""
    old = before.evidence if before else {}
    new = after.evidence
    return VersionComparison(
        metrics=_numbers(old.get("metrics", {}), new.get("metrics", {})),
        params=_rows(old.get("params", {}), new.get("params", {})),
        inputs=_rows(_inputs(before), _inputs(after)),
        facts=_rows(_facts(before), _facts(after)),
    )


def _rows(old: dict[str, Any], new: dict[str, Any]) -> list[ComparisonRow]:
    return [ComparisonRow(name, old.get(name), new.get(name)) for name in dict.fromkeys([*new, *old])]


def _numbers(old: dict[str, Any], new: dict[str, Any]) -> list[ComparisonRow]:
    rows = []
    for row in _rows(old, new):
        both = isinstance(row.before, (int, float)) and isinstance(row.after, (int, float))
        rows.append(ComparisonRow(row.name, row.before, row.after, row.after - row.before if both else None))
    return rows


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
