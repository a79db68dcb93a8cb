"""Simulations that people ask for: worked on in the background, told while they run, cancelled, taken up again."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.urls import reverse

from deployments import limits, tasks
from deployments.models import PlanSimulation
from deployments.plan_trials import TrialWish
from deployments.rollout.simulation import SimulatedTraffic
from deployments.services import simulation_ask, simulation_cancel, simulations
from deployments.services.simulations import simulation_work, simulations_due, simulations_forget
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid
from tests.deployments.world import World
from tests.support.live import signed_in

CANARY = {"kind": "canary", "steps": [{"weight": 25, "bake_s": 10, "min_requests": 0}]}
GUARDRAILS = [{"metric": "error_rate", "margin": 0.05}]
WISH = TrialWish(CANARY, GUARDRAILS, SimulatedTraffic(100.0, 0.01), 60, effects_pp=(0.0, 100.0), rollouts=5)


@pytest.fixture
def served(world: World) -> World:
    world.serve(1)
    return world


def ask(world: World, wish: TrialWish = WISH, actor=None) -> PlanSimulation:
    return simulation_ask(actor=actor or world.people.emma.actor, endpoint=world.endpoint, wish=wish)


def test_work__asked__has_a_row_for_each_truth_and_the_same_again(served):
    one, other = ask(served), ask(served)
    for run in (one, other):
        tasks.simulate_plan(str(run.pk))
        run.refresh_from_db()

    assert (one.done, one.total, one.error, one.due_at) == (10, 10, "", None)
    assert [row["excess"] for row in one.results] == [0.0, 0.99]
    assert one.results[1]["rolled_back"] == 1.0
    assert one.results == other.results
    assert one.ended_at is not None


def test_ask__too_many_not_allowed_or_nothing_to_simulate__is_refused(served):
    with pytest.raises(Forbidden):
        ask(served, actor=served.people.vik.actor)
    for wrong in (
        replace(WISH, guardrails=[{"metric": "saturation", "method": "threshold", "max": 0.1, "interval_s": 30}]),
        replace(WISH, guardrails=[]),
        replace(WISH, effects_pp=()),
        replace(WISH, effects_pp=tuple(range(9))),
        replace(WISH, rollouts=2000, effects_pp=(1.0,) * 8, deadline_s=3600),
        replace(WISH, strategy={"kind": "guess"}),
    ):
        with pytest.raises(Invalid):
            ask(served, wrong)
    for _ in range(limits.SIMULATIONS_AT_ONCE):
        ask(served)
    with pytest.raises(Conflict, match="wait for one, or cancel it"):
        ask(served)


def test_cancel__while_it_runs__stops_it_at_its_next_step(served, monkeypatch):
    run = ask(served)
    monkeypatch.setattr(simulations, "TOLD_EVERY_S", 0.0)
    real, called = simulations.simulate, []

    def cancelled_in_between(trial, progress):
        called.append(trial)
        simulation_cancel(actor=served.people.emma.actor, run=run)
        return real(trial, progress)

    monkeypatch.setattr(simulations, "simulate", cancelled_in_between)
    tasks.simulate_plan(str(run.pk))
    run.refresh_from_db()

    assert (run.cancelled_by, run.results, len(called)) == ("emma", [], 1)
    assert simulation_cancel(actor=served.people.emma.actor, run=run).cancelled_by == "emma"
    with pytest.raises(Forbidden):
        simulation_cancel(actor=served.people.vik.actor, run=ask(served))


def test_worker__died__it_is_taken_up_again_and_the_one_that_lost_it_keeps_nothing(served, monkeypatch):
    run = ask(served)
    stale = PlanSimulation.objects.select_related("endpoint__environment").get(pk=run.pk)
    later = clock.now() + timedelta(seconds=limits.SIMULATION_LEASE_S + 1)
    assert simulations_due(clock.now()) == []
    assert simulations_due(later) == [str(run.pk)]
    simulation_work(run=run, now=later)
    run.refresh_from_db()
    kept = run.results
    simulation_work(run=stale, now=later)
    run.refresh_from_db()
    assert run.results == kept
    assert simulations_forget(now=clock.now() + limits.SIMULATIONS_KEPT + timedelta(days=1)) == 1


def test_work__inputs_that_cannot_be_read__ends_with_an_error_and_is_not_taken_up_again(served):
    run = ask(served)
    PlanSimulation.objects.filter(pk=run.pk).update(inputs={"strategy": {}})
    tasks.simulate_plan(str(run.pk))
    run.refresh_from_db()
    assert (run.error, run.due_at) == ("It could not be tried (KeyError).", None)


def test_pages__from_the_form_to_the_result_and_again_with_other_numbers(served):
    emma = signed_in("emma")
    form = {"model": "tumours", "version": 2, "environment": "production", "endpoint": "clinic", "kind": "canary"}
    lines = {"weight_0": 25, "bake_0": 10, "error_margin": 5}
    wrong = emma.post(reverse("simulation-new"), {**form, "endpoint": "nowhere", **lines})
    assert wrong.status_code == 400
    answer = emma.post(reverse("simulation-new"), {**form, **lines})
    assert answer.status_code == 303, answer.context["form"].errors
    run = PlanSimulation.objects.get()
    page = emma.get(answer.headers["Location"]).content.decode()
    assert "rollouts were tried" in page
    numbers = {"effects": "0, 100", "rate": 100, "error_pct": 1, "design_effect": 1, "rollouts": 5}
    for spoilt in ({"effects": "a"}, {"effects": "101"}, {"rate": -1}, {"rollouts": 10**9}):
        assert emma.post(reverse("simulation-again", args=[run.pk]), {**numbers, **spoilt}).status_code == 400
    again = emma.post(reverse("simulation-again", args=[run.pk]), numbers)
    newest = PlanSimulation.objects.latest("created_at")
    tasks.simulate_plan(str(newest.pk))
    page = emma.get(again.headers["Location"]).content.decode()
    assert "0: as good" in page
    assert "100 %" in page
    emma.post(reverse("simulation-cancel", args=[run.pk]))
    assert "emma cancelled it" in emma.get(reverse("simulation", args=[run.pk])).content.decode()
    assert signed_in("max").get(reverse("simulation", args=[run.pk])).status_code == 404


def test_rest__asked_read_and_cancelled(served):
    emma, place = signed_in("emma"), ["production", "clinic"]
    body = {"strategy": CANARY, "guardrails": GUARDRAILS, "rate_per_s": 50, "effects_pp": [0], "rollouts": 3}
    answer = emma.post(reverse("api-simulations", args=place), body, content_type="application/json")
    assert answer.status_code == 202, answer.json()
    told = answer.json()
    assert told["inputs"]["traffic"]["rate_per_s"] == 50
    tasks.simulate_plan(told["id"])
    assert len(emma.get(reverse("api-simulation", args=[told["id"]])).json()["results"]) == 1
    cancelled = emma.post(reverse("api-simulation-cancel", args=[told["id"]]), content_type="application/json")
    assert cancelled.json()["cancelled_by"] == ""
    refused = signed_in("vik").post(reverse("api-simulations", args=place), body, content_type="application/json")
    assert refused.status_code == 403
