"""What other parts of mlorch have to say when people or their roles change: an app registers its check."""

from collections.abc import Callable

type_Check = Callable[[], list[str]]
_checks: list[type_Check] = []


def register(check: type_Check) -> None:
    """Let `check()` say, a sentence each, what does not work with the people and roles of now (reads the database)."""
    if check not in _checks:
        _checks.append(check)


def consequences() -> list[str]:
    """What does not work with the people and roles of now."""
    return [sentence for check in _checks for sentence in check()]
