"""What a change of a model's signature means for the clients of an endpoint. Pure, table-driven.

A client sends what the version that serves takes, and reads what it gives. A type is widened where MLflow converts
without loss: a client that sends integers is not hurt by a version that takes longs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from registry.lifecycle import GateOutcome

COLUMNS_MAX = 5000
DEPTH_MAX = 20
# From → to, as MLflow's schema enforcement converts without loss.
WIDER = {
    ("integer", "long"),
    ("integer", "double"),
    ("float", "double"),
    ("int8", "int16"),
    ("int8", "int32"),
    ("int8", "int64"),
    ("int16", "int32"),
    ("int16", "int64"),
    ("int32", "int64"),
    ("uint8", "int16"),
    ("uint8", "int32"),
    ("uint8", "int64"),
    ("uint8", "uint16"),
    ("uint8", "uint32"),
    ("uint8", "uint64"),
    ("uint16", "uint32"),
    ("uint16", "uint64"),
    ("uint32", "uint64"),
    ("uint16", "int32"),
    ("uint16", "int64"),
    ("uint32", "int64"),
    ("int8", "float32"),
    ("int16", "float32"),
    ("int32", "float64"),
    ("float16", "float32"),
    ("float16", "float64"),
    ("float32", "float64"),
}
ANY = "any"
WORDS = {
    "int64": "long",
    "int32": "integer",
    "float64": "double",
    "float32": "float",
    "bool": "boolean",
    "str": "string",
}

MEANS: Mapping[str, GateOutcome] = {
    "required input added": GateOutcome.FAIL,
    "optional input added": GateOutcome.PASS,
    "input removed": GateOutcome.WARN,  # what clients still send is left out
    "input became required": GateOutcome.FAIL,
    "input became optional": GateOutcome.PASS,
    "input type widened": GateOutcome.PASS,
    "input type narrowed": GateOutcome.FAIL,
    "input type changed": GateOutcome.FAIL,
    "output added": GateOutcome.PASS,
    "output removed": GateOutcome.FAIL,
    "output became optional": GateOutcome.FAIL,
    "output became required": GateOutcome.PASS,
    "output type widened": GateOutcome.WARN,
    "output type narrowed": GateOutcome.PASS,
    "output type changed": GateOutcome.FAIL,
    "outputs not described": GateOutcome.FAIL,
    "inputs not described": GateOutcome.FAIL,
    "names changed": GateOutcome.FAIL,
    "parameter added": GateOutcome.PASS,  # it has a default, by MLflow's own rule
    "parameter removed": GateOutcome.WARN,
    "parameter type widened": GateOutcome.PASS,
    "parameter type narrowed": GateOutcome.FAIL,
    "parameter type changed": GateOutcome.FAIL,
    "parameter became required": GateOutcome.PASS,
    "parameter became optional": GateOutcome.PASS,
}


@dataclass(frozen=True)
class SignatureChange:
    """One difference: a key of `MEANS`, the column, and what it was and is."""

    kind: str
    name: str
    before: str = ""
    after: str = ""

    @property
    def outcome(self) -> GateOutcome:
        return MEANS[self.kind]

    @property
    def sentence(self) -> str:
        types = f" from {self.before} to {self.after}" if self.before or self.after else ""
        return f"{self.kind}: {self.name}{types}" if self.name else f"{self.kind}{types}"


def signature_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[SignatureChange]:
    """What changed between two signatures (`inputs`, `outputs`, `params`), in that order. What the former does not
    describe cannot change. Raises ValueError for more columns than anybody can mean.
    """
    return [
        *_of_part("input", before.get("inputs"), after.get("inputs")),
        *_of_part("output", before.get("outputs"), after.get("outputs")),
        *_of_part("parameter", before.get("params"), after.get("params")),
    ]


def _of_part(part: str, old: Any, new: Any) -> list[SignatureChange]:
    old, new = _columns(old), _columns(new)
    if part == "output":
        old, new = _as_list(old), _as_list(new)
    if not old:
        return [_added(part, name, column) for name, column in new.items()] if part == "parameter" else []
    if not new:
        if part != "parameter":
            return [SignatureChange(f"{part}s not described", "")]
        return [SignatureChange("parameter removed", name) for name in old]
    if any(name.startswith("#") for name in old) != any(name.startswith("#") for name in new):
        return [SignatureChange("names changed", f"{part}s", _some(old), _some(new))]
    found = [SignatureChange(f"{part} removed", name) for name in old if name not in new]
    found += [_added(part, name, column) for name, column in new.items() if name not in old]
    for name in old:
        if name in new:
            found += _column(part, name, old[name], new[name])
    return found


def _some(columns: Mapping[str, Any]) -> str:
    names = [name for name in columns if not name.startswith("#")]
    return ", ".join(names[:5]) if names else f"{len(columns)} without names"


def _columns(part: Any) -> dict[str, dict[str, Any]]:
    """Name → column; those without a name by their place."""
    rows = part if isinstance(part, list) else []
    if len(rows) > COLUMNS_MAX:
        raise ValueError(f"a signature has more than {COLUMNS_MAX} columns")
    named = [(row.get("name"), row) for row in rows if isinstance(row, dict)]
    return {f"{name}" if name not in (None, "") else f"#{place}": row for place, (name, row) in enumerate(named)}


def _as_list(columns: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """A lone nameless output that is a tensor of one dimension as the column that clients read the same list from."""
    if list(columns) != ["#0"]:
        return columns
    spec = columns["#0"].get("tensor-spec")
    word = WORDS.get(str(spec.get("dtype"))) if isinstance(spec, dict) and spec.get("shape") == [-1] else None
    return {"#0": {"type": word}} if word else columns


def _is_required(column: Mapping[str, Any]) -> bool:
    return column.get("required", True) is not False and not column.get("optional", False)


def _added(part: str, name: str, column: Mapping[str, Any]) -> SignatureChange:
    if part != "input":
        return SignatureChange(f"{part} added", name)
    return SignatureChange(f"{'required' if _is_required(column) else 'optional'} input added", name)


def _column(part: str, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[SignatureChange]:
    found = []
    if _is_required(old) != _is_required(new):
        found.append(SignatureChange(f"{part} became {'required' if _is_required(new) else 'optional'}", name))
    change = _type_change(_type(old), _type(new), 0)
    if change:
        found.append(SignatureChange(f"{part} type {change}", name, _words(_type(old)), _words(_type(new))))
    return found


def _type(column: Mapping[str, Any]) -> Any:
    """What describes the type of a column: a word, a tensor's dtype and shape, or a nested description."""
    spec = column.get("tensor-spec")
    if isinstance(spec, dict):
        return {"dtype": spec.get("dtype"), "shape": spec.get("shape")}
    kind = column.get("type", column.get("dtype"))
    shape = column.get("shape")
    if kind in ("array", "object", "map"):
        return {key: column[key] for key in ("type", "items", "properties", "values") if key in column}
    return {"dtype": kind, "shape": shape} if shape is not None else kind


