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

The interval that is shown is made of the ends that decide. Its lower end is that of the interval that can prove harm,
and not below 0 once the e-process has rejected "not larger": the differences that it does not exclude are then the
positive ones. Its upper end is the one that has to be below the margin to be healthy. So a candidate called harmful by
comparison has an interval without 0 that reaches beyond the margin, a healthy one an interval below the margin. It
covers the true difference at all times with probability 1 − 2α over all guardrails (α for each end).
"""

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from monitoring.analysis.guardrail_result import (
    CLIENT_ERRORS,
    Ground,
    GuardrailResult,
    SafetyLimits,
    sentence_of,
)
from monitoring.analysis.sequential import Interval, bet, block_log_e, difference_interval
from monitoring.analysis.verdicts import Verdict, worst_of

METHOD = "2x2 e-process with beta-binomial confidence sequences"
METHOD_VERSION = "3"
DEFAULT_ALPHA = 0.05
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
class BucketCounts:
    """Counts of one unit bucket of one arm in one block; `over_slo` has the keys of the arm's."""

    requests: int
    errors: int
    client_errors: int
    over_slo: dict[str, int]


@dataclass(frozen=True)
class ArmCounts:
    """Counts of one arm in one block.

    `errors` are failures of the version; `client_errors` (4xx) are not among them. `buckets` has, by unit bucket
    (0 … UNIT_BUCKETS - 1), the requests that named a unit; the others are in no bucket and count one by one.
    """

    requests: int = 0
    errors: int = 0
    client_errors: int = 0
    over_slo: dict[str, int] = field(default_factory=dict)
    buckets: dict[int, BucketCounts] = field(default_factory=dict)

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
    """The counts of both arms over the same second, which began at the Unix time `start`.

    A late window makes another block of the same second.
    """

    candidate: ArmCounts
    baseline: ArmCounts
    start: int = 0


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
    share_c = tally.candidate_k / tally.candidate_n if tally.candidate_n else None
    share_b = tally.baseline_k / tally.baseline_n if tally.baseline_n else None
    e_value = math.exp(min(tally.log_e_max, LOG_E_MAX))
    difference = share_c - share_b if share_c is not None and share_b is not None else None
    # An observed difference that is not positive after "not larger" was rejected tells of a truth that has moved.
    is_worse = e_value >= level.threshold and difference is not None and difference > 0
    interval = _deciding_interval(tally, level, is_worse)
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
        e_value=e_value,
        threshold=level.threshold,
        is_worse=is_worse,
    )
    verdict, ground = _verdict_of(result, _is_unsafe(tally, guardrail, safety))
    result = replace(result, verdict=verdict, ground=ground)
    return replace(result, sentence=sentence_of(result, safety))


def _deciding_interval(tally: Tally, level: _Level, is_worse: bool) -> Interval:
    """The lower end that can prove harm, and the upper end that has to be below the margin to be healthy."""
    arms = (tally.candidate_n, tally.candidate_k), (tally.baseline_n, tally.baseline_k)
    low = difference_interval(*arms, level.harm_alpha).low
    return Interval(max(low, 0.0) if is_worse else low, difference_interval(*arms, level.promote_alpha).high)


def _verdict_of(result: GuardrailResult, is_unsafe: bool) -> tuple[Verdict, Ground]:
    if is_unsafe:
        return Verdict.HARMFUL, Ground.LIMIT
    if result.difference is None:
        return Verdict.NO_DATA, Ground.NONE
    if result.is_worse and result.difference > result.margin:
        return Verdict.HARMFUL, Ground.EVIDENCE
    if result.interval_low > result.margin:
        return Verdict.HARMFUL, Ground.INTERVAL
    if result.interval_high < result.margin or result.metric == CLIENT_ERRORS:
        return Verdict.HEALTHY, Ground.NONE
    return Verdict.INCONCLUSIVE, Ground.NONE


def _is_unsafe(tally: Tally, guardrail: Guardrail, safety: SafetyLimits) -> bool:
    if guardrail.metric != "error_rate" or tally.candidate_n < safety.min_requests:
        return False
    return tally.candidate_k >= safety.error_share * tally.candidate_n
