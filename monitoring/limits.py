"""Bounds of objectives, alert rules, silences and outcomes."""

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

OUTCOME_NAMES_MAX = 20  # of an endpoint
OUTCOMES_PER_POST_MAX = 1000
OUTCOME_PLACES_MAX = 20  # endpoints that one post is about
OUTCOME_BOUND_MAX = 1e12
OUTCOME_AGE_MAX = timedelta(days=90)  # of the request when its outcome comes
OUTCOME_AHEAD_MAX = timedelta(minutes=1)  # a client's clock may be so much ahead
OUTCOMES_KEPT = timedelta(days=400)
OUTCOME_BLOCKS_MAX = 256  # of time, into which a look divides what it reads

METRIC_QUERIES_MAX = 20  # of an endpoint
METRIC_READ_EVERY_S = 10
METRIC_STALE_MAX_S = 3600
READINGS_KEPT = timedelta(days=30)
