"""Bounds of objectives, alert rules and silences."""

from datetime import timedelta

TARGET_PCT_MIN, TARGET_PCT_MAX = 50.0, 99.999
SLO_MS_MAX = 600_000.0
RULES_PER_ENDPOINT_MAX = 30
OVER_MIN_MAX = 24 * 60
WAIT_MIN_MAX = 24 * 60  # of `for`, `clear` and escalation
BOUND_MAX = 1e9
MINIMUM_MAX = 1_000_000
REASON_MAX_CHARS = 2000
SILENCE_MAX = timedelta(days=30)

DUE_PER_TICK = 500
MEASURED_EVERY = timedelta(minutes=1)
TELEMETRY_LATE = timedelta(minutes=2)  # when what gateways counted is older, nothing can be said of now
ALERTS_KEPT = timedelta(days=400)
