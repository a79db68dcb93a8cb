"""Objectives, alert rules and their states: words, looks and legal moves. Pure data."""

from dataclasses import dataclass
from enum import StrEnum


class ObjectiveKind(StrEnum):
    AVAILABILITY = "availability"  # the share of ok among ok, server errors and timeouts
    LATENCY = "latency"  # the share of requests at or under so many ms


class BudgetStatus(StrEnum):
    """How an objective stands. Without requests nothing is known, which is no pass."""

    KEPT = "kept"
    SPENT = "spent"
    NO_DATA = "no_data"


class RuleKind(StrEnum):
    BURN_FAST = "burn_fast"  # the budget would be gone within days
    BURN_SLOW = "burn_slow"  # it would just be gone by the end of its time
    THRESHOLD = "threshold"
    CHANGE = "change"  # against the same span before
    ABSENCE = "absence"  # nobody asks
    AUDIT = "audit"  # somebody did what somebody wants to know of


class RuleMetric(StrEnum):
    ERROR_SHARE = "error_share"  # percent of ok, server errors and timeouts
    P95 = "p95_ms"
    RATE = "rate"  # requests per second
    COST = "cost"  # a day, in the currency of the serving configs


class WatchedAct(StrEnum):
    """Acts of the audit record that a rule can watch."""

    EMERGENCY = "emergency"
    ROLLED_BACK = "rolled_back"
    WAIVER = "waiver"
    POLICY = "policy"
    OUTSIDE = "outside"
    KEY = "key"


class BoundSide(StrEnum):
    ABOVE = "above"
    BELOW = "below"


class AlertSeverity(StrEnum):
    URGENT = "urgent"
    TICKET = "ticket"  # somebody looks at it in the next days


class RuleState(StrEnum):
    """How a rule stands. What is called resolved is an alert whose rule came back from firing to ok."""

    OK = "ok"
    PENDING = "pending"  # broken, and not for long enough yet
    FIRING = "firing"
    NO_DATA = "no_data"  # nothing can be said; an alert that is open stays open


S = RuleState
RULE_MOVES: dict[RuleState, frozenset[RuleState]] = {
    S.OK: frozenset({S.PENDING, S.FIRING, S.NO_DATA}),
    S.PENDING: frozenset({S.OK, S.FIRING, S.NO_DATA}),
    S.FIRING: frozenset({S.OK, S.NO_DATA}),
    S.NO_DATA: frozenset({S.OK, S.PENDING, S.FIRING}),
}


@dataclass(frozen=True)
class AlertLook:
    """How a state is shown."""

    label: str
    colour: str
    icon: str


RULE_LOOKS = {
    S.OK: AlertLook("Ok", "green", "circle-check"),
    S.PENDING: AlertLook("Pending", "yellow", "refresh"),
    S.FIRING: AlertLook("Firing", "red", "alert-triangle"),
    S.NO_DATA: AlertLook("No data", "secondary", "help"),
}
BUDGET_LOOKS = {
    BudgetStatus.KEPT: AlertLook("Kept so far", "green", "circle-check"),
    BudgetStatus.SPENT: AlertLook("Budget spent", "red", "circle-x"),
    BudgetStatus.NO_DATA: AlertLook("No data", "secondary", "help"),
}
ALERT_LOOKS = {
    "firing": AlertLook("Firing", "red", "alert-triangle"),
    "acknowledged": AlertLook("Acknowledged", "yellow", "user-check"),
    "resolved": AlertLook("Resolved", "green", "circle-check"),
}
SEVERITY_LABELS = {AlertSeverity.URGENT: "Urgent", AlertSeverity.TICKET: "In the next days"}
RULE_LABELS = {
    RuleKind.BURN_FAST: "The budget burns fast",
    RuleKind.BURN_SLOW: "The budget burns slowly",
    RuleKind.THRESHOLD: "A figure passes a bound",
    RuleKind.CHANGE: "A figure changes",
    RuleKind.ABSENCE: "Nobody asks",
    RuleKind.AUDIT: "Somebody did something",
}
METRIC_LABELS = {
    RuleMetric.ERROR_SHARE: "errors in percent",
    RuleMetric.P95: "P95 latency in ms",
    RuleMetric.RATE: "requests per second",
    RuleMetric.COST: "cost a day",
}
ACTIONS = {
    WatchedAct.EMERGENCY: ("approval.bypassed",),
    WatchedAct.ROLLED_BACK: ("endpoint.rolled_back", "release.rolled_back"),
    WatchedAct.WAIVER: ("gate.waived",),
    WatchedAct.POLICY: ("policy.revised", "policy.ended"),
    WatchedAct.OUTSIDE: ("tag.changed_outside", "version.digest_failed"),
    WatchedAct.KEY: ("gateway_key.created", "gateway_key.revoked"),
}
ACT_LABELS = {
    WatchedAct.EMERGENCY: "a release in an emergency, without its approvals",
    WatchedAct.ROLLED_BACK: "a way back, by hand or by itself",
    WatchedAct.WAIVER: "a gate that was waived",
    WatchedAct.POLICY: "another policy",
    WatchedAct.OUTSIDE: "a change in MLflow behind the back of the registry",
    WatchedAct.KEY: "a key to the gateway, made or revoked",
}
OBJECTIVE_LABELS = {ObjectiveKind.AVAILABILITY: "Availability", ObjectiveKind.LATENCY: "Latency"}
WINDOW_DAYS = (7, 28, 30)
BURN_KINDS = (RuleKind.BURN_FAST, RuleKind.BURN_SLOW)
