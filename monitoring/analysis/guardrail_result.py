"""What the judge says of one guardrail: the numbers, the verdict with what it rests on, and one plain sentence."""

from dataclasses import dataclass
from enum import StrEnum

from monitoring.analysis.verdicts import Verdict

CLIENT_ERRORS = "client_error_rate"
_ONE_POINT = 0.01


@dataclass(frozen=True)
class SafetyLimits:
    """An error share of `error_share` among at least `min_requests` candidate requests is harmful without being
    compared.
    """

    error_share: float = 0.5
    min_requests: int = 20


class Ground(StrEnum):
    """What a harmful verdict of one guardrail rests on."""

    NONE = ""
    LIMIT = "safety limit"
    EVIDENCE = "evidence"
    INTERVAL = "interval"


@dataclass(frozen=True)
class GuardrailResult:
    """What one guardrail says, with every number it rests on.

    `is_worse` tells that the e-process has rejected "the candidate's share is not larger" and that it is observed
    larger: `interval_low` is 0 at least, and 0 itself is excluded. `ground` says why it is harmful.
    """

    metric: str
    label: str
    margin: float
    slo_ms: float | None
    candidate_n: int
    candidate_k: int
    baseline_n: int
    baseline_k: int
    candidate_share: float | None
    baseline_share: float | None
    difference: float | None
    interval_low: float
    interval_high: float
    e_value: float
    threshold: float
    is_worse: bool
    verdict: Verdict = Verdict.INCONCLUSIVE
    ground: Ground = Ground.NONE
    sentence: str = ""


def sentence_of(result: GuardrailResult, safety: SafetyLimits | None = None) -> str:
    """One plain sentence with the numbers that a verdict rests on."""
    if result.candidate_share is None:
        return f"{result.label}: the candidate has answered no request yet."
    if result.ground is Ground.LIMIT:
        return _limit_sentence(result, safety or SafetyLimits())
    if result.baseline_share is None or result.difference is None:
        return f"{result.label}: the stable arm has answered no request yet, so there is nothing to compare with."
    low = "above 0" if result.is_worse and result.interval_low == 0 else f"{result.interval_low * 100:+.1f}"
    text = (
        f"{_counted(result)} against {_pct(result.baseline_share)} of {result.baseline_n:,}: "
        f"{_points(result.difference)}, interval {low} to {result.interval_high * 100:+.1f} points"
    )
    return f"{text}{_conclusion(result)}"


def _limit_sentence(result: GuardrailResult, safety: SafetyLimits) -> str:
    beside = "" if result.baseline_share is None else f" (the stable arm has {_pct(result.baseline_share)})"
    return (
        f"{_counted(result)}{beside}: so many that nothing needs to be compared. The safety limit is "
        f"{safety.error_share * 100:g} % of at least {safety.min_requests:,}."
    )


def _conclusion(result: GuardrailResult) -> str:
    margin = f"the margin of {result.margin * 100:g} {'point' if result.margin == _ONE_POINT else 'points'}"
    if result.ground is Ground.EVIDENCE:
        needed = f"{result.threshold:,.0f} to 1 proves it"
        return f"; worse by evidence of {_odds(result.e_value)} ({needed}), and the difference is beyond {margin}."
    if result.ground is Ground.INTERVAL:
        return f"; wholly above {margin}."
    if result.interval_high < result.margin:
        return f", below {margin}."
    if result.metric == CLIENT_ERRORS:
        return "; no proof that the version causes them, so they do not count."
    return f"; {margin} is not yet decided."


def _counted(result: GuardrailResult) -> str:
    return f"{result.label} {_pct(result.candidate_share or 0.0)} of {result.candidate_n:,} requests"


def _pct(share: float) -> str:
    return f"{share * 100:.1f} %"


def _points(difference: float) -> str:
    if abs(difference) < 0.0005:
        return "no difference"
    return f"{abs(difference) * 100:.1f} points {'more' if difference > 0 else 'less'}"


def _odds(e_value: float) -> str:
    return f"{e_value:,.0f} to 1" if e_value < 1e6 else "over 1,000,000 to 1"
