"""Every change to telemetry, objectives, rules, alerts and outcomes."""

from monitoring.services.alert_looks import rules_look
from monitoring.services.alert_rules import RuleWish, alert_rule_add, alert_rule_end
from monitoring.services.alerts import (
    alert_acknowledge,
    alert_silence,
    alerts_escalate,
    alerts_forget,
    silence_end,
    silences_expire,
)
from monitoring.services.drift import SampledPlace, drift_reference_learn, drift_report_store
from monitoring.services.measured import (
    MetricQueryWish,
    metric_query_define,
    metric_query_end,
    metric_read,
    prometheus_server_set,
    readings_forget,
)
from monitoring.services.objectives import (
    ObjectiveWish,
    UsualSet,
    objective_end,
    objective_set,
    objectives_measure,
    usual_set_make,
    watch_end,
)
from monitoring.services.outcomes import (
    Became,
    OutcomeWish,
    PlacedOutcome,
    outcome_define,
    outcome_end,
    outcomes_forget,
    outcomes_take,
)
from monitoring.services.rollup import has_windows_to_roll_up, retention_apply, windows_roll_up
from monitoring.services.store import BatchGap, windows_store

__all__ = [
    "BatchGap",
    "Became",
    "MetricQueryWish",
    "ObjectiveWish",
    "OutcomeWish",
    "PlacedOutcome",
    "RuleWish",
    "SampledPlace",
    "UsualSet",
    "alert_acknowledge",
    "alert_rule_add",
    "alert_rule_end",
    "alert_silence",
    "alerts_escalate",
    "alerts_forget",
    "drift_reference_learn",
    "drift_report_store",
    "has_windows_to_roll_up",
    "metric_query_define",
    "metric_query_end",
    "metric_read",
    "objective_end",
    "objective_set",
    "objectives_measure",
    "outcome_define",
    "outcome_end",
    "outcomes_forget",
    "outcomes_take",
    "prometheus_server_set",
    "readings_forget",
    "retention_apply",
    "rules_look",
    "silence_end",
    "silences_expire",
    "usual_set_make",
    "watch_end",
    "windows_roll_up",
    "windows_store",
]
