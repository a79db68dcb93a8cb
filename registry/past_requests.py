"""What was requested before under the policies of an environment, by what was frozen with it.

What is requested is not known here: whoever knows it registers a reader.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from registry.models import Environment, Policy


@dataclass(frozen=True)
class PastRequest:
    """One thing that was requested, as it was frozen then.

    `outcomes` are those that its gates had, by name, and `policy` the revision they ran under. `first_weight_pct`, the
    `bakes` (seconds and requests of each watched step) and `has_hold` are of its plan; `is_first` says that there was
    nothing to compare with. `approvals` maps who approved to what they held then. `began_at` is when its rollout began.
    """

    title: str
    url: str
    at: datetime
    model_id: int
    policy: Policy
    strategy: str
    is_first: bool
    outcomes: Mapping[str, str] = field(default_factory=dict)
    first_weight_pct: int = 0
    bakes: tuple[tuple[int, int], ...] = ()
    has_hold: bool = False
    guardrails: list[dict[str, Any]] = field(default_factory=list)
    approvals: Mapping[str, Collection[str]] = field(default_factory=dict)
    was_approved: bool = False
    began_at: datetime | None = None


type_Reader = Callable[[Environment, int], list[PastRequest]]
_readers: list[type_Reader] = []


def register_past(reader: type_Reader) -> None:
    """Let `reader(environment, most)` tell the newest requests of an environment; called from an app's `ready`."""
    if reader not in _readers:
        _readers.append(reader)


def past_requests(environment: Environment, most: int) -> list[PastRequest]:
    """The newest requests of an environment, newest first (reads the database)."""
    found = [row for reader in _readers for row in reader(environment, most)]
    return sorted(found, key=lambda row: row.at, reverse=True)[:most]
