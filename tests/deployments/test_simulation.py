"""Plans tried against traffic of a known truth: the engine's own decisions and the judge's own words."""

import json
import sys
from dataclasses import replace
from io import StringIO
from random import Random
from statistics import mean, pvariance
from subprocess import run

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from scipy import stats

from deployments.rollout.simulation import PlanTrial, SimulatedTraffic, binomial, poisson, share_interval, simulate
from deployments.rollout.strategies import compile_strategy
from monitoring.analysis.judge import GUARDRAILS_ALPHA, Guardrail
from tests.support.judge_twin import harm_found
from tests.support.simulated_traffic import Traffic, drawn

CANARY = {"kind": "canary", "steps": [{"weight": 25, "bake_s": 20}]}
TRIAL = PlanTrial(
    tuple(compile_strategy(CANARY)),
    (Guardrail("error_rate", 0.05),),
    SimulatedTraffic(200.0, 0.01),
    excess=0.0,
    deadline_s=60,
    rollouts=12,
)


def test_simulate__as_good__is_promoted_and_same_seed_same_answer():
    found = simulate(TRIAL)

    assert found.promoted >= 0.9
    assert simulate(TRIAL) == found
    assert found.bad_requests_mean == pytest.approx(200 * 0.25 * 0.01 * 20, rel=0.5)


def test_simulate__much_worse__is_rolled_back_soon_and_fails_few():
    found = simulate(replace(TRIAL, excess=0.4))

    assert (found.rolled_back, found.promoted) == (1, 0)
    assert found.detected_median_s is not None
    assert found.detected_median_s <= (found.detected_90_s or 0) <= 20


def test_simulate__too_little_traffic__is_held_to_the_deadline():
    found = simulate(replace(TRIAL, traffic=SimulatedTraffic(0.5, 0.01), rollouts=4, deadline_s=20))

    assert (found.deadline, found.detected_median_s) == (1, None)


def test_simulate__shadow_and_hold__copies_harm_no_client_and_the_hold_is_granted():
    strategy = {"kind": "shadow", "mirror": 100, "bake_s": 20}
    found = simulate(replace(TRIAL, steps=tuple(compile_strategy(strategy)), rollouts=4))

    assert (found.promoted, found.bad_requests_mean < 40) == (1, True)


def test_simulate__shadow_then_canary__copies_count_for_nothing_once_clients_are_asked():
    strategy = {"kind": "shadow", "mirror": 100, "bake_s": 20, "steps": [{"weight": 1, "bake_s": 1}]}
    found = simulate(replace(TRIAL, steps=tuple(compile_strategy(strategy)), rollouts=3, deadline_s=10))

    assert found.deadline == 1


@pytest.mark.parametrize(
    "changes",
    [{"rollouts": 0}, {"rollouts": 2001}, {"deadline_s": 10_000_000}, {"excess": 1.0}, {"guardrails": ()}],
)
def test_trial__what_cannot_be_simulated__is_refused(changes):
    with pytest.raises(ValueError, match=r".+"):
        replace(TRIAL, **changes)


def test_intervals_and_numbers__as_scipy_has_them():
    for count, of in ((0, 40), (3, 40), (40, 40)):
        wanted = stats.binomtest(count, of).proportion_ci(0.95, method="wilson")
        assert share_interval(count, of) == pytest.approx((wanted.low, wanted.high), abs=1e-9)
    random = Random(7)
    for draw, middle, variance in (
        (lambda: poisson(random, 3.0), 3.0, 3.0),
        (lambda: poisson(random, 400.0), 400.0, 400.0),
        (lambda: binomial(random, 30, 0.1), 3.0, 2.7),
        (lambda: binomial(random, 30, 0.9), 27.0, 2.7),
        (lambda: binomial(random, 2000, 0.3), 600.0, 420.0),
    ):
        drawn = [draw() for _ in range(4000)]
        assert mean(drawn) == pytest.approx(middle, abs=4 * (variance / 4000) ** 0.5)
        assert pvariance(drawn) == pytest.approx(variance, rel=0.12)


def test_command__measured_traffic_and_what_is_wrong(world):
    world.serve(1)
    world.tick(20)
    given = {"rollouts": 2, "json": True, "guardrails": '[{"metric": "error_rate", "margin": 0.1}]', "effect": [0.0]}
    told = StringIO()
    with world.at():
        call_command("simulate", "production", "clinic", stdout=told, stderr=StringIO(), **given)
        for wrong in ({"strategy": "{"}, {"rate": -1.0}, {"rollouts": 0}, {"guardrails": "[]"}):
            with pytest.raises(CommandError):
                call_command("simulate", "production", "clinic", **{**given, **wrong})
        with pytest.raises(CommandError, match="no such endpoint"):
            call_command("simulate", "production", "nowhere")
    answer = json.loads(told.getvalue())

    assert answer["traffic"]["rate_per_s"] > 0
    assert answer["simulated"][0]["rollouts"] == 2


def test_imports__the_simulator__brings_no_numpy():
    code = "import sys, deployments.rollout.simulation; sys.exit('numpy' in sys.modules)"

    assert (
        run(
            [sys.executable, "-c", code], check=False, env={"DJANGO_SETTINGS_MODULE": "mlorch_site.settings"}
        ).returncode
        == 0
    )


@pytest.mark.slow
def test_simulate__rolled_back__as_often_as_the_judge_s_twin_says():
    traffic = Traffic("", 0.035, 0.01, 0.01, seconds=61)
    _, found_s = harm_found(traffic, drawn(traffic, 600, np.random.default_rng(3)), 1 / (GUARDRAILS_ALPHA * 0.05))
    wanted = float(np.isfinite(found_s).mean())
    plan = {"kind": "canary", "steps": [{"weight": 25, "bake_s": 60}]}
    trial = PlanTrial(
        tuple(compile_strategy(plan)),
        (Guardrail("error_rate", 0.01),),
        SimulatedTraffic(40.0, 0.01),
        excess=0.025,
        deadline_s=1,
        rollouts=80,
    )
    found = simulate(trial)
    spread = (wanted * (1 - wanted) * (1 / 80 + 1 / 600)) ** 0.5

    assert 0.1 < wanted < 0.95
    assert found.rolled_back == pytest.approx(wanted, abs=4 * spread)
    assert found.promoted == 0
