"""docs/wire.md says what dataplane/wire does: its examples name every field, its table every limit."""

import ast
import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from dataplane.wire import shapes

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "wire.md").read_text()
MODULES = sorted(path.stem for path in (ROOT / "dataplane" / "wire").glob("*.py") if path.stem != "__init__")
EXAMPLES = dict(re.findall(r"<!-- shape: (\S+) -->\n```json\n(.*?)\n```", PAGE, re.DOTALL))


def shape_of(name: str) -> type[Struct]:
    module, _, shape = name.partition(".")
    return getattr(importlib.import_module(f"dataplane.wire.{module}"), shape)


def limits() -> dict[str, Any]:
    """Every named limit of the wire with its value."""
    found: dict[str, Any] = {}
    for name in MODULES:
        module = importlib.import_module(f"dataplane.wire.{name}")
        for node in ast.parse((ROOT / "dataplane" / "wire" / f"{name}.py").read_text()).body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and "_MAX" in node.targets[0].id:
                found[f"{name}.{node.targets[0].id}"] = getattr(module, node.targets[0].id)
    return found


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_example__is_the_shape_and_names_every_field(name: str) -> None:
    example = json.loads(EXAMPLES[name])
    assert shapes.plain(shapes.convert(shape_of(name), example)) == example


def test_shapes__each_is_in_an_example() -> None:
    shown: set[type] = set()

    def collect(value: Any) -> None:
        if isinstance(value, Struct):
            shown.add(type(value))
            value = [getattr(value, name) for name in value.__struct_fields__]
        for part in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
            collect(part)

    for name, text in EXAMPLES.items():
        collect(shapes.convert(shape_of(name), json.loads(text)))
    defined = {
        shape
        for name in MODULES
        for shape in vars(importlib.import_module(f"dataplane.wire.{name}")).values()
        if isinstance(shape, type) and issubclass(shape, Struct) and shape.__module__.startswith("dataplane.wire")
    }
    # The table is one of several in the answer, and read for itself.
    assert {shape.__name__ for shape in defined - shown} == set()


def test_limits__each_is_in_the_table() -> None:
    written = {
        name: float(value.replace(",", "")) for name, value in re.findall(r"\| `(\S+_MAX\S*)` \| (\S+) \|", PAGE)
    }
    assert written == {name: float(value) for name, value in limits().items()}
