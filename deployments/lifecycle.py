"""States of a release, phases of a rollout, and the only moves there are.

Pure data; services and UI read these tables.
"""

from dataclasses import dataclass
from enum import StrEnum

from mlorch_site.lib.errors import IllegalTransition


class ReleaseStatus(StrEnum):
    CHECKING = "checking"  # gates run
    AWAITING_APPROVAL = "awaiting_approval"
    APPROVED = "approved"  # waits for its rollout to begin (or for a neighbour; `status_reason` says)
    IN_EMERGENCY = "in_emergency"  # waits for its rollout to begin without its approvals
    ROLLING_OUT = "rolling_out"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"  # a person ended it before it was promoted
    REJECTED = "rejected"  # by a gate or a reviewer
    EXPIRED = "expired"
    FAILED = "failed"  # could not be started


class Phase(StrEnum):
    """Where a rollout stands. `releases.status` is what the world sees; the phase is the engine's own."""

    STARTING = "starting"  # candidate replicas start and warm up
    SHIFTING = "shifting"  # a weight is published, not yet acknowledged by every gateway
    BAKING = "baking"
    JUDGING = "judging"  # bake is over, the verdict is not yet conclusive
    HOLDING = "holding"  # waits for a person
    PROMOTING = "promoting"  # 100 % published, not yet acknowledged
    REVERTING = "reverting"  # old weights published, not yet acknowledged
    DONE = "done"


DECIDED: frozenset[Phase] = frozenset({Phase.PROMOTING, Phase.REVERTING, Phase.DONE})  # its evidence stands


class Arm(StrEnum):
    STABLE = "stable"
    CANDIDATE = "candidate"
    BASELINE = "baseline"
    SHADOW = "shadow"


class StrategyKind(StrEnum):
    CANARY = "canary"
    LINEAR = "linear"
    SHADOW = "shadow"
    BLUE_GREEN = "blue_green"
    IMMEDIATE = "immediate"


S = ReleaseStatus
RELEASE_MOVES: dict[ReleaseStatus, frozenset[ReleaseStatus]] = {
    S.CHECKING: frozenset({S.AWAITING_APPROVAL, S.APPROVED, S.REJECTED, S.ABORTED, S.FAILED}),
    S.AWAITING_APPROVAL: frozenset({S.APPROVED, S.IN_EMERGENCY, S.REJECTED, S.EXPIRED, S.ABORTED, S.FAILED}),
    S.APPROVED: frozenset({S.ROLLING_OUT, S.AWAITING_APPROVAL, S.EXPIRED, S.ABORTED, S.FAILED, S.REJECTED}),
    S.IN_EMERGENCY: frozenset({S.ROLLING_OUT, S.EXPIRED, S.ABORTED, S.FAILED, S.REJECTED}),
    S.ROLLING_OUT: frozenset({S.PAUSED, S.SUCCEEDED, S.ROLLED_BACK, S.ABORTED, S.FAILED}),
    S.PAUSED: frozenset({S.ROLLING_OUT, S.SUCCEEDED, S.ROLLED_BACK, S.ABORTED, S.FAILED}),
    S.SUCCEEDED: frozenset(),
    S.ROLLED_BACK: frozenset(),
    S.ABORTED: frozenset(),
    S.REJECTED: frozenset(),
    S.EXPIRED: frozenset(),
    S.FAILED: frozenset(),
}
RELEASE_STATUS_CHOICES = [(status.value, status.value) for status in ReleaseStatus]
OPEN_STATUSES: frozenset[ReleaseStatus] = frozenset(status for status, moves in RELEASE_MOVES.items() if moves)
ENDED_STATUSES: frozenset[ReleaseStatus] = frozenset(ReleaseStatus) - OPEN_STATUSES
# What may begin as soon as nothing holds it up.
READY_STATUSES: frozenset[ReleaseStatus] = frozenset({S.APPROVED, S.IN_EMERGENCY})
LIVE_STATUSES: frozenset[ReleaseStatus] = frozenset({S.ROLLING_OUT, S.PAUSED})
GATED_STATUSES: frozenset[ReleaseStatus] = frozenset({S.CHECKING, S.AWAITING_APPROVAL}) | READY_STATUSES

