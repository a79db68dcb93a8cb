"""What the judge says of one guardrail: the numbers, the verdict with what it rests on, and one plain sentence."""

from dataclasses import dataclass
from enum import StrEnum

from monitoring.analysis.verdicts import Verdict

CLIENT_ERRORS = "client_error_rate"
_ONE_POINT = 0.01
_SHARE_FROM = 20  # requests; of fewer, the two numbers say it better
_WORTH_LESS = 0.9


@dataclass(frozen=True)
class SafetyLimits:
    """What is harmful without being compared.

    From the beginning: errors that are `total_share` of at least `min_requests` candidate requests in `total_seconds`
    seconds, or `error_share` in `error_seconds` (a burst of a few seconds is not yet half of them); slow answers that
    are `total_share` of at least `slow_min_requests` in `total_seconds`. What begins late: nearly all requests of the
    last `lasting_seconds` seconds fail or are slow.
    """

    error_share: float = 0.5
    min_requests: int = 20
    error_seconds: int = 8
    total_share: float = 0.9
    slow_min_requests: int = 25
    total_seconds: int = 3
    lasting_seconds: int = 10


class Ground(StrEnum):
    """What a harmful verdict of one guardrail rests on."""

    NONE = ""
    LIMIT = "safety limit"
    EVIDENCE = "evidence"
    INTERVAL = "interval"
    THRESHOLD = "threshold"


class Method(StrEnum):
    """By what a guardrail was judged."""

    SEQUENTIAL = "sequential"
    THRESHOLD = "threshold"
    KAYENTA = "kayenta"


class Unit(StrEnum):
    """The unit of a guardrail's margin, difference, interval and values."""

    SHARE = "share"
    MS = "ms"
    NUMBER = ""


@dataclass(frozen=True)
class GuardrailResult:
    """What one guardrail says, with every number it rests on. What its kind does not have is None, or 0.

    `candidate_share` and `baseline_share` belong to guardrails that count; `candidate_value` and `baseline_value` are
    in `unit` and belong to those that measure. `is_worse` tells that "the candidate's is not larger" is rejected and
    that it is observed larger: `interval_low` is 0 at least, and 0 itself is excluded. `ground` says why it is harmful.
    `effective_n` and `effective_baseline_n` are how many independent requests those of each arm are worth;
    `left_out_s` are the seconds of the candidate's warm-up, which are in no number; `run_s` are the newest seconds in
    which nearly all of its requests are events and the stable arm's are not. Harm of one that is not critical is for a
    person to decide on; healthy needs `min_effective` of the candidate's requests in independent ones. All numbers are
    those of the newest `recent_s` seconds where these alone decided, else (0) those since the beginning.
    """

    metric: str
    label: str
    margin: float
    slo_ms: float | None = None
    unit: Unit = Unit.SHARE
    method: Method = Method.SEQUENTIAL
    candidate_n: int = 0
    candidate_k: int = 0
    baseline_n: int = 0
    baseline_k: int = 0
    candidate_share: float | None = None
    baseline_share: float | None = None
    candidate_value: float | None = None
    baseline_value: float | None = None
    difference: float | None = None
    interval_low: float | None = None
    interval_high: float | None = None
    e_value: float | None = None
    threshold: float | None = None
    is_worse: bool = False
    effective_n: float = 0.0
    effective_baseline_n: float = 0.0
    left_out_s: int = 0
    run_s: int = 0
    is_critical: bool = True
    min_effective: int = 0
    recent_s: int = 0
    verdict: Verdict = Verdict.INCONCLUSIVE
    ground: Ground = Ground.NONE
    sentence: str = ""


