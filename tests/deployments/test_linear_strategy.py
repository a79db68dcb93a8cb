"""Linear: equal steps, watched alike, and told apart from a canary by nothing else."""

import pytest

from deployments.rollout.strategies import compile_strategy
from mlorch_site.lib.errors import Invalid
from tests.deployments.test_preview_and_selectors import preview
from tests.deployments.world import World

LINEAR = {"kind": "linear", "step_pct": 30, "bake_s": 10}


@pytest.fixture
def world(people, data_dir) -> World:
    return World(people)


@pytest.mark.parametrize(
    ("step_pct", "shares"),
    [(5, list(range(5, 100, 5))), (30, [30, 60, 90]), (33, [33, 66, 99]), (50, [50])],
)
def test_compile__step__shares_rise_by_it_and_promotion_is_the_last(step_pct, shares):
    steps = compile_strategy({**LINEAR, "step_pct": step_pct, "min_requests": 7, "hold": True})

    assert [step.weight_pct for step in steps if step.kind == "weight"] == shares
    assert {(step.duration_s, step.min_requests) for step in steps if step.kind == "bake"} == {(10, 7)}
    assert [step.kind.value for step in steps[-3:]] == ["judge", "hold", "promote"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"step_pct": 4}, "strategy.step_pct"),
        ({"step_pct": 51}, "strategy.step_pct"),
        ({"step_pct": 12.5}, "strategy.step_pct"),
        ({"bake_s": 0}, "strategy.bake_s"),
        ({"min_requests": True}, "strategy.min_requests"),
        ({"steps": []}, "strategy.steps"),
    ],
)
def test_compile__wrong__names_the_field(change, field):
    with pytest.raises(Invalid) as caught:
        compile_strategy({**LINEAR, **change})

    assert list(caught.value.details) == [field]


def test_rollout__healthy__every_share_was_served_in_turn(world):
    world.serve(1)
    release = world.until(world.request(2, strategy=LINEAR), "succeeded")
    served = [change.arms for change in world.endpoint.traffic_changes.order_by("pk")]
    shares = [arm["weight_pct"] for arms in served for arm in arms if arm["release"] == str(release.pk)]

    assert list(dict.fromkeys(share for share in shares if share)) == [30, 60, 90, 100]
    assert release.strategy == LINEAR


def test_rollout__harmful__goes_back_from_the_first_share(world):
    world.serve(1)
    world.errors = {"2": 0.5}
    world.until(world.request(2, strategy=LINEAR), "rolled_back")

    assert world.weights == {"1": 100}


def test_preview__linear__says_what_each_share_would_see(world):
    world.serve(1)
    world.tick(40)
    told = preview(world, strategy=LINEAR, guardrails=[{"metric": "error_rate", "margin": 0.01}])

    assert [step.weight_pct for step in told.steps if step.weight_pct] == [30, 60, 90]
    assert [sentence.split(" for ")[0] for sentence in told.forecast[:3]] == ["30 %", "60 %", "90 %"]
