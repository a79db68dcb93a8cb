"""Templates can be read by their indentation: what closes stands as deep as what it closes.

The formatter alone does not see to that.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.test_layers import ROOT

TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
BLOCKS = {"block", "for", "if", "table", "with"}
VOID = {"area", "br", "hr", "img", "input", "link", "meta", "rect", "use"}
QUOTED = r"\"[^\"]*\"|'[^']*'"
TAG = re.compile(
    rf"{{#.*?#}}|{{{{.*?}}}}|{{%\s*(?P<block>\w+).*?%}}|<(?P<element>/?[a-zA-Z][\w-]*)(?:{{%.*?%}}|{{{{.*?}}}}|{QUOTED}|[^'\">])*>",
    re.DOTALL,
)


def tags(text: str) -> Iterator[tuple[str, int]]:
    """Yield the name and the place of each tag that opens or closes something; names of closing ones begin with a
    slash.
    """
    for found in TAG.finditer(text):
        name = re.sub("^end", "/", found["block"] or "") or found["element"] or ""
        if name.strip("/") in BLOCKS if found["block"] else name and name.strip("/") not in VOID:
            yield name.lower(), found.start()


def line_and_depth(text: str, place: int) -> tuple[int, int, bool]:
    """The line of a place, how deep that is indented, and whether it begins at the place."""
    start = text.rfind("\n", 0, place) + 1
    depth = re.match(" *", text[start:]).end()  # type: ignore[union-attr]
    return text.count("\n", 0, place) + 1, depth, start + depth == place


def misplaced(text: str) -> list[str]:
    """The closing tags that begin a line and are not as deep as what they close."""
    wrong, opened = [], []
    for name, place in tags(text):
        line, depth, is_first = line_and_depth(text, place)
        if not name.startswith("/"):
            opened.append((name, line, depth))
            continue
        opening, opening_line, opening_depth = opened.pop()
        assert opening == name[1:], f"line {line}: {name} closes {opening} of line {opening_line}"
        if is_first and depth != opening_depth:
            wrong.append(f"line {line}: {name} is {depth} deep, line {opening_line} is {opening_depth}")
    return wrong


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT / "templates")))
def test_template__what_closes__stands_as_deep_as_what_it_closes(path: Path) -> None:
    assert misplaced(path.read_text()) == []


def test_misplaced__shifted_end__is_found():
    assert misplaced("<div>\n  {% if a %}\n    b\n{% endif %}\n</div>") == ["line 4: /if is 0 deep, line 2 is 2"]
