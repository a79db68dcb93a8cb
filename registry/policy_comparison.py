"""Two texts of a policy side by side, in words. Pure over their fields."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from registry.policy_sentences import field_label, field_words


@dataclass(frozen=True)
class PolicyDifference:
    """One field that differs, with the sentences that only the one and only the other has."""

    field: str
    gone: list[str]
    come: list[str]

    @property
    def label(self) -> str:
        return field_label(self.field)

    @property
    def before(self) -> str:
        return " ".join(self.gone) or "–"

    @property
    def after(self) -> str:
        return " ".join(self.come) or "–"


def compare_policies(
    before: Mapping[str, Any], after: Mapping[str, Any], fields: Iterable[str]
) -> list[PolicyDifference]:
    """The fields among `fields` that differ; one that `after` does not have stays as it is.

    Where the values differ and the sentences do not (an order, say), both are told whole.
    """
    found = []
    for name in fields:
        if name in after and before[name] != after[name]:
            then, now = field_words(name, before[name]), field_words(name, after[name])
            gone, come = _only(then, now), _only(now, then)
            found.append(PolicyDifference(name, *((gone, come) if gone or come else (then, now))))
    return found


def _only(ours: list[str], theirs: list[str]) -> list[str]:
    return [sentence for sentence in ours if sentence not in theirs]