def sentence_of(result: GuardrailResult, safety: SafetyLimits | None = None) -> str:
    """One plain sentence with the numbers that a verdict rests on."""
    if result.candidate_share is None:
        return f"{result.label}: the candidate has answered no request yet."
    if result.ground is Ground.LIMIT:
        return _limit_sentence(result, safety or SafetyLimits())
    if result.baseline_share is None or result.difference is None or result.interval_high is None:
        return f"{result.label}: the stable arm has answered no request yet, so there is nothing to compare with."
    low = "above 0" if result.is_worse and result.interval_low == 0 else f"{(result.interval_low or 0) * 100:+.1f}"
    text = (
        f"{_lately(result)}{_compared(result)}{_worth(result)}: {_points(result.difference)}, interval {low} to "
        f"{result.interval_high * 100:+.1f} points"
    )
    return f"{text}{_conclusion(result)}{_left_out(result)}"


def _limit_sentence(result: GuardrailResult, safety: SafetyLimits) -> str:
    beside = "" if result.baseline_share is None else f"; stable {_of(result.baseline_k, result.baseline_n)}"
    if result.run_s >= safety.lasting_seconds:
        return f"{_counted(result)}{beside}: nearly all of the last {result.run_s} s, which is no stall."
    least = safety.min_requests if result.slo_ms is None else safety.slow_min_requests
    share, seconds = safety.total_share, safety.total_seconds
    if result.candidate_k < share * result.candidate_n:
        share, seconds = safety.error_share, safety.error_seconds
    limit = f"{share * 100:g} % of at least {least:,} in {seconds} s"
    return f"{_counted(result)}{beside}: so many that nothing needs to be compared. The safety limit is {limit}."


def _conclusion(result: GuardrailResult) -> str:
    margin = f"the margin of {result.margin * 100:g} {'point' if result.margin == _ONE_POINT else 'points'}"
    if result.ground is Ground.EVIDENCE:
        needed = f"{result.threshold or 0:,.0f} to 1 proves it"
        return f"; worse by evidence of {_odds(result.e_value or 0)} ({needed}), and the difference is beyond {margin}."
    if result.ground is Ground.INTERVAL:
        return f"; wholly above {margin}."
    if result.interval_high is not None and result.interval_high < result.margin:
        return f", below {margin}."
    if result.metric == CLIENT_ERRORS:
        return "; no proof that the version causes them, so they do not count."
    return f"; {margin} is not yet decided."


def _lately(result: GuardrailResult) -> str:
    return f"In the last {result.recent_s} s " if result.recent_s else ""


def _compared(result: GuardrailResult) -> str:
    return f"{_counted(result)}; stable {_of(result.baseline_k, result.baseline_n)}"


def _counted(result: GuardrailResult) -> str:
    happened = {"error_rate": "failed", CLIENT_ERRORS: "were refused as bad input"}.get(
        result.metric, f"took longer than {result.slo_ms or 0:g} ms"
    )
    counted = f"{result.candidate_k:,} of {result.candidate_n:,} requests {happened}"
    return f"{counted}{_share(result.candidate_k, result.candidate_n)}"


def _of(events: int, requests: int) -> str:
    return f"{events:,} of {requests:,}{_share(events, requests)}"


def _share(events: int, requests: int) -> str:
    """The share in brackets, where it says more than the two numbers."""
    if not events or events == requests or requests < _SHARE_FROM:
        return ""
    return f" ({events / requests * 100:.1f} %)"


def _worth(result: GuardrailResult) -> str:
    """What the requests are worth, where it differs from their number by more than a tenth."""
    if result.effective_n >= _WORTH_LESS * result.candidate_n:
        return ""
    return f"; {result.candidate_n:,} requests worth about {max(result.effective_n, 1):,.0f} independent ones"


def _left_out(result: GuardrailResult) -> str:
    return f" Its first {result.left_out_s} s are left out: it was warming up." if result.left_out_s else ""


def _points(difference: float) -> str:
    if abs(difference) < 0.0005:
        return "no difference"
    return f"{abs(difference) * 100:.1f} points {'more' if difference > 0 else 'less'}"


def _odds(e_value: float) -> str:
    return f"{e_value:,.0f} to 1" if e_value < 1e6 else "over 1,000,000 to 1"
