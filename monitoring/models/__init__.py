"""How it behaves: windows of counts and latency per arm, where each gateway's telemetry stands, how far it is rolled
up; objectives and alerts; outcomes; references of drift and counts of sampled requests.
"""

from monitoring.models.alerts import Alert, AlertEvent, AlertRule, RuleStanding, Silence
from monitoring.models.drift import DRIFT_KEPT, DriftReference, DriftWindow
from monitoring.models.measured import MetricQuery, MetricReading, PrometheusServer
from monitoring.models.objectives import Objective, ObjectiveStanding
from monitoring.models.outcomes import LargerIs, OutcomeDefinition, OutcomeKind, ReportedOutcome
from monitoring.models.windows import KEPT, GatewayCursor, RollUpCursor, Window

__all__ = [
    "DRIFT_KEPT",
    "KEPT",
    "Alert",
    "AlertEvent",
    "AlertRule",
    "DriftReference",
    "DriftWindow",
    "GatewayCursor",
    "LargerIs",
    "MetricQuery",
    "MetricReading",
    "Objective",
    "ObjectiveStanding",
    "OutcomeDefinition",
    "OutcomeKind",
    "PrometheusServer",
    "ReportedOutcome",
    "RollUpCursor",
    "RuleStanding",
    "Silence",
    "Window",
]
