"""The judge: folds blocks of counts into a state, and says what the evidence is worth.

Harmful, at any look, in one of three ways:

* the 2×2 e-process against "the candidate's share is not larger" reaches its threshold and the observed difference is
  beyond the margin. The null is the plain
  one, because it finds 1 % → 5 % on a tenth of the traffic in a median of about 115 candidate requests; the null
  "larger by the margin at most"
  (`block_log_e` knows it) needs more than twice as many and never finds an excess as large as the margin. The price:
  a real difference inside the margin
  can be called harmful when noise lifts the observed one beyond it (1 % → 1.5 % with a margin of 1 point: about one
  rollout in five).
* the interval of the difference lies above the margin. It needs no concurrent baseline, so it also watches a candidate
  that has all the traffic.
* an absolute safety stop.

The probability to call a candidate harmful that is not worse, over all looks and guardrails, is at most α: the
e-processes of the K guardrails share 0.8 α, the check on client errors has 0.1 α, the intervals share 0.1 α.

Healthy only when the bake is done, the minimum of requests is reached and the upper end of the anytime-valid interval
of the difference (1 − α over all guardrails) lies below the margin for every guardrail. An empty arm is no data.
Everything else is inconclusive.
"""

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from monitoring.analysis.sequential import bet, block_log_e, difference_interval
from monitoring.analysis.verdicts import Verdict, worst_of

METHOD = "2x2 e-process with beta-binomial confidence sequences"
METHOD_VERSION = "2"
DEFAULT_ALPHA = 0.05
CLIENT_ERRORS = "client_error_rate"
GUARDRAILS_ALPHA, CLIENT_ERRORS_ALPHA, INTERVALS_ALPHA = 0.8, 0.1, 0.1  # how the three ways to harmful share α
OPEN_MAX = 20  # candidate requests that wait for a block with a baseline; more are too old to be compared
LOG_E_MAX = 700.0  # exp of more is not a float


@dataclass(frozen=True)
class Guardrail:
    """A metric that the candidate may exceed by `margin` (a share, 0–1) at most.

    `slo_ms` belongs to `latency_over_slo`.
    """

    metric: Literal["error_rate", "latency_over_slo", "client_error_rate"]
    margin: float
    slo_ms: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.margin < 1:
            raise ValueError(f"a margin is a share between 0 and 1, not {self.margin}")
        if (self.metric == "latency_over_slo") != (self.slo_ms is not None):
            raise ValueError("latency_over_slo needs slo_ms, and nothing else has it")
        if self.slo_ms is not None and not 0 < self.slo_ms < math.inf:
            raise ValueError(f"slo_ms is a positive number of milliseconds, not {self.slo_ms}")

    @property
    def key(self) -> str:
        return self.metric if self.slo_ms is None else f"{self.metric}:{slo_key(self.slo_ms)}"

    @property
    def label(self) -> str:
        """The metric in words."""
        if self.slo_ms is not None:
            return f"Share slower than {slo_key(self.slo_ms)} ms"
        return {"error_rate": "Error share", CLIENT_ERRORS: "Share of requests refused as bad input"}[self.metric]


def slo_key(slo_ms: float) -> str:
    """How an SLO is written as a key: `100`, `2.5`."""
    return f"{slo_ms:g}"


@dataclass(frozen=True)
class ArmCounts:
    """Counts of one arm in one block.

    `errors` are failures of the version; `client_errors` (4xx) are not among them.
    """

    requests: int = 0
    errors: int = 0
    client_errors: int = 0
    over_slo: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        counts = (self.requests, self.errors, self.client_errors, *self.over_slo.values())
        if any(type(count) is not int or count < 0 or count > self.requests for count in counts):
            raise ValueError(f"counts are non-negative integers, none above the requests: {counts}")
        if self.errors + self.client_errors > self.requests:
            raise ValueError(f"counts of errors and client errors exclude each other: {counts}")

    def events(self, guardrail: Guardrail) -> int:
        """The count that a guardrail looks at. Raises ValueError when its SLO was not counted: unknown is not zero."""
        if guardrail.slo_ms is not None:
            key = slo_key(guardrail.slo_ms)
            if self.requests and key not in self.over_slo:
                raise ValueError(f"nothing was counted for an SLO of {key} ms")
            return self.over_slo.get(key, 0)
        return self.client_errors if guardrail.metric == CLIENT_ERRORS else self.errors


@dataclass(frozen=True)
class Block:
    """The counts of both arms over the same span of time."""

    candidate: ArmCounts
    baseline: ArmCounts


