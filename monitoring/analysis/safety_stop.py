"""What stops a rollout without being compared: the candidate fails, or is slow, nearly always."""

from monitoring.analysis.guardrail_result import CLIENT_ERRORS, SafetyLimits
from monitoring.analysis.tally import BASELINE_MIN_REQUESTS, Tally

SOURCES_MIN = 3.0  # equally busy units that must be behind the requests: one client's alone may all fail with it


def is_stopped(tally: Tally, metric: str, limits: SafetyLimits) -> bool:
    """Whether the tally is beyond the limits of a safety stop.

    A share of errors since the beginning, or nearly all requests since some second: a version may break late. From the
    beginning it takes more seconds than most stalls have, and slowness counts only when the stable arm is mostly not
    slow.
    """
    if metric == CLIENT_ERRORS:
        return False
    return is_lasting(tally, limits) or _is_out_from_the_beginning(tally, metric, limits)


def is_lasting(tally: Tally, limits: SafetyLimits) -> bool:
    """Whether nearly all requests of many of the newest seconds are events."""
    run = tally.run
    return (
        run.seconds >= limits.lasting_seconds
        and run.requests >= limits.slow_min_requests
        and run.sources >= SOURCES_MIN
    )


def _is_out_from_the_beginning(tally: Tally, metric: str, limits: SafetyLimits) -> bool:
    if tally.candidate_buckets.spread(tally.candidate_n) < SOURCES_MIN:
        return False
    is_total = tally.candidate_seconds >= limits.total_seconds and (
        tally.candidate_k >= limits.total_share * tally.candidate_n
    )
    if metric == "error_rate":
        is_half = tally.candidate_seconds >= limits.error_seconds and (
            tally.candidate_k >= limits.error_share * tally.candidate_n
        )
        return tally.candidate_n >= limits.min_requests and (is_total or is_half)
    return (
        is_total
        and tally.candidate_n >= limits.slow_min_requests
        and tally.baseline_n >= BASELINE_MIN_REQUESTS
        and tally.baseline_k < limits.error_share * tally.baseline_n
    )
