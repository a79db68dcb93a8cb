"""A policy as a YAML document: written, and read with the line and the key of what is wrong. Pure.

Only what JSON has can be said: no tags, no anchors, no aliases, no times; a text is a text unless it is written as a
number, `true`, `false` or `null`. So nothing grows while it is read, and nothing means what it does not look like.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError

from mlorch_site.lib.errors import Invalid
from registry.policy_fields import POLICY_FIELDS, check_policy
from registry.policy_schema import policy_schema

CHARS_MAX = 65_536
DEPTH_MAX = 12
NODES_MAX = 5_000
LINE_KEYS = ("environment", "model", "tier", "note")

type_Path = tuple[str | int, ...]

RESOLVERS = [
    ("tag:yaml.org,2002:null", re.compile(r"^(?:null|~|)$"), ["n", "~", ""]),
    ("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf")),
    ("tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]{0,17})$"), list("-+0123456789")),
    (
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,30})?(?:[eE][-+]?[0-9]{1,3})?$"),
        list("-+0123456789"),
    ),
]


class PlainLoader(yaml.SafeLoader):
    """Reads what JSON has."""

    yaml_implicit_resolvers: dict[str, Any] = {}


class PlainDumper(yaml.SafeDumper):
    """Writes what `PlainLoader` reads, and quotes a text that would be read as something else."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _tag, _pattern, _first in RESOLVERS:
    PlainLoader.add_implicit_resolver(_tag, _pattern, _first)
    PlainDumper.add_implicit_resolver(_tag, _pattern, _first)


@dataclass(frozen=True)
class PolicyDocument:
    """What a document says: for which line, why, and the fields that it names."""

    environment: str
    model: str
    tier: str
    note: str
    values: dict[str, Any]


def write_document(*, environment: str, model: str, tier: str, note: str, values: Mapping[str, Any], title: str) -> str:
    """A policy as a document, with a comment that says what it is."""
    line = {"environment": environment, **({"model": model} if model else {}), **({"tier": tier} if tier else {})}
    said = {name: values[name] for name in POLICY_FIELDS if name != "note" and name in values}
    text = yaml.dump({**line, "note": note, **said}, Dumper=PlainDumper, sort_keys=False, allow_unicode=True, width=100)
    return f"# {title}\n{text}"


def read_document(text: str) -> PolicyDocument:
    """What a document says. Raises Invalid, whose details name line and key of everything that is wrong."""
    node = _node(text)
    lines: dict[type_Path, int] = {}
    said = _value(node, (), lines)
    if not isinstance(said, dict):
        raise Invalid("A policy is a mapping of keys and values.", details={"line 1": "a mapping of keys and values"})
    if errors := list(Draft202012Validator(policy_schema()).iter_errors(said)):
        found = dict(_told(error, lines) for error in errors)
        raise _invalid(found)
    values = {name: value for name, value in said.items() if name not in LINE_KEYS}
    try:
        check_policy(values)
    except Invalid as error:
        raise _invalid({_place((name,), lines): str(why) for name, why in error.details.items()}) from error
    return PolicyDocument(
        said["environment"], said.get("model") or "", said.get("tier", ""), said.get("note", ""), values
    )


def _invalid(found: dict[str, str]) -> Invalid:
    place, why = next(iter(found.items()))
    more = f" ({len(found) - 1} more)" if len(found) > 1 else ""
    return Invalid(f"{place[:1].upper()}{place[1:]}: {why}{more}", details=dict(found))


def _node(text: str) -> yaml.Node:
    """The tree of a document. Raises Invalid for what is too large, too deep, or no YAML of ours."""
    if len(text) > CHARS_MAX:
        raise Invalid(f"A document has at most {CHARS_MAX:,} characters.", details={"document": "too large"})
    try:
        _check_events(yaml.parse(text, Loader=PlainLoader))
        node = yaml.compose(text, Loader=PlainLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _invalid({f"line {mark.line + 1 if mark else 1}": f"this is no YAML: {error.problem}"}) from error
    except yaml.YAMLError as error:
        raise _invalid({"document": f"this is no YAML: {str(error)[:200]}"}) from error
    if node is None:
        raise Invalid("The document is empty.", details={"document": "empty"})
    return node


def _check_events(events: Iterator[yaml.Event]) -> None:
    depth = 0
    for count, event in enumerate(events):
        place = f"line {event.start_mark.line + 1 if event.start_mark else 1}"
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _invalid({place: "anchors and aliases are not read; write it out"})
        if getattr(event, "tag", None):
            raise _invalid({place: "tags are not read"})
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH_MAX or count > NODES_MAX:
            raise _invalid({place: f"at most {DEPTH_MAX} levels and {NODES_MAX:,} values are read"})


def _value(node: yaml.Node, path: type_Path, lines: dict[type_Path, int]) -> Any:
    """The value of a node; notes the line of each place. Raises Invalid for a key that is no text or stands twice."""
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return [_value(each, (*path, number), lines) for number, each in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        said: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key, line = key_node.value, key_node.start_mark.line + 1
            if not isinstance(key, str) or key in said:
                raise _invalid({f"line {line}, {key}": "a key is a text, and stands there once"})
            lines[*path, key] = line
            said[key] = _value(value_node, (*path, key), lines)
        return said
    return _scalar(node)


def _scalar(node: yaml.Node) -> Any:
    kind, text = node.tag.rsplit(":", 1)[-1], str(node.value)
    if kind == "null":
        return None
    if kind == "bool":
        return text == "true"
    if kind == "int":
        return int(text)
    if kind != "float":
        return text
    number = float(text)
    if not math.isfinite(number):
        raise _invalid({f"line {node.start_mark.line + 1}": f"{text[:40]} is too large"})
    return number


def _told(error: ValidationError, lines: dict[type_Path, int]) -> tuple[str, str]:
    """The place and the sentence of one thing that is wrong."""
    path: type_Path = tuple(error.absolute_path)
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = error.schema.get("properties", {})
        unknown = next(key for key in error.instance if key not in known)
        return _place((*path, unknown), lines), "nothing of a policy is called so"
    return _place(path, lines), error.message[:300]


def _place(path: type_Path, lines: dict[type_Path, int]) -> str:
    """Where something stands: the line, and the key with what leads to it."""
    known = path
    while known not in lines:
        known = known[:-1]
    words = ".".join(str(part + 1) if isinstance(part, int) else part for part in path)
    return f"line {lines[known]}, {words}" if words else f"line {lines[known]}"
