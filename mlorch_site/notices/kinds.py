"""Which kinds of things people are told of: apps register each with what decides who may still hear of it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from mlorch_site.accounts.actor import Actor
from mlorch_site.lib.lists import Choices
from mlorch_site.notices.lifecycle import NoticeMode

DIGEST, TEST = "digest", "test"  # of deliveries that are about several things, or about none


@dataclass(frozen=True)
class NoticeKind:
    """A kind of thing. Both functions read the database and take the thing's id.

    `why_over` is why nobody is to be told any more, whoever it is; `why_not` why this person is not. Empty: go on.
    `waits` tells that somebody has to do something; `must_mail` that its e-mail cannot be switched off.
    """

    name: str
    label: str
    why_over: Callable[[str], str]
    why_not: Callable[[Actor, str], str]
    waits: bool = False
    must_mail: bool = False

    @property
    def modes(self) -> list[NoticeMode]:
        """How a person may want to be told of it."""
        return [mode for mode in NoticeMode if mode is not NoticeMode.OFF or not self.must_mail]


@dataclass(frozen=True)
class News:
    """What is told. `path` is the address of its page on the site; `scopes` are those that the thing lies in."""

    kind: str
    thing: str
    title: str
    sentence: str
    path: str
    scopes: Iterable[str] = ()
    occasion: str = ""
    data: dict[str, Any] = field(default_factory=dict)

    def place(self, kind: str) -> str:
        """The name of the environment or model among the scopes, empty without one."""
        found = [scope.partition(":")[2] for scope in self.scopes if scope.startswith(f"{kind}:")]
        return found[0] if found else ""


_kinds: dict[str, NoticeKind] = {}


def register_kind(kind: NoticeKind) -> None:
    """Let people be told of a kind of thing; called from an app's `ready`."""
    _kinds[kind.name] = kind


def notice_kind(name: str) -> NoticeKind | None:
    """The kind of a name; None when no app knows it any more."""
    return _kinds.get(name)


def notice_kinds() -> list[NoticeKind]:
    """All kinds: what waits for somebody first, then what happened."""
    return sorted(_kinds.values(), key=lambda kind: (not kind.waits, kind.label))


def kind_label(name: str) -> str:
    """A kind as people read it."""
    known = {DIGEST: "Daily digest", TEST: "Test"}
    kind = notice_kind(name)
    return kind.label if kind else known.get(name, name.replace("_", " ").capitalize())


def kind_choices() -> Choices:
    """The kinds for a form."""
    return [(kind.name, kind.label) for kind in notice_kinds()]
