"""States of what may run: versions, approval requests, gates. Pure data."""

from dataclasses import dataclass
from enum import StrEnum


class VersionStatus(StrEnum):
    """MLflow's own states, and `deleted` for a version that MLflow no longer has."""

    PENDING = "PENDING_REGISTRATION"
    FAILED = "FAILED_REGISTRATION"
    READY = "READY"
    DELETED = "DELETED"


class DigestStatus(StrEnum):
    PENDING = "pending"  # waits for the work queue
    COMPUTED = "computed"
    FAILED = "failed"  # `digest_error` says why; tried again with back-off


class ApprovalStatus(StrEnum):
    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    VOID = "void"  # what was approved has changed
    WITHDRAWN = "withdrawn"
    BYPASSED = "bypassed"  # in an emergency it began without them; never an approval


class PolicyStage(StrEnum):
    """Where a revision of a policy stands. The first ones are those of a draft; only in `draft` is it edited."""

    DRAFT = "draft"
    REVIEW = "review"
    SCHEDULED = "scheduled"  # published, with a day on which it comes into force
    IN_FORCE = "in_force"
    RETIRED = "retired"  # another revision of the line came into force, or the line was ended
    WITHDRAWN = "withdrawn"

    @property
    def words(self) -> str:
        """The stage in a sentence: what it is."""
        return {"draft": "a draft", "review": "in review"}.get(self.value, self.value.replace("_", " "))


class DecisionKind(StrEnum):
    APPROVE = "approve"
    REJECT = "reject"
    REQUEST_CHANGES = "request_changes"
    TAKE_BACK = "take_back"  # what the person said before counts no more


class GateOutcome(StrEnum):
    PASS = "pass"  # noqa: S105 - an outcome, not a password
    WARN = "warn"
    FAIL = "fail"
    ERROR = "error"
    SKIPPED = "skipped"


class GateState(StrEnum):
    """How far a gate has come with its answer."""

    PENDING = "pending"
    RUNNING = "running"
    ENDED = "ended"


REFUSING: frozenset[GateOutcome] = frozenset({GateOutcome.FAIL, GateOutcome.ERROR})


class ChangedOutside(StrEnum):
    """What a rollout does when its version is deleted, made again or changed in MLflow meanwhile."""

    GO_BACK = "go_back"
    HOLD = "hold"
    GO_ON = "go_on"


class WhenClosed(StrEnum):
    """What a rollout that runs does when its environment closes: a freeze begins, or a release window ends."""

    GO_ON = "go_on"
    HOLD = "hold"


class WhenAlerting(StrEnum):
    """What a rollout does while an alert fires on its endpoint that did not when it began."""

    GO_ON = "go_on"
    HOLD = "hold"
    ROLL_BACK = "roll_back"


class AuthorUnknown(StrEnum):
    """What is asked for when nobody here is known as who made a version: as always, or one more approval."""

    ANYONE = "anyone"
    ONE_MORE = "one_more"


class FactKind(StrEnum):
    """What is kept of a model or a version over time."""

    NAME = "name"
    OWNER = "owner"
    RISK_TIER = "risk_tier"
    ALIAS = "alias"
    DELETED = "deleted"
    STATUS = "status"
    DIGEST = "digest"
    LIFECYCLE = "lifecycle"


class RiskTier(StrEnum):
    LOW = "low"
    MODERATE = "moderate"
    HIGH = "high"
    CRITICAL = "critical"


APPROVAL_MOVES: dict[ApprovalStatus, frozenset[ApprovalStatus]] = {
    ApprovalStatus.OPEN: frozenset(set(ApprovalStatus) - {ApprovalStatus.OPEN}),
    ApprovalStatus.APPROVED: frozenset({ApprovalStatus.VOID, ApprovalStatus.EXPIRED}),
    ApprovalStatus.REJECTED: frozenset(),
    ApprovalStatus.EXPIRED: frozenset(),
    ApprovalStatus.VOID: frozenset(),
    ApprovalStatus.WITHDRAWN: frozenset(),
    ApprovalStatus.BYPASSED: frozenset({ApprovalStatus.VOID, ApprovalStatus.EXPIRED}),
}

POLICY_MOVES: dict[PolicyStage, frozenset[PolicyStage]] = {
    PolicyStage.DRAFT: frozenset({PolicyStage.REVIEW, PolicyStage.WITHDRAWN}),
    PolicyStage.REVIEW: frozenset(
        {PolicyStage.DRAFT, PolicyStage.SCHEDULED, PolicyStage.IN_FORCE, PolicyStage.WITHDRAWN}
    ),
    PolicyStage.SCHEDULED: frozenset({PolicyStage.DRAFT, PolicyStage.IN_FORCE, PolicyStage.WITHDRAWN}),
    PolicyStage.IN_FORCE: frozenset({PolicyStage.RETIRED}),
    PolicyStage.RETIRED: frozenset(),
    PolicyStage.WITHDRAWN: frozenset(),
}
WAITING_STAGES = frozenset({PolicyStage.DRAFT, PolicyStage.REVIEW, PolicyStage.SCHEDULED})


class VersionLifecycle(StrEnum):
    """What people decided about a version, whatever MLflow says of it."""

    REGISTERED = "registered"
    DEPRECATED = "deprecated"  # another one is to be preferred; it may still be released
    RETIRED = "retired"  # not needed any more
    BLOCKED = "blocked"  # must not serve


class LifecycleAct(StrEnum):
    DEPRECATE = "deprecate"
    RETIRE = "retire"
    RESTORE = "restore"
    BLOCK = "block"
    UNBLOCK = "unblock"


LIFECYCLE_MOVES: dict[VersionLifecycle, dict[LifecycleAct, VersionLifecycle]] = {
    VersionLifecycle.REGISTERED: {
        LifecycleAct.DEPRECATE: VersionLifecycle.DEPRECATED,
        LifecycleAct.RETIRE: VersionLifecycle.RETIRED,
        LifecycleAct.BLOCK: VersionLifecycle.BLOCKED,
    },
    VersionLifecycle.DEPRECATED: {
        LifecycleAct.RESTORE: VersionLifecycle.REGISTERED,
        LifecycleAct.RETIRE: VersionLifecycle.RETIRED,
        LifecycleAct.BLOCK: VersionLifecycle.BLOCKED,
    },
    VersionLifecycle.RETIRED: {
        LifecycleAct.RESTORE: VersionLifecycle.REGISTERED,
        LifecycleAct.BLOCK: VersionLifecycle.BLOCKED,
    },
    # Deprecated and not registered: a person has to say that nothing of the doubt is left.
    VersionLifecycle.BLOCKED: {LifecycleAct.UNBLOCK: VersionLifecycle.DEPRECATED},
}
OUT_OF_USE: frozenset[VersionLifecycle] = frozenset({VersionLifecycle.RETIRED, VersionLifecycle.BLOCKED})


@dataclass(frozen=True)
class LifecycleLook:
    """How a lifecycle is shown: a word, Tabler's colour name, an icon of our sprite."""

    label: str
    colour: str
    icon: str


LIFECYCLE_LOOKS: dict[VersionLifecycle, LifecycleLook] = {
    VersionLifecycle.REGISTERED: LifecycleLook("Registered", "secondary", "box"),
    VersionLifecycle.DEPRECATED: LifecycleLook("Deprecated", "yellow", "alert-triangle"),
    VersionLifecycle.RETIRED: LifecycleLook("Retired", "secondary", "clock-off"),
    VersionLifecycle.BLOCKED: LifecycleLook("Blocked", "red", "ban"),
}