@dataclass(frozen=True)
class Tally:
    """What is folded for one guardrail: totals, and the e-process as its log with its running maximum.

    `open_n` and `open_k` are candidate counts of the newest blocks without a baseline: they are in the totals, and join
    the next block that has one, so that thin traffic loses no evidence.
    """

    candidate_n: int = 0
    candidate_k: int = 0
    baseline_n: int = 0
    baseline_k: int = 0
    log_e: float = 0.0
    log_e_max: float = 0.0
    open_n: int = 0
    open_k: int = 0

    def folded(self, candidate: tuple[int, int], baseline: tuple[int, int], margin: float) -> "Tally":
        """The tally after one more block of (requests, events); the bet is made only from what was compared before
        it.
        """
        log_e, waiting = self.log_e, (self.open_n + candidate[0], self.open_k + candidate[1])
        if baseline[0]:
            past = (self.candidate_n - self.open_n, self.candidate_k - self.open_k)
            shares = bet(past, (self.baseline_n, self.baseline_k), margin)
            if shares is not None:
                log_e += block_log_e(waiting, baseline, *shares)
        is_kept = not baseline[0] and waiting[0] <= OPEN_MAX
        return Tally(
            candidate_n=self.candidate_n + candidate[0],
            candidate_k=self.candidate_k + candidate[1],
            baseline_n=self.baseline_n + baseline[0],
            baseline_k=self.baseline_k + baseline[1],
            log_e=log_e,
            log_e_max=max(self.log_e_max, log_e),
            open_n=waiting[0] if is_kept else 0,
            open_k=waiting[1] if is_kept else 0,
        )


@dataclass(frozen=True)
class JudgeState:
    """One tally per guardrail key.

    `guardrails` are those judged, with the check on client errors added by `initial_state`.
    """

    guardrails: tuple[Guardrail, ...]
    tallies: dict[str, Tally]

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON-able values."""
        return {
            "guardrails": [asdict(guardrail) for guardrail in self.guardrails],
            "tallies": {key: asdict(tally) for key, tally in self.tallies.items()},
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "JudgeState":
        """The state of `to_dict`."""
        guardrails = tuple(Guardrail(**guardrail) for guardrail in data["guardrails"])
        return cls(guardrails, {key: Tally(**tally) for key, tally in data["tallies"].items()})


@dataclass(frozen=True)
class SafetyLimits:
    """An error share of `error_share` among at least `min_requests` candidate requests is harmful without
    statistics.
    """

    error_share: float = 0.5
    min_requests: int = 20


@dataclass(frozen=True)
class GuardrailResult:
    """What one guardrail says, with every number it rests on."""

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
    verdict: Verdict
    sentence: str


@dataclass(frozen=True)
class Assessment:
    """The verdict over all guardrails at one look."""

    verdict: Verdict
    sentence: str
    guardrails: list[GuardrailResult]
    method: str = METHOD
    method_version: str = METHOD_VERSION

    def to_dict(self) -> dict[str, Any]:
        """The assessment as JSON-able values."""
        return asdict(self)


def initial_state(guardrails: list[Guardrail]) -> JudgeState:
    """The state before any block.

    With a guardrail on errors comes a check on client errors with the same margin: a 4xx caused by the client's input
    does not count against a version, but when the arms differ in them, the version is the cause. The check can call a
    version harmful; it never keeps one from being healthy.
    """
    judged = list(guardrails)
    errors = next((guardrail for guardrail in guardrails if guardrail.metric == "error_rate"), None)
    if errors is not None and not any(guardrail.metric == CLIENT_ERRORS for guardrail in guardrails):
        judged.append(Guardrail("client_error_rate", errors.margin))
    keys = [guardrail.key for guardrail in judged]
    if len(set(keys)) != len(keys):
        raise ValueError("two guardrails look at the same thing")
    return JudgeState(tuple(judged), {key: Tally() for key in keys})


def fold(state: JudgeState, block: Block) -> JudgeState:
    """The state after one more block."""
    tallies = {
        guardrail.key: state.tallies[guardrail.key].folded(
            (block.candidate.requests, block.candidate.events(guardrail)),
            (block.baseline.requests, block.baseline.events(guardrail)),
            guardrail.margin,
        )
        for guardrail in state.guardrails
    }
    return JudgeState(state.guardrails, tallies)


def assess(
    state: JudgeState,
    *,
    alpha: float = DEFAULT_ALPHA,
    min_requests: int = 0,
    bake_done: bool = False,
    safety: SafetyLimits | None = None,
) -> Assessment:
    """What the evidence says now. `bake_done` and `min_requests` are conditions of healthy, not of harmful."""
    if not state.guardrails:
        return _without_guardrails(bake_done)
    limits = safety or SafetyLimits()
    results = [_assess_one(state.tallies[g.key], g, _level(state, g, alpha), limits) for g in state.guardrails]
    verdict = worst_of(result.verdict for result in results)
    deciding = [result for result in results if result.verdict == verdict]
    sentence = deciding[0].sentence
    if verdict is Verdict.HEALTHY:
        requests = results[0].candidate_n
        if not bake_done or requests < min_requests:
            verdict = Verdict.INCONCLUSIVE
            sentence = f"Healthy so far on {requests:,} requests; the step is not over."
        else:
            sentence = "Every guardrail is inside its margin. " + " ".join(result.sentence for result in results[:2])
    return Assessment(verdict, sentence, results)


def _without_guardrails(bake_done: bool) -> Assessment:
    if bake_done:
        return Assessment(Verdict.HEALTHY, "The plan has no guardrail; the bake is over.", [])
    return Assessment(Verdict.INCONCLUSIVE, "The plan has no guardrail; the bake is not over.", [])


@dataclass(frozen=True)
class _Level:
    """One guardrail's part of α: the e-value that proves harm, and the levels of the two intervals."""

    threshold: float
    promote_alpha: float
    harm_alpha: float


