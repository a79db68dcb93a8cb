"""Which scopes there are: apps register what kinds of things roles can be bound to, and what of each kind exists."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import EVERYWHERE
from mlorch_site.lib.errors import Invalid
from mlorch_site.lib.lists import Choices

SCOPE_MAX_CHARS = 300
OFFERED_MAX = 200  # names of one kind that a form shows at once; a search narrows them
SCOPE_HELP = "A scope is * for everything, environment:<name>, or model:<name>."
EVERYTHING = "everything"


@dataclass(frozen=True)
class ScopeKind:
    """A kind of thing that a role can be bound to; its functions read the database.

    `existing` gives which of some names exist, `offered` the names that hold a text, and of a kind of which there are
    few `visible` all that an actor may see.
    """

    name: str
    existing: Callable[[Collection[str]], set[str]]
    offered: Callable[[str], list[str]]
    visible: Callable[[Actor], list[str]] | None = None


_kinds: dict[str, ScopeKind] = {}


def register_kind(kind: ScopeKind) -> None:
    """Let roles be bound to things of a kind; called from an app's `ready`."""
    _kinds[kind.name] = kind


def scope_label(scope: str) -> str:
    """A scope as people read it."""
    kind, _, name = scope.partition(":")
    return EVERYTHING if scope == EVERYWHERE else f"{kind} {name}"


def missing_scopes(scopes: Iterable[str]) -> set[str]:
    """Those of `scopes` whose thing does not exist (any more); one query for each kind."""
    wanted: dict[str, set[str]] = {}
    for scope in set(scopes) - {EVERYWHERE}:
        kind, _, name = scope.partition(":")
        wanted.setdefault(kind, set()).add(name)
    missing: set[str] = set()
    for kind, names in wanted.items():
        there = _kinds[kind].existing(names) if kind in _kinds else set()
        missing |= {f"{kind}:{name}" for name in names - there}
    return missing


def scope_checked(scope: str) -> str:
    """Return `scope` without spaces around it.

    Raises Invalid unless it is `*`, or a kind and the name of something that exists.
    """
    scope = scope.strip()
    kind, _, name = scope.partition(":")
    is_readable = scope.isprintable() and len(scope) <= SCOPE_MAX_CHARS
    if scope != EVERYWHERE and not (is_readable and kind in _kinds and name):
        raise Invalid(SCOPE_HELP, details={"scope": "unknown"})
    if missing_scopes([scope]):
        raise Invalid(f"There is no {kind} {name}. Pick one that exists.", details={"scope": "does not exist"})
    return scope


def scope_choices(text: str = "") -> list[tuple[str, Choices]]:
    """Kind → scope and name of what exists and holds `text`, at most `OFFERED_MAX` of a kind."""
    return [
        (kind.name.capitalize(), [(f"{kind.name}:{name}", name) for name in kind.offered(text)])
        for kind in _kinds.values()
    ]


def places_of(actor: Actor) -> list[str]:
    """The scopes of what the actor may see, of the kinds of which there are few."""
    return [f"{kind.name}:{name}" for kind in _kinds.values() if kind.visible for name in kind.visible(actor)]