def _words(kind: Any) -> str:
    if isinstance(kind, dict) and "dtype" in kind:
        return f"{kind['dtype']} {kind.get('shape')}"[:80]
    return str(kind.get("type", kind) if isinstance(kind, dict) else kind)[:80]


def _type_change(old: Any, new: Any, depth: int) -> str:
    """`""`, `widened`, `narrowed` or `changed`."""
    if depth > DEPTH_MAX:
        return "changed"
    if old == new:
        return ""
    if new == ANY or old == ANY:
        return "widened" if new == ANY else "narrowed"
    if isinstance(old, dict) and isinstance(new, dict):
        return _nested_change(old, new, depth)
    pair = (str(old), str(new))
    return "widened" if pair in WIDER else "narrowed" if pair[::-1] in WIDER else "changed"


def _nested_change(old: Mapping[str, Any], new: Mapping[str, Any], depth: int) -> str:
    if "dtype" in old and "dtype" in new:
        return _together([_type_change(old["dtype"], new["dtype"], depth + 1), _shape_change(old, new)])
    if old.get("type") != new.get("type"):
        return "changed"
    parts = [key for key in ("items", "values") if key in old or key in new]
    changes = [_type_change(_inner(old.get(key)), _inner(new.get(key)), depth + 1) for key in parts]
    return _together([*changes, _properties_change(old.get("properties"), new.get("properties"), depth)])


def _inner(part: Any) -> Any:
    return _type(part) if isinstance(part, dict) else part


def _properties_change(old: Any, new: Any, depth: int) -> str:
    """Of an object's properties: one that must be there more narrows what is taken, one that may be missing widens."""
    old, new = (part if isinstance(part, dict) else {} for part in (old, new))
    changes = []
    for name in old.keys() | new.keys():
        before, after = old.get(name), new.get(name)
        if not isinstance(before, dict) or not isinstance(after, dict):
            there = before if isinstance(before, dict) else after
            is_needed = isinstance(there, dict) and _is_required(there)
            changes.append("changed" if is_needed else "widened" if name in new else "changed")
            continue
        if _is_required(before) != _is_required(after):
            changes.append("narrowed" if _is_required(after) else "widened")
        changes.append(_type_change(_type(before), _type(after), depth + 1))
    return _together(changes)


def _shape_change(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """A dimension of -1 takes any length."""
    before, after = old.get("shape"), new.get("shape")
    if before == after:
        return ""
    if not isinstance(before, list) or not isinstance(after, list) or len(before) != len(after):
        return "changed"
    return _together(
        "" if one == other else "widened" if other == -1 else "narrowed" if one == -1 else "changed"
        for one, other in zip(before, after, strict=True)
    )


def _together(changes: Any) -> str:
    """What several changes of one type are together: one way only, or changed."""
    kinds = {change for change in changes if change}
    return kinds.pop() if len(kinds) == 1 else "changed" if kinds else ""
