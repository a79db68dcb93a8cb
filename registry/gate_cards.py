"""What people read of a gate, and what a policy may set of it, as forms, documents and sentences need it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from registry.gates import GATES


@dataclass(frozen=True)
class GateSetting:
    """One parameter of a gate. `kind` is `number`, `whole`, `text`, `choice`, `switch` or `lines`."""

    name: str
    kind: str
    default: Any = None
    help: str = ""
    unit: str = ""
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        unit = f" ({self.unit})" if self.unit else ""
        return f"{self.name.replace('_', ' ').capitalize()}{unit}"


@dataclass(frozen=True)
class GateCard:
    """A gate by its name: what it is called, what it looks at, and its settings."""

    name: str
    label: str
    help: str
    settings: tuple[GateSetting, ...]


def gate_card(name: str) -> GateCard:
    """The card of a gate; of one that is not known (any more) its name in words."""
    gate = GATES.get(name)
    words = name.replace("_", " ")
    label = str(getattr(gate, "label", "") or words)
    said: Mapping[str, Any] = getattr(gate, "parameters", None) or {}
    return GateCard(name, f"{label[:1].upper()}{label[1:]}", _help(gate), tuple(_setting(*row) for row in said.items()))


def gate_cards() -> list[GateCard]:
    """All gates there are, in their order."""
    return [gate_card(name) for name in GATES]


def _help(gate: Any) -> str:
    told = getattr(gate, "help", None)
    return str(told if told is not None else getattr(gate, "__doc__", None) or "")


def _setting(name: str, parameter: Any) -> GateSetting:
    rest = ("default", "help", "unit", "least", "most", "choices")
    return GateSetting(name, parameter.kind, **{each: getattr(parameter, each) for each in rest})
