"""A candidate beside a fresh baseline: replicas of the stable version that start when its own do."""

import pytest

from deployments.models import Release, Replica, ReplicaState, Rollout
from deployments.rollout.split import Split
from deployments.rollout.steps import StepKind, steps_from_plan
from deployments.rollout.strategies import compile_strategy
from deployments.services import release_abort
from mlorch_site.lib.errors import Invalid
from monitoring.models import Window
from tests.deployments.world import World

SHARES = [{"weight": 10, "bake_s": 10, "min_requests": 20}, {"weight": 50, "bake_s": 10}]
FRESH = {"kind": "canary", "baseline": "fresh", "steps": SHARES}
GUARDRAILS = [{"metric": "error_rate", "margin": 0.3}]


@pytest.fixture
def world(people, data_dir) -> World:
    world = World(people)
    world.rate = 200
    world.serve(1)
    return world


def arms(world: World) -> dict[str, int]:
    return dict(world.endpoint.arms.values_list("arm", "weight_pct"))


def baseline_replicas() -> list[Replica]:
    return list(Replica.objects.filter(is_baseline=True, wanted=True, removed_from_routes_at=None))


def begun(world: World, **changes: object) -> Release:
    """A release with a fresh baseline that watches its first share."""
    release = world.request(2, strategy=FRESH, guardrails=GUARDRAILS, **changes)
    for _ in range(60):
        world.tick()
        rollout = Rollout.objects.filter(release=release).first()
        if rollout and rollout.phase == "baking":
            return release
    raise AssertionError("it never watched")


@pytest.mark.parametrize(
    ("strategy", "field"),
    [
        ({**FRESH, "baseline": "warm"}, "strategy.baseline"),
        ({**FRESH, "baseline": True}, "strategy.baseline"),
        ({**FRESH, "steps": [{"weight": 51, "bake_s": 1}]}, "strategy.baseline"),
        ({"kind": "blue_green", "baseline": "fresh"}, "strategy.baseline"),
    ],
)
def test_compile__not_possible__names_the_field(strategy, field):
    with pytest.raises(Invalid) as caught:
        compile_strategy(strategy)

    assert list(caught.value.details) == [field]


@pytest.mark.parametrize("strategy", [FRESH, {"kind": "linear", "baseline": "fresh", "step_pct": 20}])
def test_compile__fresh__as_much_for_the_baseline_and_the_stored_plan_says_so(strategy):
    steps = compile_strategy(strategy)
    weights = [step for step in steps if step.kind is StepKind.WEIGHT]

    assert weights
    assert all(0 < step.weight_pct == step.baseline_pct <= 50 for step in weights)
    assert steps_from_plan({"steps": [step.to_dict() for step in steps]}) == tuple(steps)


def test_compile__stable__the_stored_plan_is_as_without_the_option():
    plain = {"kind": "canary", "steps": SHARES}
    stored = [step.to_dict() for step in compile_strategy({**plain, "baseline": "stable"})]

    assert stored == [step.to_dict() for step in compile_strategy(plain)]
    assert not any("baseline_pct" in step for step in stored)


def test_rollout__watched__both_serve_replicas_of_their_own_with_equal_weight(world):
    release = begun(world)
    entry = world.platform.tables["production"]["endpoints"]["clinic"]
    served = {arm["arm"]: {row["id"] for row in arm["replicas"]} for arm in entry["arms"]}
    baseline = baseline_replicas()

    assert arms(world) == {"stable": 80, "candidate": 10, "baseline": 10}
    assert served["baseline"] == {row.pk for row in baseline}
    assert not served["baseline"] & served["stable"]
    assert len(baseline) == release.serving_config.replicas
    assert {(row.version.number, row.serving_config_id) for row in baseline} == {(1, release.serving_config_id)}


def test_rollout__healthy__succeeds_and_the_baseline_goes(world):
    world.until(world.request(2, strategy=FRESH, guardrails=GUARDRAILS), "succeeded")

    assert arms(world) == {"stable": 100}
    assert world.weights == {"2": 100}
    assert not baseline_replicas()
    assert not Replica.objects.filter(is_baseline=True, keep_until__isnull=False).exists()
    assert Replica.objects.filter(version__number=1, is_baseline=False, keep_until__isnull=False).exists()


def test_judge__fresh__compares_with_the_baseline_alone(world):
    release = begun(world)
    world.tick(5)
    result = Rollout.objects.get(release=release).assessment["guardrails"][0]
    of_baseline = sum(Window.objects.filter(arm="baseline", seconds=1).values_list("requests", flat=True))

    assert 0 < result["baseline_n"] <= of_baseline


def test_rollout__harmful__goes_back_and_both_end(world):
    world.errors = {"2": 0.9}
    world.until(world.request(2, strategy=FRESH, guardrails=GUARDRAILS), "rolled_back")

    assert arms(world) == {"stable": 100}
    assert not baseline_replicas()


def test_rollout__aborted__both_end(world):
    release = begun(world)
    with world.at():
        release_abort(actor=world.people.emma.actor, release=release, reason="not today")
    world.until(release, "aborted")

    assert arms(world) == {"stable": 100}
    assert not baseline_replicas()


def test_rollout__baseline_fails__nothing_is_concluded_and_it_goes_back(world):
    release = begun(world)
    ReplicaState.objects.filter(replica_id=baseline_replicas()[0].pk).update(state="failed", message="no memory")
    world.platform.sync = lambda now: None
    world.tick(1)
    release.refresh_from_db()

    assert release.rollout.phase == "reverting"
    assert "no memory" in release.rollout.outcome_reason
    assert arms(world) == {"stable": 100}


@pytest.mark.parametrize(
    ("counts", "is_off"), [((1000, 8000, 1000), False), ((1000, 8500, 500), True), ((1000, 9000, 0), True)]
)
def test_split__baseline__its_share_is_looked_at_too(counts, is_off):
    assert Split(10, *counts, 10).is_off is is_off


def test_split__half_each__strays_to_stable_are_no_offence():
    assert not Split(50, 5000, 0, 5000, 50).is_off
    assert Split.from_dict(Split(50, 5000, 0, 5000, 50).to_dict()) == Split(50, 5000, 0, 5000, 50)
