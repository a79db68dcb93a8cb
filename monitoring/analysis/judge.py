"""The judge: folds blocks of counts into a state, and says what the evidence is worth.

Requests are not independent: those of one client stay with one arm and fail together, those of a stalled process are
slow together. So counts are first divided by their design effect (`design_effect`), and what they are worth is judged.

Harmful, at any look, in one of three ways:

* the evidence against "the candidate's share is not larger" (`Tally.log_e`) reaches its threshold and the observed
  difference is beyond the margin. The null is the plain one because it finds 1 % → 5 % on a tenth of the traffic in
  about 150 candidate requests; the null "larger by the margin at most" needs more than twice as many. The price: a real
  difference inside the margin can be called harmful when noise lifts the observed one beyond it.
* the interval of the difference lies above the margin. It needs no concurrent baseline, so it also watches a candidate
  that has all the traffic.
* a safety stop (`safety_stop`).

The probability to call a candidate harmful that is not worse, over all looks and guardrails, is to be at most α: the
evidence of the K guardrails shares 0.8 α, the check on client errors has 0.1 α, the intervals share 0.1 α. Of a
guardrail's evidence, what was counted since the beginning has 0.8, and each span of what was counted lately (`recent`)
0.1, so that harm that begins late is found too. For independent requests whose design effect is 1 that is Ville's
inequality; else it rests on an estimated variance and is shown by simulation (docs/benchmarks.md, ADR 0015).

Healthy only when the bake is done, the minimum of requests is reached and the upper end of the anytime-valid interval
of the difference (1 − α over all guardrails) lies below the margin for every guardrail. An empty arm is no data.
Everything else is inconclusive.

The interval that is shown is made of the ends that decide. Its lower end is that of the interval that can prove harm,
and not below 0 once "not larger" is rejected: the differences that are not excluded are then the positive ones. Its
upper end is the one that has to be below the margin to be healthy. So a candidate called harmful by comparison has an
interval without 0 that reaches beyond the margin, a healthy one an interval below the margin. Each end may miss the
true difference with probability α over all looks and guardrails.
"""

import base64
import json
import math
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from monitoring.analysis.design_effect import DesignEffect
from monitoring.analysis.guardrail_result import (
    CLIENT_ERRORS,
    Ground,
    GuardrailResult,
    SafetyLimits,
    sentence_of,
)
from monitoring.analysis.recent import SPANS_S, Recent
from monitoring.analysis.safety_stop import is_stopped
from monitoring.analysis.sequential import Interval, difference_interval
from monitoring.analysis.tally import ArmEvents, Tally
from monitoring.analysis.verdicts import Verdict, worst_of
from monitoring.analysis.warm_up import WarmUp

