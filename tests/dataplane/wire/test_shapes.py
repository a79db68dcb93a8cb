"""What others said, fit to be shown."""

import pytest

from dataplane.wire import shapes
from dataplane.wire.sandbox import is_at_least


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Größe 3 µm – „gut“ 日本", "Größe 3 µm – „gut“ 日本"),
        ("\x1b[31mred\x1b[0m", "\\u001b[31mred\\u001b[0m"),
        ("one\ntwo\r\tthree\x00", "one\\u000atwo\\u000d\\u0009three\\u0000"),
        ("\u202etxt.exe\u2066\u200b", "\\u202etxt.exe\\u2066\\u200b"),
        ("\x9b2J\u2028\ud800", "\\u009b2J\\u2028\\ud800"),
    ],
)
def test_plain_text__what_is_not_shown__is_a_number(said: str, shown: str) -> None:
    assert shapes.plain_text(said) == shown
    assert shapes.plain_text(shown) == shown


def test_cut__long_and_full_of_escapes__fits_a_text() -> None:
    assert len(shapes.cut("\x1b" * 1000)) == shapes.TEXT_MAX_CHARS


@pytest.mark.parametrize(
    ("level", "wanted", "is_enough"),
    [
        ("full", "full", True),
        ("partly: no namespaces", "partly", True),
        ("partly: full", "full", False),
        ("none: full", "partly", False),
        ("", "none", False),
        ("fuller", "none", False),
    ],
)
def test_is_at_least__by_the_word_a_level_begins_with(level: str, wanted: str, is_enough: bool) -> None:
    assert is_at_least(level, wanted) is is_enough
