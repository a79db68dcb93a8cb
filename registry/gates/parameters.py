"""What a policy may set of a gate: kinds of values with their bounds. Pure."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

TEXT_MAX_CHARS = 200
LINES_MAX = 50


def _any_line(_line: str) -> str:
    return ""


@dataclass(frozen=True)
class GateParameter:
    """One setting of a gate.

    `kind` is `number`, `whole`, `text`, `choice`, `switch` or `lines` (a list of texts, one a line). `least` and `most`
    bound numbers; `choices` are the words of a choice. `line_problem` says what is wrong with one line, empty when
    nothing is.
    """

    kind: str
    default: Any
    help: str
    unit: str = ""
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    line_problem: Callable[[str], str] = _any_line

    def problem(self, value: Any) -> str:
        """What is wrong with a value, empty when nothing is."""
        return KINDS[self.kind](self, value)

    @property
    def bounds(self) -> str:
        """The bounds of a number, as people read them."""
        unit = f" {self.unit}" if self.unit else ""
        if self.least is not None and self.most is not None:
            return f"from {self.least:g} to {self.most:g}{unit}"
        return f"of at least {self.least:g}{unit}" if self.least is not None else f"in{unit}" if unit else "of any size"


def _number(parameter: GateParameter, value: Any) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    least = -math.inf if parameter.least is None else parameter.least
    most = math.inf if parameter.most is None else parameter.most
    return "" if is_number and least <= value <= most else f"a number {parameter.bounds}"


def _whole(parameter: GateParameter, value: Any) -> str:
    if type(value) is int and not _number(parameter, value):
        return ""
    return f"a whole number {parameter.bounds}"


def _text(_parameter: GateParameter, value: Any) -> str:
    is_text = isinstance(value, str) and len(value) <= TEXT_MAX_CHARS and value.isprintable()
    return "" if is_text else f"a text of at most {TEXT_MAX_CHARS} characters on one line"


def _choice(parameter: GateParameter, value: Any) -> str:
    return "" if value in parameter.choices else f"one of {', '.join(parameter.choices)}"


def _switch(_parameter: GateParameter, value: Any) -> str:
    return "" if isinstance(value, bool) else "true or false"


def _lines(parameter: GateParameter, value: Any) -> str:
    if not isinstance(value, list) or len(value) > LINES_MAX:
        return f"a list of at most {LINES_MAX} lines"
    for line in value:
        if why := _text(parameter, line) or parameter.line_problem(line):
            return why
    return ""


KINDS: Mapping[str, Callable[[GateParameter, Any], str]] = {
    "number": _number,
    "whole": _whole,
    "text": _text,
    "choice": _choice,
    "switch": _switch,
    "lines": _lines,
}


def parameters_problem(said: Any, known: Mapping[str, Mapping[str, GateParameter]]) -> str:
    """What is wrong with a policy's `{gate: {parameter: value}}`, empty when nothing is. `known` maps each gate to its
    parameters.
    """
    if not isinstance(said, dict):
        return "a table of gates, each with its parameters"
    for gate, values in said.items():
        if gate not in known:
            return f"{gate!r} is not a gate; use {', '.join(known)}"
        if not isinstance(values, dict):
            return f"the parameters of {gate} are a table of names and values"
        if why := _values_problem(str(gate), values, known[gate]):
            return why
    return ""


def _values_problem(gate: str, values: Mapping[str, Any], known: Mapping[str, GateParameter]) -> str:
    for name, value in values.items():
        if name not in known:
            offered = f"use {', '.join(known)}" if known else "it has none"
            return f"{name!r} is not a parameter of {gate}; {offered}"
        if why := known[name].problem(value):
            return f"{name} of {gate} is {why}"
    return ""
