"""An object of the gateway is whole as soon as it exists: no attribute is missing until some later call sets it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dataplane.gateway.test_uvicorn import CONNECTION, SERVER

GATEWAY = Path(__file__).resolve().parents[3] / "dataplane" / "gateway"
FILES = sorted(path for path in GATEWAY.rglob("*.py") if "site" not in path.parts and not path.stem.endswith("_pb2"))


def classes() -> dict[str, ast.ClassDef]:
    """The gateway's classes by name."""
    nodes = (node for path in FILES for node in ast.walk(ast.parse(path.read_text())))
    return {node.name: node for node in nodes if isinstance(node, ast.ClassDef)}


CLASSES = classes()


def assigned(body: ast.AST) -> set[str]:
    """The attributes of `self` that some code binds."""
    return {
        node.attr
        for node in ast.walk(body)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }


def line_of(name: str) -> Iterator[ast.ClassDef]:
    """Yield a class and those it inherits from, as far as they are the gateway's."""
    if name in CLASSES:
        yield CLASSES[name]
        for base in CLASSES[name].bases:
            yield from line_of(base.id if isinstance(base, ast.Name) else "")


def initial(name: str) -> set[str]:
    """What an object has when its `__init__` is over."""
    found: set[str] = set()
    for node in line_of(name):
        for part in node.body:
            if isinstance(part, ast.FunctionDef) and part.name == "__init__":
                found |= assigned(part)
            elif isinstance(part, ast.AnnAssign) and part.value is not None and isinstance(part.target, ast.Name):
                found.add(part.target.id)
    return found


def slots(name: str) -> set[str]:
    for part in CLASSES[name].body:
        if isinstance(part, ast.Assign) and ast.unparse(part.targets[0]) == "__slots__":
            return {value.value for value in ast.walk(part.value) if isinstance(value, ast.Constant)}
    return set()


def from_uvicorn(name: str) -> set[str]:
    """What a base of uvicorn's has set."""
    return {attribute for base in (CONNECTION, SERVER) if base.ours.__name__ == name for attribute in base.attributes}


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_class__every_attribute__is_there_from_the_beginning(name: str) -> None:
    later = set[str]().union(*(assigned(part) for part in CLASSES[name].body), slots(name))

    assert later - initial(name) - from_uvicorn(name) == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_module__nothing_is_asserted_that_a_type_can_say(path: Path) -> None:
    lines = [node.lineno for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Assert)]

    assert lines == []
