"""Many rollouts of one kind of traffic at once, as counts per second, arm and unit bucket."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UNIT_BUCKETS = 64
CANDIDATE, BASELINE = 0, 1
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Traffic:
    """A kind of traffic; shares are those of requests with the event (an error, a slow answer).

    Units: each asks `unit_requests` times within `unit_span_s` seconds, stays with one arm, and has a share of its own,
    Beta-distributed with the intra-unit correlation `correlation`. Stalls: with `stall_chance` a second one begins, of
    an arm on its own or of both (`stalls_are_common`), and everything is an event for `stall_s` seconds. Cold caches:
    `cold_share` more events of the candidate in its first `cold_s` seconds, falling to nothing when `cold_falls`. The
    candidate has its share from `late_from_s` on, before it that of the stable arm. `tide` is the relative swing of
    rate and shares over the rollout.
    """

    name: str
    share_c: float
    share_b: float
    margin: float
    rate_per_s: float = 40.0
    weight: float = 0.25
    seconds: int = 300
    unit_requests: int = 0
    correlation: float = 0.0
    unit_span_s: int = 300
    stall_s: int = 0
    stall_chance: float = 0.01
    stalls_are_common: bool = False
    cold_s: int = 0
    cold_share: float = 0.0
    cold_falls: bool = True
    late_from_s: int = 0
    tide: float = 0.0
    is_latency: bool = False


@dataclass(frozen=True)
class Drawn:
    """Counts of `n` requests and `k` events by [rollout, second, arm]; by bucket too where requests name units."""

    n: Array
    k: Array
    bucket_n: NDArray[np.int16] | None = None
    bucket_k: NDArray[np.int16] | None = None


def drawn(traffic: Traffic, rollouts: int, rng: np.random.Generator) -> Drawn:
    """The counts of that many rollouts, each drawn on its own."""
    seconds = np.arange(traffic.seconds)
    swing = 1 + traffic.tide * np.sin(2 * np.pi * (seconds / traffic.seconds + rng.random((rollouts, 1))))
    if traffic.unit_requests:
        return _of_units(traffic, rollouts, rng)
    weights = np.array([traffic.weight, 1 - traffic.weight])
    n = rng.poisson(traffic.rate_per_s * swing[:, :, None] * weights)
    candidate = np.where(seconds < traffic.late_from_s, traffic.share_b, traffic.share_c)
    share = np.stack([np.broadcast_to(candidate, swing.shape), np.full(swing.shape, traffic.share_b)], axis=2)
    share = np.minimum(share * swing[:, :, None], 1.0)
    share = np.where(_stalls(traffic, rollouts, rng), 1.0, share)
    if traffic.cold_s:
        fall = 1 - seconds / traffic.cold_s if traffic.cold_falls else np.ones(traffic.seconds)
        cold = np.where(seconds < traffic.cold_s, traffic.cold_share * fall, 0.0)
        share[:, :, CANDIDATE] += (1 - share[:, :, CANDIDATE]) * cold
    return Drawn(n.astype(float), rng.binomial(n, share).astype(float))


def _stalls(traffic: Traffic, rollouts: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which seconds of which arm are part of a stall; one may have begun before the rollout."""
    if not traffic.stall_s:
        return np.zeros((rollouts, traffic.seconds, 2), dtype=bool)
    begins = rng.random((rollouts, traffic.seconds + traffic.stall_s - 1, 2)) < traffic.stall_chance
    if traffic.stalls_are_common:
        begins[:, :, BASELINE] = begins[:, :, CANDIDATE]
    return np.asarray(np.logical_or.reduce([begins[:, i : i + traffic.seconds] for i in range(traffic.stall_s)]))


def _of_units(traffic: Traffic, rollouts: int, rng: np.random.Generator) -> Drawn:
    """Units arrive evenly, from as long before the rollout as one lasts, so that the rate is even."""
    span = traffic.seconds + (traffic.unit_span_s if traffic.unit_span_s < traffic.seconds else 0)
    shape = (rollouts, traffic.seconds, 2, UNIT_BUCKETS)
    stalls = _stalls(traffic, rollouts, rng)
    bucket_n, bucket_k = np.zeros(shape, dtype=np.int16), np.zeros(shape, dtype=np.int16)
    for rollout in range(rollouts):
        units = rng.poisson(traffic.rate_per_s * span / traffic.unit_requests)
        arm = (rng.random(units) >= traffic.weight).astype(int)
        base = np.where(arm == CANDIDATE, traffic.share_c, traffic.share_b)
        spread = 1 / traffic.correlation - 1 if traffic.correlation else np.inf
        share = rng.beta(base * spread, (1 - base) * spread) if traffic.correlation else base
        whose = np.repeat(np.arange(units), traffic.unit_requests)
        begins = rng.random(units) * span - (span - traffic.seconds) if span > traffic.seconds else np.zeros(units)
        when = np.floor(begins[whose] + rng.random(whose.size) * traffic.unit_span_s).astype(int)
        inside = (when >= 0) & (when < traffic.seconds)
        whose, when = whose[inside], when[inside]
        place = (when * 2 + arm[whose]) * UNIT_BUCKETS + rng.integers(0, UNIT_BUCKETS, units)[whose]
        of_request = share[whose]
        if traffic.late_from_s:
            before = rng.beta(traffic.share_b * spread, (1 - traffic.share_b) * spread, units)
            of_request = np.where(when < traffic.late_from_s, before[whose], of_request)
        failed = (rng.random(whose.size) < of_request) | stalls[rollout, when, arm[whose]]
        size = traffic.seconds * 2 * UNIT_BUCKETS
        bucket_n[rollout] = np.bincount(place, minlength=size).reshape(shape[1:])
        bucket_k[rollout] = np.bincount(place[failed], minlength=size).reshape(shape[1:])
    return Drawn(bucket_n.sum(axis=3).astype(float), bucket_k.sum(axis=3).astype(float), bucket_n, bucket_k)
