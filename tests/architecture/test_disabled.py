"""What cannot be pressed says why: every control that a template disables has a reason of the tag `why` beside it."""

import re
from pathlib import Path

import pytest

from tests.architecture.test_layers import ROOT

TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
QUOTED = r"\"[^\"]*\"|'[^']*'"
CONTROL = re.compile(
    rf"<(?P<element>button|input|select|textarea|fieldset|a)\b(?P<rest>(?:{{%.*?%}}|{{{{.*?}}}}|{QUOTED}|[^'\">])*)>",
    re.DOTALL,
)
REASON = re.compile(r"{%\s*why\s+(?P<parts>.*?)\s*%}", re.DOTALL)
PART = re.compile(r"\"([^\"]*)\"|(\S+)")


def disables(element: str, rest: str) -> bool:
    """Whether a tag can be disabled; a link is by its class, and only links that look like buttons are controls."""
    bare = re.sub(r"hx-[\w-]*disabled[\w-]*=\"[^\"]*\"", "", rest)
    if element == "a":
        return "btn" in bare and bool(re.search(r"\bdisabled\b", bare))
    return bool(re.search(r"(?<![\w-])disabled(?![\w-])", re.sub(r"=\"[^\"{]*\"", "", bare)))


def normal(name: str) -> str:
    """A description's name with its variables as words, however it is put together."""
    return re.sub(r"{{\s*(.*?)\s*}}", r"<\1>", name)


def reasons(text: str) -> set[str]:
    """The names under which reasons stand in a template."""
    found = set()
    for reason in REASON.finditer(text):
        parts = PART.findall(reason["parts"])[1:]  # the first is the reason itself
        found.add("".join(literal or f"<{variable}>" for literal, variable in parts))
    return found


def mute(text: str) -> list[str]:
    """The controls that can be disabled without saying why, by their line."""
    wrong, known = [], reasons(text)
    for control in CONTROL.finditer(text):
        rest = control["rest"]
        if not disables(control["element"], rest):
            continue
        described = re.search(r"aria-describedby=\"(.*?)\"", rest)
        names = normal(described[1]).split() if described else []
        if not set(names) & known:
            wrong.append(f"line {text.count(chr(10), 0, control.start()) + 1}: <{control['element']}>")
    return wrong


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT / "templates")))
def test_template__what_it_disables__says_why(path: Path) -> None:
    assert mute(path.read_text()) == []


def test_templates__some_disable_something__so_that_this_looks_at_something():
    texts = [path.read_text() for path in TEMPLATES]
    found = [
        text for text in texts for control in CONTROL.finditer(text) if disables(control["element"], control["rest"])
    ]
    assert len(found) > 10


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<button disabled>x</button>", ["line 1: <button>"]),
        ('<button{% if a %} disabled title="{{ a }}"{% endif %}>', ["line 1: <button>"]),
        ('<button disabled aria-describedby="why-a">', ["line 1: <button>"]),
        ('<button disabled aria-describedby="why-a">x</button>{% why a "why-a" %}', []),
        ('<button disabled aria-describedby="why-{{ c.n }}">x</button>{% why c.w "why-" c.n %}', []),
        ('<a class="btn{% if a %} disabled{% endif %}" href="/">x</a>', ["line 1: <a>"]),
        ('<a class="page-link disabled" href="/">x</a>', []),
        ('<button hx-disabled-elt="find button">x</button>', []),
        ('<textarea {% if w %}disabled aria-describedby="why-not"{% endif %}></textarea>{% why w "why-not" %}', []),
    ],
)
def test_mute__what_has_no_reason__is_found(text: str, found: list[str]) -> None:
    assert mute(text) == found