METHOD = "conditional e-process and beta-binomial confidence sequences on effective counts"
METHOD_VERSION = "5"
DEFAULT_ALPHA = 0.05
GUARDRAILS_ALPHA, CLIENT_ERRORS_ALPHA, INTERVALS_ALPHA = 0.8, 0.1, 0.1  # how the three ways to harmful share α
RECENT_PART = 0.1  # of the evidence's α, for each span of what was counted lately
WHOLE_PART = 1 - RECENT_PART * len(SPANS_S)
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
    `latency` are the requests by bucket of the histogram, where a guardrail asks for it.
    """

    requests: int = 0
    errors: int = 0
    client_errors: int = 0
    over_slo: dict[str, int] = field(default_factory=dict)
    buckets: dict[int, BucketCounts] = field(default_factory=dict)
    latency: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        counts = (self.requests, self.errors, self.client_errors, *self.over_slo.values())
        if any(type(count) is not int or count < 0 or count > self.requests for count in counts):
            raise ValueError(f"counts are non-negative integers, none above the requests: {counts}")
        if self.errors + self.client_errors > self.requests:
            raise ValueError(f"counts of errors and client errors exclude each other: {counts}")

    def events(self, guardrail: Guardrail) -> int:
        """The count that a guardrail looks at. Raises ValueError when its SLO was not counted: unknown is not zero."""
        return _events_of(self, guardrail)

    def bucket_events(self, guardrail: Guardrail) -> dict[int, tuple[int, int]]:
        """The requests, and the events that a guardrail looks at, by unit bucket."""
        return {bucket: (counts.requests, _events_of(counts, guardrail)) for bucket, counts in self.buckets.items()}


def _events_of(counts: "ArmCounts | BucketCounts", guardrail: Guardrail) -> int:
    if guardrail.slo_ms is not None:
        key = slo_key(guardrail.slo_ms)
        if counts.requests and key not in counts.over_slo:
            raise ValueError(f"nothing was counted for an SLO of {key} ms")
        return counts.over_slo.get(key, 0)
    return counts.client_errors if guardrail.metric == CLIENT_ERRORS else counts.errors


@dataclass(frozen=True)
class Block:
    """The counts of both arms over the same second, which began at the Unix time `start`.

    A late window makes another block of the same second.
    """

    candidate: ArmCounts
    baseline: ArmCounts
    start: int = 0


@dataclass(frozen=True)
class JudgeState:
    """By guardrail key, what was counted since the beginning, and lately.

    `guardrails` are those judged, with the check on client errors added by `initial_state`.
    """

    guardrails: tuple[Guardrail, ...]
    tallies: dict[str, Tally]
    recent: dict[str, Recent]

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON-able values. Its sums are compressed: they are written every second, and each guardrail
        has those of the same requests.
        """
        sums = {
            "tallies": {key: tally.to_dict() for key, tally in self.tallies.items()},
            "recent": {key: recent.to_dict() for key, recent in self.recent.items()},
        }
        return {
            "method_version": METHOD_VERSION,
            "guardrails": [asdict(guardrail) for guardrail in self.guardrails],
            "sums": base64.b64encode(zlib.compress(json.dumps(sums).encode())).decode(),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "JudgeState":
        """The state of `to_dict`. What another version of the method summed does not say how events cluster, so a
        rollout that was begun by it is counted from the beginning.
        """
        guardrails = tuple(Guardrail(**guardrail) for guardrail in data["guardrails"])
        if data.get("method_version") != METHOD_VERSION:
            return cls(guardrails, *_nothing_counted(guardrails))
        sums = json.loads(zlib.decompress(base64.b64decode(data["sums"])))
        return cls(
            guardrails,
            {key: Tally.from_dict(tally) for key, tally in sums["tallies"].items()},
            {key: Recent.from_dict(recent) for key, recent in sums["recent"].items()},
        )


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
    return JudgeState(tuple(judged), *_nothing_counted(judged))


def _nothing_counted(guardrails: Iterable[Guardrail]) -> tuple[dict[str, Tally], dict[str, Recent]]:
    tallies = {one.key: Tally(warm_up=WarmUp() if one.slo_ms is not None else None) for one in guardrails}
    return tallies, {key: Recent() for key in tallies}


def fold(state: JudgeState, block: Block) -> JudgeState:
    """The state after one more block. One that does not say its second is of the second after the newest."""
    newest = max((tally.time.second for tally in state.tallies.values()), default=0)
    second, tallies, recent = block.start or newest + 1, {}, {}
    for guardrail in state.guardrails:
        key, arms = guardrail.key, (_events(block.candidate, guardrail), _events(block.baseline, guardrail))
        before = state.tallies[key]
        tallies[key] = before.folded(second, *arms)
        begins = state.recent[key].begun_anew() if tallies[key].begins_after(before) else state.recent[key]
        recent[key] = begins.folded(second, *arms, before)
    return JudgeState(state.guardrails, tallies, recent)


def _events(arm: ArmCounts, guardrail: Guardrail) -> ArmEvents:
    return ArmEvents(arm.requests, arm.events(guardrail), arm.bucket_events(guardrail))


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
    results = [_assess_one(state, guardrail, _level(state, guardrail, alpha), limits) for guardrail in state.guardrails]
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

    def part(self, part: float) -> "_Level":
        """The part of it that one of several ways to look has."""
        return _Level(self.threshold / part, self.promote_alpha * part, self.harm_alpha * part)


def _level(state: JudgeState, guardrail: Guardrail, alpha: float) -> _Level:
    limiting = sum(other.metric != CLIENT_ERRORS for other in state.guardrails)
    harm_alpha = INTERVALS_ALPHA * alpha / len(state.guardrails)
    if guardrail.metric == CLIENT_ERRORS:
        return _Level(1 / (CLIENT_ERRORS_ALPHA * alpha), alpha, harm_alpha)
    return _Level(limiting / (GUARDRAILS_ALPHA * alpha), alpha / limiting, harm_alpha)


def _assess_one(state: JudgeState, guardrail: Guardrail, level: _Level, safety: SafetyLimits) -> GuardrailResult:
    """What was counted since the beginning says, or what was counted lately if that alone proves harm."""
    tally = state.tallies[guardrail.key]
    of_evidence = replace(level, threshold=level.threshold / WHOLE_PART)
    whole = _result(tally, guardrail, tally.effect, of_evidence)
    whole = _concluded(whole, safety, is_out=is_stopped(tally, guardrail.metric, safety))
    if whole.verdict is Verdict.HARMFUL or not tally.is_steady:
        return whole
    recent = state.recent[guardrail.key]
    for stretch in recent.stretches:
        if not stretch.beginnings:
            continue
        part = RECENT_PART / (stretch.beginnings * (stretch.beginnings + 1))
        lately = _result(stretch.tally, guardrail, recent.effect(stretch), level.part(part))
        lately = _concluded(replace(lately, recent_s=stretch.seconds), safety, is_out=False)
        if lately.ground is Ground.EVIDENCE:
            return lately
    return whole


def _concluded(result: GuardrailResult, safety: SafetyLimits, *, is_out: bool) -> GuardrailResult:
    assert result.interval_low is not None
    assert result.interval_high is not None
    verdict, ground = _verdict_of(result, Interval(result.interval_low, result.interval_high), is_out)
    result = replace(result, verdict=verdict, ground=ground)
    return replace(result, sentence=sentence_of(result, safety))


def _result(tally: Tally, guardrail: Guardrail, effect: DesignEffect, level: _Level) -> GuardrailResult:
    """The numbers of one tally, before anything is concluded from them."""
    share_c = tally.candidate_k / tally.candidate_n if tally.candidate_n else None
    share_b = tally.baseline_k / tally.baseline_n if tally.baseline_n else None
    e_value = math.exp(min(tally.log_e(effect), LOG_E_MAX))
    difference = share_c - share_b if share_c is not None and share_b is not None else None
    is_worse = e_value >= level.threshold and difference is not None and difference > 0
    interval = _deciding_interval(tally, effect, level, is_worse)
    return GuardrailResult(
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
        effective_n=tally.candidate_n / effect.candidate,
        effective_baseline_n=tally.baseline_n / effect.baseline,
        left_out_s=tally.warm_up.left_out_s or 0 if tally.warm_up else 0,
        run_s=tally.run.seconds,
    )


def _deciding_interval(tally: Tally, effect: DesignEffect, level: _Level, is_worse: bool) -> Interval:
    """The lower end that can prove harm, and the upper end that has to be below the margin to be healthy.

    Until the tally is steady nothing is known of the candidate's share from below.
    """
    candidate = (tally.candidate_n / effect.candidate, tally.candidate_k / effect.candidate)
    baseline = (tally.baseline_n / effect.baseline, tally.baseline_k / effect.baseline)
    high = difference_interval(candidate, baseline, level.promote_alpha).high
    known = candidate if tally.is_steady else (0.0, 0.0)
    low = difference_interval(known, baseline, level.harm_alpha).low
    return Interval(max(low, 0.0) if is_worse else low, high)


def _verdict_of(result: GuardrailResult, interval: Interval, is_out: bool) -> tuple[Verdict, Ground]:
    if is_out:
        return Verdict.HARMFUL, Ground.LIMIT
    if result.difference is None:
        return Verdict.NO_DATA, Ground.NONE
    if result.is_worse and result.difference > result.margin:
        return Verdict.HARMFUL, Ground.EVIDENCE
    if interval.low > result.margin:
        return Verdict.HARMFUL, Ground.INTERVAL
    if interval.high < result.margin or result.metric == CLIENT_ERRORS:
        return Verdict.HEALTHY, Ground.NONE
    return Verdict.INCONCLUSIVE, Ground.NONE