P = Phase
_BACK = {P.REVERTING}
PHASE_MOVES: dict[Phase, frozenset[Phase]] = {
    P.STARTING: frozenset({P.SHIFTING, P.PROMOTING, P.HOLDING, P.BAKING, P.JUDGING, P.DONE} | _BACK),
    P.SHIFTING: frozenset({P.BAKING, P.JUDGING, P.HOLDING, P.SHIFTING, P.PROMOTING} | _BACK),
    P.BAKING: frozenset({P.SHIFTING, P.JUDGING, P.HOLDING, P.PROMOTING} | _BACK),
    P.JUDGING: frozenset({P.SHIFTING, P.BAKING, P.HOLDING, P.PROMOTING} | _BACK),
    P.HOLDING: frozenset({P.SHIFTING, P.BAKING, P.JUDGING, P.PROMOTING} | _BACK),
    P.PROMOTING: frozenset({P.DONE} | _BACK),
    P.REVERTING: frozenset({P.DONE}),
    P.DONE: frozenset(),
}


@dataclass(frozen=True)
class Look:
    """How a state is shown: a word, Tabler's colour name, an icon of our sprite."""

    label: str
    colour: str
    icon: str


RELEASE_LOOKS: dict[ReleaseStatus, Look] = {
    S.CHECKING: Look("Checking", "azure", "checklist"),
    S.AWAITING_APPROVAL: Look("Awaiting approval", "yellow", "user-check"),
    S.APPROVED: Look("Approved", "teal", "circle-check"),
    S.IN_EMERGENCY: Look("Emergency", "red", "alert-triangle"),
    S.ROLLING_OUT: Look("Rolling out", "blue", "rocket"),
    S.PAUSED: Look("Paused", "orange", "player-pause"),
    S.SUCCEEDED: Look("Succeeded", "green", "circle-check"),
    S.ROLLED_BACK: Look("Rolled back", "red", "arrow-back-up"),
    S.ABORTED: Look("Aborted", "secondary", "ban"),
    S.REJECTED: Look("Rejected", "red", "circle-x"),
    S.EXPIRED: Look("Expired", "secondary", "clock-off"),
    S.FAILED: Look("Failed", "red", "alert-triangle"),
}


def check_release_move(old: str, new: str, why: str = "") -> None:
    """Raise IllegalTransition unless the table has the move."""
    if ReleaseStatus(new) not in RELEASE_MOVES[ReleaseStatus(old)]:
        raise IllegalTransition("release", old, new, why)


def check_phase_move(old: str, new: str) -> None:
    """Raise IllegalTransition unless the table has the move."""
    if Phase(new) not in PHASE_MOVES[Phase(old)]:
        raise IllegalTransition("rollout", old, new)


class GroupOutcome(StrEnum):
    """How a coordinated release ended."""

    SUCCEEDED = "succeeded"  # all of it
    TAKEN_BACK = "taken_back"  # all of it


class QueueOutcome(StrEnum):
    """What became of a request that waited in a queue."""

    REQUESTED = "requested"  # its turn came, and it is a release now
    REFUSED = "refused"  # its turn came, and it could not be requested any more
    WITHDRAWN = "withdrawn"


class BakeOutcome(StrEnum):
    """How the watch after a promotion ended."""

    KEPT = "kept"
    TAKEN_BACK = "taken_back"
    REPLACED = "replaced"  # by another release
    NO_RETURN = "no_return"  # there was nothing to go back to, or it had been gone back to already


WATCHING = Look("Being watched", "blue", "activity")
SIGNALLED = Look("Speaks against it", "red", "alert-triangle")
BAKE_LOOKS: dict[BakeOutcome, Look] = {
    BakeOutcome.KEPT: Look("Kept", "green", "circle-check"),
    BakeOutcome.TAKEN_BACK: Look("Taken back", "red", "arrow-back-up"),
    BakeOutcome.REPLACED: Look("Replaced", "secondary", "clock-off"),
    BakeOutcome.NO_RETURN: Look("Waits for a person", "red", "alert-triangle"),
}
