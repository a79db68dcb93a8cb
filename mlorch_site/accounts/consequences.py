"""What other parts of mlorch have to say when people or their roles change: an app registers its check."""

from collections.abc import Callable, Collection

type_Check = Callable[[], list[str]]
_checks: list[type_Check] = []


def register(check: type_Check) -> None:
    """Let `check()` say, a sentence each, what does not work with the people and roles of now (reads the database)."""
    if check not in _checks:
        _checks.append(check)


def consequences() -> list[str]:
    """What does not work with the people and roles of now."""
    return [sentence for check in _checks for sentence in check()]


def consequences_since(before: Collection[str]) -> dict[str, list[str]]:
    """What does not work any more and did `before`, as data of an audit record; empty when nothing is."""
    found = [sentence for sentence in consequences() if sentence not in before]
    return {"consequences": found} if found else {}
