"""The judge's evidence on many simulated rollouts at once, on numpy arrays.

`test_simulations` holds it against the judge itself, rollout by rollout. Rows are rollouts, the last axis is the arm.
"""

import numpy as np
from numpy.typing import NDArray

from monitoring.analysis.design_effect import BLOCKS_MIN, SPREAD_FEW, UNIT_NOISE
from monitoring.analysis.guardrail_result import SafetyLimits
from monitoring.analysis.judge import (
    RECENT_PART,
    WHOLE_PART,
    ArmCounts,
    Block,
    BucketCounts,
    Guardrail,
)
from monitoring.analysis.lasting_run import BASELINE_SHARE_MAX, RUN_SHARE
from monitoring.analysis.recent import KNOWN_EVERY_S, KNOWN_KEPT, SPANS_S
from monitoring.analysis.safety_stop import SOURCES_MIN
from monitoring.analysis.sequential import RATIOS
from monitoring.analysis.tally import BASELINE_MIN_REQUESTS, SECONDS_MIN
from monitoring.analysis.time_sums import LENGTHS_S, STRATUM_S
from monitoring.analysis.warm_up import FALL_LOG_RATIO, LOOKED_AT_S, STRETCH_S
from tests.support.simulated_traffic import BASELINE, CANDIDATE, UNIT_BUCKETS, Array, Drawn, Traffic

LIMITS = SafetyLimits()


def quotient(one: Array, other: Array, without: float = 0.0) -> Array:
    """One / other, `without` where other is 0."""
    return np.asarray(np.divide(one, other, out=np.full(np.broadcast(one, other).shape, without), where=other > 0))


Hang = tuple[Array, Array, NDArray[np.int_]]  # by rollout: unit effects of the arms, correlation, index of its length


