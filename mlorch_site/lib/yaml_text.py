"""YAML that strangers wrote, as JSON data: small, shallow, without references, and with words that stay words."""

import json
import re
from typing import Any

import yaml

from mlorch_site.lib.readable import is_text, read_json

YAML_MAX_CHARS = 64_000
YAML_DEPTH_MAX = 12
NODES_MAX = 5_000
# Of YAML 1.1's implicit types those that JSON has: `no` is a language, and a date is a text.
PLAIN = {
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?(?:0|[1-9][0-9]{0,18})", "-+0123456789"),
    "float": (r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+][0-9]{1,3})?", "-+0123456789."),
    "null": (r"~|null|Null|NULL|", "~nN"),
}


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which takes no references, no types of its own and no key twice, and counts."""

    yaml_implicit_resolvers: dict[str, Any] = {}
    depth = 0
    nodes = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ValueError("it refers to another part of itself (& or *)")
        self.depth, self.nodes = self.depth + 1, self.nodes + 1
        if self.depth > YAML_DEPTH_MAX:
            raise ValueError(f"it is nested more than {YAML_DEPTH_MAX} deep")
        if self.nodes > NODES_MAX:
            raise ValueError(f"it has more than {NODES_MAX:,} parts")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(keys) != len(node.value):
            raise ValueError("a key is not a text")
        if twice := sorted({key for key in keys if keys.count(key) > 1}):
            raise ValueError(f"“{twice[0][:60]}” is there twice")
        return {key.value: self.construct_object(value, deep=True) for key, value in node.value}


for _kind, (_pattern, _first) in PLAIN.items():
    _letters = [*_first, ""] if _kind == "null" else list(_first)
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(rf"^(?:{_pattern})$"), _letters)


def read_yaml(text: str) -> Any:
    """The value that YAML holds. Raises ValueError with what is wrong with it."""
    if len(text) > YAML_MAX_CHARS:
        raise ValueError(f"it has more than {YAML_MAX_CHARS:,} characters")
    if not is_text(text):
        raise ValueError("it holds a zero character or half of one")
    try:
        value = yaml.load(text, _Loader)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise ValueError(_where(error)) from error
    except RecursionError as error:
        raise ValueError(f"it is nested more than {YAML_DEPTH_MAX} deep") from error
    return read_json(json.dumps(value).encode())  # texts and numbers that can be kept


def _where(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or "it is no YAML")[:200]
    return f"line {mark.line + 1}: {problem}" if mark else problem
