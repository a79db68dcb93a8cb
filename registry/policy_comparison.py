"""Two revisions of a policy side by side. Pure over their fields."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from registry.change_windows import read_windows


@dataclass(frozen=True)
class PolicyDifference:
    """One field that differs, with both values as people write them."""

    field: str
    before: str
    after: str

    @property
    def label(self) -> str:
        return self.field.replace("_", " ").capitalize()


def compare_policies(
    before: Mapping[str, Any], after: Mapping[str, Any], fields: Iterable[str]
) -> list[PolicyDifference]:
    """The fields among `fields` that differ; one that `after` does not have stays as it is."""
    return [
        PolicyDifference(name, shown_of(name, before[name]), shown_of(name, after[name]))
        for name in fields
        if name in after and before[name] != after[name]
    ]


def shown_of(field: str, value: Any) -> str:
    """The value of a policy's field as people read it; an empty list of strategies allows all of them."""
    return "all" if field == "allowed_strategies" and not value else shown(value)


def shown(value: Any) -> str:
    """A value of a policy as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(shown(item) for item in value) or "none"
    if isinstance(value, dict) and "minutes" in value:
        return read_windows([value])[0].sentence
    if isinstance(value, dict):
        return _rule(value) if "count" in value else _pairs(value)
    return str(value) or "none"


def _rule(rule: dict[str, Any]) -> str:
    who = f"of group {rule['group']}" if "group" in rule else rule["role"]
    return f"{rule['name']}: {rule['count']} {who}" if "name" in rule else f"{rule['count']} {who}"


def _pairs(value: dict[str, Any]) -> str:
    return " ".join(f"{key}={item}" for key, item in value.items())