class TallyTwin:
    """The sums of one guardrail of many rollouts."""

    def __init__(self, rollouts: int) -> None:
        self.n, self.k = np.zeros((rollouts, 2)), np.zeros((rollouts, 2))
        self.bucket_n, self.bucket_k = (np.zeros((rollouts, 2, UNIT_BUCKETS)) for _ in range(2))
        self.products = np.zeros((len(LENGTHS_S), rollouts, 10))
        self.open = np.zeros((len(LENGTHS_S), rollouts, 4))
        self.blocks = np.zeros((len(LENGTHS_S), rollouts))
        self.strata = np.zeros((rollouts, 4))
        self.seconds = np.zeros(rollouts)
        self.names_units = False

    def fold(
        self, second: int, n: Array, k: Array, bucket_n: Array | None = None, bucket_k: Array | None = None
    ) -> None:
        """One second of all rollouts."""
        self.n += n
        self.k += k
        self.seconds += n[:, CANDIDATE] > 0
        if bucket_n is not None and bucket_k is not None:
            self.names_units = True
            self.bucket_n += bucket_n
            self.bucket_k += bucket_k
        for index, length_s in enumerate(LENGTHS_S):
            if second % length_s == 0:
                if length_s == STRATUM_S:
                    self.strata += _stratum(self.open[index])
                self.products[index] += _products(self.open[index])
                self.blocks[index] += _is_block(self.open[index])
                self.open[index] = 0
            self.open[index] += np.stack([n[:, 0], k[:, 0], n[:, 1], k[:, 1]], axis=1)

    def begin_again(self, rows: NDArray[np.bool_]) -> None:
        """Nothing was counted in these rollouts."""
        for sums in (self.n, self.k, self.bucket_n, self.bucket_k, self.strata, self.seconds):
            sums[rows] = 0
        for sums in (self.products, self.open, self.blocks):
            sums[:, rows] = 0

    def effects(self) -> Array:
        """The design effect of each arm."""
        return self.effects_of(self.hang())

    def effects_of(self, hang: Hang) -> Array:
        """The design effect of each arm if its requests hung together so."""
        units, correlation, index = hang
        rows = np.arange(len(index))
        sums = self.products[index, rows] + _products(self.open[index, rows])
        more = np.maximum(sums[:, [2, 5]] / np.maximum(self.n, 1) - 1, 0.0)
        return np.minimum(units + more * correlation[:, None], np.maximum(self.n, 1))

    def hang(self) -> Hang:
        """How the requests hang together."""
        share = quotient(self.k, self.n)
        binomial = share * (1 - share)
        units = self._by_unit(share, binomial) if self.names_units else np.ones_like(share)
        return units, *self._in_time(share, binomial)

    def _by_unit(self, share: Array, binomial: Array) -> Array:
        filled = (self.bucket_n > 0).sum(axis=2)
        unbiased = np.where(filled > 1, quotient(filled, filled - 1.0), 1.0)
        named = self.bucket_n.sum(axis=2)
        residuals = ((self.bucket_k - share[:, :, None] * self.bucket_n) ** 2).sum(axis=2)
        variance = residuals * unbiased + binomial * (self.n - named)
        whole = binomial * self.n
        noise = UNIT_NOISE * np.sqrt(2 / np.maximum(filled, 2))
        pooled = np.maximum(quotient(variance.sum(axis=1), whole.sum(axis=1), 1.0) - noise[:, BASELINE], 1.0)
        own = quotient(variance[:, CANDIDATE], whole[:, CANDIDATE], 1.0)
        both = quotient(self.k.sum(axis=1), self.n.sum(axis=1))
        alone = self.n[:, CANDIDATE] - named[:, CANDIDATE]
        beside = ((self.bucket_k[:, CANDIDATE] - both[:, None] * self.bucket_n[:, CANDIDATE]) ** 2).sum(axis=1)
        n_c = self.n[:, CANDIDATE]
        beside = quotient(beside, both * (1 - both) * n_c, 1.0) + quotient(alone, n_c)
        few = np.minimum(1.0, quotient(np.full(len(n_c), SPREAD_FEW), self.spread(), 1.0))
        own = own + few * np.maximum(beside - own, 0.0) * (n_c > 0)
        candidate = np.where(whole.sum(axis=1) > 0, np.maximum(pooled, own - noise[:, CANDIDATE]), 1.0)
        return np.stack([candidate, pooled], axis=1)

    def spread(self) -> Array:
        """How many equally busy sources the candidate's requests are from."""
        n_c, buckets = self.n[:, CANDIDATE], self.bucket_n[:, CANDIDATE]
        return quotient(n_c**2, (buckets**2).sum(axis=1) + n_c - buckets.sum(axis=1))

    def _in_time(self, share: Array, binomial: Array) -> tuple[Array, NDArray[np.int_]]:
        n = np.maximum(self.n, 1)
        base = (binomial / n).sum(axis=1)
        most, found, known = np.ones(len(n)), np.zeros(len(n)), np.ones(len(n), dtype=bool)
        length = np.zeros(len(n), dtype=int)
        for index, length_s in enumerate(LENGTHS_S):
            blocks = self.blocks[index] + _is_block(self.open[index])
            known &= blocks >= (2 if length_s == 1 else BLOCKS_MIN)
            if not known.any():
                break
            sums = self.products[index] + _products(self.open[index])
            ratio = quotient(_difference_variance(sums, share, n) * quotient(blocks, blocks - 1, 1.0), base)
            more = np.maximum(sums[:, [2, 5]] / n - 1, 0.0)
            takes = known & (ratio > most)
            most = np.where(takes, ratio, most)
            found = np.where(takes, quotient((ratio - 1) * base, (binomial * more / n).sum(axis=1)), found)
            length[takes] = index
        return found, length

    def log_e(self, effects: Array) -> Array:
        """The log evidence of each rollout, 0 where none is admitted."""
        both = self.strata + _stratum(self.open[LENGTHS_S.index(STRATUM_S)])
        part = np.clip(quotient(both[:, 0], both[:, 0] + both[:, 1], 0.5), 1e-12, 1 - 1e-12)
        worth = both[:, :2] / effects
        events_c = both[:, 2] / (1 - part) / effects[:, CANDIDATE]
        events_b = both[:, 3] / part / effects[:, BASELINE]
        logs = excess_log_e(events_c, events_b, quotient(worth[:, 0], worth.sum(axis=1), 0.5))
        return np.where(self.is_steady & (both[:, 1] >= BASELINE_MIN_REQUESTS), logs, 0.0)

    @property
    def is_steady(self) -> NDArray[np.bool_]:
        return np.asarray(self.seconds >= SECONDS_MIN)

    def is_proven(self, effects: Array, threshold: float, margin: float) -> NDArray[np.bool_]:
        """In which rollouts the evidence proves harm and the observed difference is beyond the margin."""
        difference = quotient(self.k[:, 0], self.n[:, 0]) - quotient(self.k[:, 1], self.n[:, 1])
        has_both = (self.n > 0).all(axis=1)
        return np.asarray((self.log_e(effects) >= np.log(threshold)) & (difference > margin) & has_both)