def _level(state: JudgeState, guardrail: Guardrail, alpha: float) -> _Level:
    limiting = sum(other.metric != CLIENT_ERRORS for other in state.guardrails)
    harm_alpha = INTERVALS_ALPHA * alpha / len(state.guardrails)
    if guardrail.metric == CLIENT_ERRORS:
        return _Level(1 / (CLIENT_ERRORS_ALPHA * alpha), alpha, harm_alpha)
    return _Level(limiting / (GUARDRAILS_ALPHA * alpha), alpha / limiting, harm_alpha)


def _assess_one(tally: Tally, guardrail: Guardrail, level: _Level, safety: SafetyLimits) -> GuardrailResult:
    candidate, baseline = (tally.candidate_n, tally.candidate_k), (tally.baseline_n, tally.baseline_k)
    interval = difference_interval(candidate, baseline, level.promote_alpha)
    share_c = tally.candidate_k / tally.candidate_n if tally.candidate_n else None
    share_b = tally.baseline_k / tally.baseline_n if tally.baseline_n else None
    difference = share_c - share_b if share_c is not None and share_b is not None else None
    result = GuardrailResult(
        metric=guardrail.metric,
        label=guardrail.label,
        margin=guardrail.margin,
        slo_ms=guardrail.slo_ms,
        candidate_n=tally.candidate_n,
        candidate_k=tally.candidate_k,
        baseline_n=tally.baseline_n,
        baseline_k=tally.baseline_k,
        candidate_share=share_c,
        baseline_share=share_b,
        difference=difference,
        interval_low=interval.low,
        interval_high=interval.high,
        e_value=math.exp(min(tally.log_e_max, LOG_E_MAX)),
        threshold=level.threshold,
        verdict=Verdict.INCONCLUSIVE,
        sentence="",
    )
    is_above = difference_interval(candidate, baseline, level.harm_alpha).low > guardrail.margin
    verdict = _verdict_of(result, is_above, _is_unsafe(tally, guardrail, safety))
    result = replace(result, verdict=verdict)
    return replace(result, sentence=sentence_of(result))


def _verdict_of(result: GuardrailResult, is_above: bool, is_unsafe: bool) -> Verdict:
    if is_unsafe:
        return Verdict.HARMFUL
    if result.difference is None:
        return Verdict.NO_DATA
    if is_above or (result.e_value >= result.threshold and result.difference > result.margin):
        return Verdict.HARMFUL
    if result.interval_high < result.margin or result.metric == CLIENT_ERRORS:
        return Verdict.HEALTHY
    return Verdict.INCONCLUSIVE


def _is_unsafe(tally: Tally, guardrail: Guardrail, safety: SafetyLimits) -> bool:
    if guardrail.metric != "error_rate" or tally.candidate_n < safety.min_requests:
        return False
    return tally.candidate_k >= safety.error_share * tally.candidate_n


def sentence_of(result: GuardrailResult) -> str:
    """One plain sentence with the numbers that a verdict rests on."""
    if result.candidate_share is None:
        return f"{result.label}: the candidate has answered no request yet."
    is_harmful, margin = result.verdict is Verdict.HARMFUL, f"the margin of {result.margin * 100:g} points"
    text = f"{result.label} {_pct(result.candidate_share)} of {result.candidate_n:,} requests"
    if result.baseline_share is None or result.difference is None:
        if is_harmful:
            return f"{text}: so many that nothing needs to be compared."
        return f"{result.label}: the stable arm has answered no request yet, so there is nothing to compare with."
    text += (
        f" against {_pct(result.baseline_share)} of {result.baseline_n:,}: {_points(result.difference)}, "
        f"interval {result.interval_low * 100:+.1f} to {result.interval_high * 100:+.1f} points"
    )
    if is_harmful and result.e_value >= result.threshold and result.difference > result.margin:
        return f"{text}; evidence {_odds(result.e_value)} exceeds {result.threshold:,.0f} to 1, beyond {margin}."
    if is_harmful:
        return (
            f"{text}; {'wholly above ' + margin if result.interval_low > result.margin else 'above the safety limit'}."
        )
    if result.interval_high < result.margin:
        return f"{text}, below {margin}."
    if result.metric == CLIENT_ERRORS:
        return f"{text}; no proof that the version causes them, so they do not count."
    return f"{text}; {margin} is not yet decided."


def _pct(share: float) -> str:
    return f"{share * 100:.1f} %"


def _points(difference: float) -> str:
    if abs(difference) < 0.0005:
        return "no difference"
    return f"{abs(difference) * 100:.1f} points {'more' if difference > 0 else 'less'}"


def _odds(e_value: float) -> str:
    return f"{e_value:,.0f} to 1" if e_value < 1e6 else "over 1,000,000 to 1"
