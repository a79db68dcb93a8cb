"""Where versions are used: the apps above say it, as the registry does not know what an endpoint is."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from mlorch_site.accounts.actor import Actor
from mlorch_site.lib.hashing import content_hash
from registry.models import Version


class UseKind(StrEnum):
    SERVES = "serves"  # it has an arm of an endpoint
    RELEASING = "releasing"  # a release of it is under way
    RETURN = "return"  # a rollback, or the end of a retirement, would bring it back


@dataclass(frozen=True)
class VersionUse:
    """One use as a sentence, with the page on which it can be ended. `key` names what it is of and never changes."""

    kind: UseKind
    key: str
    sentence: str
    url: str

    @property
    def is_in_the_way(self) -> bool:
        """Whether the version is needed now."""
        return self.kind is not UseKind.RETURN


type_Uses = Callable[[Version, Actor | None], Iterable[VersionUse]]
type_Served = Callable[[Collection[int]], set[int]]
_uses: list[type_Uses] = []
_served: list[type_Served] = []


def register(*, uses: type_Uses, served: type_Served) -> None:
    """Let `uses(version, actor)` say where a version is used, as far as the actor may see it (None: all of it), and
    `served(keys)` which of these versions serve or ever served. Both read the database.
    """
    if uses not in _uses:
        _uses.append(uses)
        _served.append(served)


def uses_of(version: Version, actor: Actor | None = None) -> list[VersionUse]:
    """Where a version is used, as far as `actor` may see it; without one everything."""
    return [use for find in _uses for use in find(version, actor)]


def served_among(versions: Collection[Version]) -> set[int]:
    """The keys of those that serve or ever served."""
    keys = [version.pk for version in versions]
    return {key for find in _served for key in find(keys)} if keys else set()


def uses_seen(uses: Iterable[VersionUse]) -> str:
    """A short text that is the same as long as the uses are: whoever acts shows with it what was seen."""
    return content_hash(sorted((use.kind.value, use.key) for use in uses))[:24]