class JudgeTwin:
    """The state of one guardrail of many rollouts."""

    def __init__(self, rollouts: int, is_latency: bool) -> None:
        self.is_latency = is_latency
        self.whole = TallyTwin(rollouts)
        self.recent = [TallyTwin(rollouts) for _ in SPANS_S]
        self.beginnings = [0 for _ in SPANS_S]
        self.known: list[Hang] = []
        self.began = np.full(rollouts, -1)
        self.stretches = np.zeros((rollouts, LOOKED_AT_S // STRETCH_S, 2))
        self.is_over = np.full(rollouts, not is_latency)
        self.run_s, self.run_n = np.zeros(rollouts), np.zeros(rollouts)
        self.run_buckets = np.zeros((rollouts, UNIT_BUCKETS), dtype=bool)

    def fold(
        self, second: int, n: Array, k: Array, bucket_n: Array | None = None, bucket_k: Array | None = None
    ) -> None:
        """One second of all rollouts."""
        if second and second % KNOWN_EVERY_S == 0:
            self.known = [*self.known, self.whole.hang()][-KNOWN_KEPT:]
        if self.is_latency:
            self._warm_up(second, n[:, CANDIDATE], k[:, CANDIDATE])
        self._run(n, k, bucket_n)
        self.whole.fold(second, n, k, bucket_n, bucket_k)
        for index, span_s in enumerate(SPANS_S):
            if second and second % span_s == 0:
                self.recent[index], self.beginnings[index] = TallyTwin(len(n)), self.beginnings[index] + 1
            self.recent[index].fold(second, n, k, bucket_n, bucket_k)

    def _run(self, n: Array, k: Array, bucket_n: Array | None) -> None:
        asked = n[:, CANDIDATE] > 0
        ends = k[:, CANDIDATE] < RUN_SHARE * n[:, CANDIDATE]
        ends |= (n[:, BASELINE] > 0) & (k[:, BASELINE] >= BASELINE_SHARE_MAX * n[:, BASELINE])
        for sums in (self.run_s, self.run_n, self.run_buckets):
            sums[asked & ends] = 0
        goes_on = asked & ~ends
        self.run_s += goes_on
        self.run_n += np.where(goes_on, n[:, CANDIDATE], 0)
        if bucket_n is not None:
            self.run_buckets |= goes_on[:, None] & (bucket_n[:, CANDIDATE] > 0)

    def _warm_up(self, second: int, n: Array, k: Array) -> None:
        self.began = np.where((self.began < 0) & (n > 0), second, self.began)
        index = (second - self.began) // STRETCH_S
        begun = (self.began >= 0) & ~self.is_over
        at_end = begun & (index >= LOOKED_AT_S // STRETCH_S)
        self._begin_again(at_end & has_fallen(self.stretches))
        self.is_over |= at_end
        rows = np.flatnonzero(begun & ~at_end)
        self.stretches[rows, index[rows], 0] += n[rows]
        self.stretches[rows, index[rows], 1] += k[rows]

    def _begin_again(self, rows: NDArray[np.bool_]) -> None:
        for tally in (self.whole, *self.recent):
            tally.begin_again(rows)
        self.run_s[rows], self.run_n[rows], self.run_buckets[rows] = 0, 0, False
        for units, correlation, _ in self.known:
            units[rows], correlation[rows] = 1, 0

    def is_harmful(self, threshold: float, margin: float) -> NDArray[np.bool_]:
        """Which rollouts are called harmful now, by evidence or by a safety stop."""
        proven = self.whole.is_proven(self.whole.effects(), threshold / WHOLE_PART, margin)
        for tally, beginnings in zip(self.recent, self.beginnings, strict=True):
            if beginnings:
                known = [tally.effects_of(hang) for hang in self.known[:1]]
                effects = np.maximum.reduce([tally.effects(), *known])
                lately = tally.is_proven(effects, threshold * beginnings * (beginnings + 1) / RECENT_PART, margin)
                proven |= lately & self.whole.is_steady
        return np.asarray(proven & self.is_over | self.is_stopped())

    def is_stopped(self) -> NDArray[np.bool_]:
        """Which rollouts a safety stop ends."""
        (n_c, n_b), (k_c, k_b) = self.whole.n.T, self.whole.k.T
        is_total = (self.whole.seconds >= LIMITS.total_seconds) & (k_c >= LIMITS.total_share * n_c)
        if not self.is_latency:
            is_half = (self.whole.seconds >= LIMITS.error_seconds) & (k_c >= LIMITS.error_share * n_c)
            stopped = (n_c >= LIMITS.min_requests) & (is_total | is_half)
        else:
            stopped = is_total & (n_c >= LIMITS.slow_min_requests) & (k_b < LIMITS.error_share * n_b)
            stopped &= n_b >= BASELINE_MIN_REQUESTS
        sources = self.run_buckets.sum(axis=1) if self.whole.names_units else self.run_n
        lasts = (self.run_s >= LIMITS.lasting_seconds) & (self.run_n >= LIMITS.slow_min_requests)
        return (stopped & (self.whole.spread() >= SOURCES_MIN)) | (lasts & (sources >= SOURCES_MIN))


def excess_log_e(candidate: Array, baseline: Array, part: Array) -> Array:
    """`sequential.excess_log_e` of arrays."""
    logs = [
        np.log(stake) + candidate * np.log(ratio) - (candidate + baseline) * np.log1p(part * (ratio - 1))
        for ratio, stake in RATIOS
    ]
    return np.asarray(np.logaddexp.reduce(logs, axis=0))


def has_fallen(stretches: Array) -> NDArray[np.bool_]:
    """`warm_up.has_fallen` of arrays; stretches that are not there yet have no requests."""
    sums = stretches.cumsum(axis=1)
    whole = sums[:, -1]
    fallen = np.zeros(len(stretches), dtype=bool)
    for cut in range(stretches.shape[1] - 1):
        first, rest = sums[:, cut], whole - sums[:, cut]
        gain = _most_likely(first) + _most_likely(rest) - _most_likely(whole)
        falls = quotient(first[:, 1], first[:, 0]) > quotient(rest[:, 1], rest[:, 0])
        fallen |= falls & (rest[:, 0] > 0) & (gain >= FALL_LOG_RATIO)
    return fallen


def _most_likely(counts: Array) -> Array:
    n, k = counts.T
    parts = [part * np.log(np.where(part > 0, quotient(part, n, 1.0), 1.0)) for part in (k, n - k)]
    return np.asarray(parts[0] + parts[1])


def _is_block(counts: Array) -> NDArray[np.bool_]:
    return np.asarray((counts[:, 0] > 0) | (counts[:, 2] > 0))


def _stratum(counts: Array) -> Array:
    n_c, k_c, n_b, k_b = counts.T
    total = n_c + n_b
    sums = np.stack([n_c, n_b, quotient(k_c * n_b, total), quotient(k_b * n_c, total)], axis=1)
    return np.where(((n_c > 0) & (n_b > 0))[:, None], sums, 0.0)


def _products(counts: Array) -> Array:
    n_c, k_c, n_b, k_b = counts.T
    own = [k_c * k_c, k_c * n_c, n_c * n_c, k_b * k_b, k_b * n_b, n_b * n_b]
    return np.stack([*own, k_c * k_b, k_c * n_b, n_c * k_b, n_c * n_b], axis=1)


def _difference_variance(sums: Array, share: Array, n: Array) -> Array:
    kk_c, kn_c, nn_c, kk_b, kn_b, nn_b, kk, k_n, n_k, nn = sums.T
    (p_c, p_b), (n_c, n_b) = share.T, n.T
    own = (kk_c - 2 * p_c * kn_c + p_c**2 * nn_c) / n_c**2 + (kk_b - 2 * p_b * kn_b + p_b**2 * nn_b) / n_b**2
    return np.asarray(own - 2 * (kk - p_b * k_n - p_c * n_k + p_c * p_b * nn) / (n_c * n_b))


def harm_found(traffic: Traffic, drawn: Drawn, threshold: float) -> tuple[Array, Array]:
    """After how many candidate requests since its harm began, and after how many seconds in all, each rollout is
    called harmful (inf: never); a look a second.
    """
    rollouts, seconds = drawn.n.shape[:2]
    twin, by_requests, by_time = (
        JudgeTwin(rollouts, traffic.is_latency),
        np.full(rollouts, np.inf),
        np.full(rollouts, np.inf),
    )
    seen = np.zeros(rollouts)
    for second in range(seconds):
        buckets = [None if one is None else one[:, second].astype(float) for one in (drawn.bucket_n, drawn.bucket_k)]
        twin.fold(second, drawn.n[:, second], drawn.k[:, second], buckets[0], buckets[1])
        seen += drawn.n[:, second, CANDIDATE] * (second >= traffic.late_from_s)
        found = twin.is_harmful(threshold, traffic.margin) & np.isinf(by_time)
        by_requests[found], by_time[found] = seen[found], second + 1
    return by_requests, by_time


def guardrail_of(traffic: Traffic) -> Guardrail:
    """The guardrail that looks at the traffic's events."""
    if traffic.is_latency:
        return Guardrail("latency_over_slo", traffic.margin, 100)
    return Guardrail("error_rate", traffic.margin)


def block_of(traffic: Traffic, drawn: Drawn, second: int, rollout: int = 0) -> Block:
    """One second of one rollout as the judge takes it."""
    arms = [_arm(traffic, drawn, (rollout, second, arm)) for arm in (CANDIDATE, BASELINE)]
    return Block(arms[0], arms[1], start=1000 * KNOWN_EVERY_S + second)


def _arm(traffic: Traffic, drawn: Drawn, place: tuple[int, int, int]) -> ArmCounts:
    def counted(n: float, k: float) -> tuple[int, int, int, dict[str, int]]:
        return int(n), 0 if traffic.is_latency else int(k), 0, {"100": int(k)}

    buckets = {}
    if drawn.bucket_n is not None and drawn.bucket_k is not None:
        for bucket in np.flatnonzero(drawn.bucket_n[place]).tolist():
            buckets[bucket] = BucketCounts(*counted(drawn.bucket_n[place][bucket], drawn.bucket_k[place][bucket]))
    return ArmCounts(*counted(drawn.n[place], drawn.k[place]), buckets)
