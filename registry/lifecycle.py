"""States of what may run: versions, approval requests, gates. Pure data."""

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


class GateOutcome(StrEnum):
    PASS = "pass"  # noqa: S105 - an outcome, not a password
    WARN = "warn"
    FAIL = "fail"
    ERROR = "error"
    SKIPPED = "skipped"


class ChangedOutside(StrEnum):
    """What a rollout does when its version is deleted, made again or changed in MLflow meanwhile."""

    GO_BACK = "go_back"
    HOLD = "hold"
    GO_ON = "go_on"


class WhenClosed(StrEnum):
    """What a rollout that runs does when its environment closes: a freeze begins, or a release window ends."""

    GO_ON = "go_on"
    HOLD = "hold"


class FactKind(StrEnum):
    """What is kept of a model or a version over time."""

    NAME = "name"
    OWNER = "owner"
    RISK_TIER = "risk_tier"
    ALIAS = "alias"
    DELETED = "deleted"
    STATUS = "status"
    DIGEST = "digest"


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
