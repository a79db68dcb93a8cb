"""False alarms and speed of the judge, measured on many simulated rollouts."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from monitoring.analysis.guardrail_result import Ground
from monitoring.analysis.judge import (
    DEFAULT_ALPHA,
    GUARDRAILS_ALPHA,
    ArmCounts,
    Block,
    Guardrail,
    assess,
    fold,
    initial_state,
)
from monitoring.analysis.sample_ratio import is_sample_ratio_off
from monitoring.analysis.sequential import share_interval, share_log_e
from monitoring.analysis.verdicts import Verdict
from tests.support.judge_twin import JudgeTwin, block_of, guardrail_of, harm_found
from tests.support.simulated_traffic import Traffic, drawn
from tests.support.traffic_lines import EQUAL_ARMS, LATE, WORSE

ONE_GUARDRAIL = 1 / (GUARDRAILS_ALPHA * DEFAULT_ALPHA)
TWINS = (
    Traffic("failing units", 0.3, 0.02, 0.05, unit_requests=20, correlation=0.3, unit_span_s=30, seconds=100),
    Traffic("stalls", 0.02, 0.02, 0.05, rate_per_s=5, stall_s=3, seconds=150, is_latency=True),
    Traffic("cold caches", 0.02, 0.02, 0.05, cold_s=30, cold_share=0.6, seconds=90, is_latency=True),
    Traffic("thin and worse", 0.3, 0.01, 0.01, rate_per_s=10, weight=0.02),
    Traffic("failing", 1.0, 0.01, 0.01, rate_per_s=10, seconds=20),
    Traffic("slow", 1.0, 0.01, 0.01, seconds=20, is_latency=True),
    Traffic("late errors", 0.3, 0.01, 0.01, late_from_s=150, seconds=180),
    Traffic(
        "late slowness after cold caches",
        0.2,
        0.02,
        0.05,
        cold_s=30,
        cold_share=0.6,
        late_from_s=150,
        seconds=250,
        is_latency=True,
    ),
)


def highest_rate(alarms: int, runs: int) -> float:
    """The 99 % binomial upper bound of a rate."""
    return float(stats.binomtest(alarms, runs, alternative="less").proportion_ci(0.99).high)


@pytest.mark.parametrize("traffic", TWINS, ids=lambda traffic: traffic.name)
def test_simulation__one_rollout__is_what_the_judge_folds(traffic: Traffic) -> None:
    counts, twin = drawn(traffic, 1, np.random.default_rng(3)), JudgeTwin(1, traffic.is_latency)
    state = initial_state([guardrail_of(traffic)])
    key, began = state.guardrails[0].key, False
    for second in range(traffic.seconds):
        state = fold(state, block_of(traffic, counts, second))
        buckets = [None if one is None else one[:, second].astype(float) for one in (counts.bucket_n, counts.bucket_k)]
        twin.fold(second, counts.n[:, second], counts.k[:, second], *buckets)
        effect, effects = state.tallies[key].effect, twin.whole.effects()

        assert (effect.candidate, effect.baseline) == pytest.approx(tuple(effects[0]), rel=1e-7)
        if state.tallies[key].is_steady:
            log_e = float(twin.whole.log_e(effects)[0])
            assert state.tallies[key].log_e(effect) == pytest.approx(log_e, rel=1e-7, abs=1e-7)
        ground = assess(state).guardrails[0].ground
        if ground is not Ground.INTERVAL:
            found = bool(twin.is_harmful(ONE_GUARDRAIL, traffic.margin)[0])
            assert found == (ground is not Ground.NONE)
            began |= found
    assert began == (traffic.share_c > traffic.share_b)


@pytest.mark.slow
@pytest.mark.parametrize("traffic", EQUAL_ARMS, ids=lambda traffic: traffic.name)
def test_simulation__equal_arms__at_most_alpha_are_rolled_back(traffic: Traffic) -> None:
    """A look a second; the upper 99 % bound of the share of false rollbacks counts."""
    _, found_at = harm_found(traffic, drawn(traffic, 400, np.random.default_rng(5)), ONE_GUARDRAIL)

    assert highest_rate(int(np.isfinite(found_at).sum()), 400) <= 1.2 * DEFAULT_ALPHA


@pytest.mark.slow
def test_simulation__two_guardrails_that_move_together__at_most_alpha_are_rolled_back() -> None:
    """Units whose requests are slow when they fail: both guardrails see the same events."""
    failing = EQUAL_ARMS[1]
    counts = drawn(failing, 400, np.random.default_rng(6))
    found_at = [
        harm_found(replace(failing, is_latency=is_latency), counts, 2 * ONE_GUARDRAIL)[1]
        for is_latency in (True, False)
    ]

    assert highest_rate(int(np.isfinite(np.minimum(*found_at)).sum()), 400) <= 1.2 * DEFAULT_ALPHA


@pytest.mark.slow
@pytest.mark.parametrize(
    ("traffic", "requests", "seconds"),
    [(WORSE[0], 200, np.inf), (WORSE[1], 1500, np.inf), (WORSE[2], 25, 3), (WORSE[3], 25, 3), (WORSE[5], 200, np.inf)],
    ids=lambda value: value.name if isinstance(value, Traffic) else "",
)
def test_simulation__worse_candidate_of_independent_requests__is_found_in_time(
    traffic: Traffic, requests: int, seconds: float
) -> None:
    """Of the requests and the seconds that are allowed the later counts; a second is the step of the looks."""
    counts = drawn(traffic, 400, np.random.default_rng(2024))
    by_requests, by_time = harm_found(traffic, counts, ONE_GUARDRAIL)
    a_look = counts.n[:, :, 0].mean()

    assert np.median(by_requests) <= requests + a_look or np.median(by_time) <= seconds


@pytest.mark.slow
@pytest.mark.parametrize(("traffic", "seconds"), [(LATE[1], 20), (LATE[2], 60)], ids=["30 %", "10 %"])
def test_simulation__harm_that_begins_late__is_found_soon(traffic: Traffic, seconds: int) -> None:
    counts = drawn(traffic, 200, np.random.default_rng(2024))
    _, found_at = harm_found(traffic, counts, ONE_GUARDRAIL)
    after = found_at[found_at > traffic.late_from_s] - traffic.late_from_s

    assert len(after) >= (1 - DEFAULT_ALPHA) * len(found_at)
    assert np.median(after) <= seconds


@pytest.mark.slow
def test_simulation__whole_judge_on_equal_arms__at_most_alpha_are_rolled_back() -> None:
    """Errors, slow requests and client errors at once, uneven blocks, the last third with all traffic on the
    candidate.
    """
    rng, alarms, rollouts = np.random.default_rng(8), 0, 200
    guardrails = [Guardrail("error_rate", 0.01), Guardrail("latency_over_slo", 0.05, 100)]
    for _ in range(rollouts):
        state, verdicts = initial_state(guardrails), []
        for step in range(60):
            n_c, n_b = (10, 0) if step >= 40 else (int(rng.poisson(1)), int(rng.poisson(9)))
            state = fold(state, Block(_drawn(rng, n_c), _drawn(rng, n_b)))
            if step % 4 == 3:
                verdicts.append(assess(state).verdict)
        alarms += Verdict.HARMFUL in verdicts

    assert highest_rate(alarms, rollouts) <= 1.2 * DEFAULT_ALPHA


def _drawn(rng: np.random.Generator, requests: int) -> ArmCounts:
    errors = int(rng.binomial(requests, 0.03))
    client_errors = int(rng.binomial(requests - errors, 0.1))
    return ArmCounts(requests, errors, client_errors, {"100": int(rng.binomial(requests, 0.05))})


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.002, 0.05, 0.5])
def test_simulation__share_interval_looked_at_often__covers_the_truth(share: float) -> None:
    rng, runs, looks = np.random.default_rng(9), 4000, range(10, 2001, 10)
    events = rng.binomial(10, share, (runs, len(looks))).cumsum(axis=1)
    log_e = np.array([[share_log_e(n, k, share) for k in range(n + 1)] + [0.0] * (2000 - n) for n in looks])
    most = log_e[np.arange(len(looks)), events].max(axis=1)

    assert highest_rate(int((most >= math.log(20)).sum()), runs) <= 1.2 * 0.05
    interval = share_interval(2000, int(events[0, -1]), 0.05)
    assert (interval.low <= share <= interval.high) == bool(log_e[-1, events[0, -1]] <= math.log(20))


@pytest.mark.slow
@pytest.mark.parametrize(("share_c", "share_b"), [(0.05, 0.05), (0.06, 0.05), (0.3, 0.05)])
def test_simulation__interval_that_is_shown__covers_the_true_difference_at_all_looks(
    share_c: float, share_b: float
) -> None:
    """Its lower end is moved by the e-process: each end may miss the truth in α of all rollouts at most."""
    rng, rollouts, missed = np.random.default_rng(17), 300, 0
    for _ in range(rollouts):
        state, has_missed = initial_state([Guardrail("error_rate", 0.01)]), False
        for step in range(80):
            n_c, n_b = 5, 20
            candidate = ArmCounts(n_c, int(rng.binomial(n_c, share_c)))
            state = fold(state, Block(candidate, ArmCounts(n_b, int(rng.binomial(n_b, share_b)))))
            if step % 4 < 3:
                continue
            result = assess(state).guardrails[0]
            low_misses = result.interval_low > share_c - share_b or (result.is_worse and share_c <= share_b)
            has_missed |= low_misses or result.interval_high < share_c - share_b
        missed += has_missed

    assert highest_rate(missed, rollouts) <= 1.2 * 2 * DEFAULT_ALPHA


@pytest.mark.slow
def test_simulation__correct_split_looked_at_every_second__is_rarely_accused() -> None:
    rng, runs, accused = np.random.default_rng(11), 200, 0
    for _ in range(runs):
        total = rng.poisson(30, 300)
        drawn = rng.binomial(total, 0.1).cumsum()
        splits = zip(drawn.tolist(), (total.cumsum() - drawn).tolist(), strict=True)
        accused += any(is_sample_ratio_off(split, (10, 90)) for split in splits)

    assert accused <= 2
