"""What a Prometheus server said to an instant query: one value that counts, or why there is none. Pure.

The form of the answer is that of `GET /api/v1/query`: https://prometheus.io/docs/prometheus/latest/querying/api/
"""

import json
import math
from dataclasses import dataclass
from typing import Any

TIME_AHEAD_MAX_S = 60.0
SAID_MAX_CHARS = 200


@dataclass(frozen=True)
class MetricValue:
    """`value`, measured at the Unix time `at`; without one `reason` says why."""

    value: float | None = None
    at: float | None = None
    reason: str = ""


def none_for(reason: str) -> MetricValue:
    return MetricValue(reason=reason)


def read_answer(status: int, body: bytes, *, now: float, stale_after_s: float) -> MetricValue:
    """The one value of an answer. NaN, infinity, no series, several, a stale one and every error are no value.

    The time of an answer is mostly that of the question: a series without a sample for long is kept out of it by the
    look-back that is asked for.
    """
    if status != 200:
        return none_for(f"The server answered {status}{_error_of(body)}.")
    try:
        answer = json.loads(body)
        data = answer["data"]
        kind, result = data["resultType"], data["result"]
        is_right = answer["status"] == "success" and isinstance(result, list)
    except (ValueError, KeyError, TypeError, RecursionError):
        is_right, kind, result = False, "", []
    if not is_right or kind not in ("vector", "scalar"):
        return none_for("The answer is none of an instant query.")
    if kind == "vector":
        if len(result) != 1:
            return none_for("No series answers." if not result else f"{len(result)} series answer: one is needed.")
        result = result[0].get("value") if isinstance(result[0], dict) else None
    return _counted(result, now, stale_after_s)


def _counted(sample: Any, now: float, stale_after_s: float) -> MetricValue:
    try:
        at, value = (float(part) for part in sample) if isinstance(sample, list) else (None, None)
    except (TypeError, ValueError):
        at, value = None, None
    if at is None or value is None:
        return none_for("The answer is none of an instant query.")
    if not math.isfinite(value):
        return none_for("The value is not a number." if math.isnan(value) else "The value is infinite.")
    if not math.isfinite(at) or at > now + TIME_AHEAD_MAX_S:
        return none_for("The value is of the future.")
    if now - at > stale_after_s:
        return none_for(f"The value is stale: measured {now - at:,.0f} s ago.")
    return MetricValue(value, at)


def _error_of(body: bytes) -> str:
    try:
        said = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return f": {said[:SAID_MAX_CHARS]}" if isinstance(said, str) and said.isprintable() else ""
