"""The watch after a promotion: what signals, how soon, and how rarely without cause."""

import math
from dataclasses import replace

import numpy as np
import pytest

from monitoring.analysis.bake_watch import ALPHA, SECONDS_MIN, Watched, begin, fold
from monitoring.analysis.judge import ArmCounts, Block, Guardrail, JudgeState, initial_state
from monitoring.analysis.judge import fold as judge_fold
from tests.support.judge_twin import guardrail_of
from tests.support.simulated_traffic import Array, Traffic, drawn
from tests.support.traffic_lines import EQUAL_ARMS

ERRORS, SLOW = Guardrail("error_rate", 0.01), Guardrail("latency_over_slo", 0.05, 100)
WATCH_S = 600


def judged(guardrails: list[Guardrail], seconds: int = 100) -> JudgeState:
    """One of 100 requests of each arm fails and is slow."""
    state = initial_state(guardrails)
    for second in range(seconds):
        stable = ArmCounts(30, int(second % 3 == 0), 0, {"100": int(second % 3 == 0)})
        state = judge_fold(state, Block(ArmCounts(10, int(second % 10 == 0), 0, {"100": 0}), stable))
    return state


def seconds_until_signal(watched: tuple[Watched, ...], counts: ArmCounts) -> float:
    for second in range(1, WATCH_S + 1):
        watched = fold(watched, counts)
        if any(one.is_signalled for one in watched):
            return second
    return math.inf


@pytest.mark.parametrize(("errors", "at_most"), [(0, math.inf), (1, math.inf), (2, 60), (4, 25), (40, SECONDS_MIN)])
def test_errors__of_40_a_second__signal_the_sooner_the_more_they_are(errors: int, at_most: float) -> None:
    """One of 40 is 2.5 %: beyond the margin of what was 1 %, by less than what is to be found."""
    found = seconds_until_signal(begin(judged([ERRORS]), WATCH_S), ArmCounts(40, errors))

    assert found <= at_most
    assert errors != 0 or found == math.inf
    assert found >= SECONDS_MIN


def test_total_failure__shorter_than_ten_seconds__is_no_signal() -> None:
    (watched,) = begin(judged([ERRORS]), WATCH_S)
    for _ in range(SECONDS_MIN - 1):
        watched = watched.folded(ArmCounts(1000, 1000))

    assert not watched.is_signalled
    assert watched.folded(ArmCounts(1000, 1000)).is_signalled


def test_slowness__of_the_second_guardrail__signals_and_says_so() -> None:
    watched = begin(judged([ERRORS, SLOW]), WATCH_S)
    for _ in range(60):
        watched = fold(watched, ArmCounts(40, 0, 0, {"100": 20}))

    assert [one.is_signalled for one in watched] == [False, True]
    assert watched[1].sentence.startswith("1,200 of 2,400 requests took longer than 100 ms, 1.1 % expected: more than")
    assert "lastingly more than" in watched[0].sentence


def test_begin__nothing_to_hold_it_against__watches_nothing() -> None:
    assert begin(initial_state([ERRORS]), WATCH_S) == ()
    assert begin(judged([ERRORS], seconds=3), WATCH_S) == ()
    assert begin(judged([ERRORS]), 0) == ()
    assert begin(judged([]), WATCH_S) == ()


def test_watched__as_json__comes_back_the_same() -> None:
    watched = fold(begin(judged([ERRORS, SLOW]), WATCH_S), ArmCounts(40, 1, 0, {"100": 1}))

    assert [Watched.from_dict(one.to_dict()) for one in watched] == list(watched)


def _watched_after(traffic: Traffic, rng: np.random.Generator) -> Watched | None:
    """What is watched after a rollout of that traffic, folded in two arms."""
    counts = drawn(traffic, 1, rng)
    state = initial_state([guardrail_of(traffic)])
    for second in range(traffic.seconds):
        arms = [_arm(counts.n[0, second, arm], counts.k[0, second, arm], traffic) for arm in (0, 1)]
        state = judge_fold(state, Block(*arms))
    return next(iter(begin(state, WATCH_S)), None)


def _arm(n: float, k: float, traffic: Traffic) -> ArmCounts:
    return ArmCounts(int(n), 0 if traffic.is_latency else int(k), 0, {"100": int(k)})


def _signalled(watched: Watched, n: Array, k: Array) -> int:
    """In how many of the rows of (requests, events) a second the watch signals; `Watched.folded` of arrays."""
    found = min(watched.accepted + 2 * watched.guardrail.margin, (1 + watched.accepted) / 2)
    more = k * math.log(found / watched.accepted) + (n - k) * math.log((1 - found) / (1 - watched.accepted))
    more = np.minimum(more / watched.effect, watched.limit / SECONDS_MIN)
    s, most = np.zeros(len(n)), np.zeros(len(n))
    for second in range(n.shape[1]):
        s = np.maximum(s + more[:, second], 0)
        most = np.maximum(most, s)
    return int((most >= watched.limit).sum())


@pytest.mark.slow
@pytest.mark.parametrize("traffic", [EQUAL_ARMS[0], EQUAL_ARMS[3], EQUAL_ARMS[4]], ids=lambda traffic: traffic.name)
def test_simulation__what_is_as_good_as_before__is_taken_back_in_one_of_a_hundred_watches_at_most(
    traffic: Traffic,
) -> None:
    """20 promotions of independent requests or stalls, 100 watches after each; half as many more false ones pass."""
    rng, false, watches = np.random.default_rng(12), 0, 0
    after = replace(traffic, weight=1.0, seconds=WATCH_S)
    for _ in range(20):
        watched = _watched_after(replace(traffic, seconds=200), rng)
        if watched is not None:
            counts = drawn(after, 100, rng)
            false, watches = false + _signalled(watched, counts.n[..., 0], counts.k[..., 0]), watches + 100

    assert watches >= 500
    assert false <= 1.5 * ALPHA * watches
