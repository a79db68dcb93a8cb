"""A gateway that turns away from the candidate ends its rollout: other replicas, or the stable arm, would answer for
it.
"""

from tests.deployments.world import World


def test_candidate_ejected__rollout_goes_back_and_names_gateway_and_replica(world: World) -> None:
    world.serve(1)
    release = world.request(2)
    world.tick(8)
    assert world.weights["2"] == 10
    world.platform.ejected = {2: 3}
    world.until(release, "rolled_back", most_s=5)

    assert "Gateway fake-gateway could not use replica r-" in release.status_reason
    assert "(3 times)" in release.status_reason
    assert world.weights == {"1": 100}


def test_stable_ejected__rollout_goes_on(world: World) -> None:
    world.serve(1)
    world.platform.ejected = {1: 3}
    world.until(world.request(2), "succeeded")

    assert world.weights == {"2": 100}


def test_shadow_ejected__goes_back_too(world: World) -> None:
    world.serve(1)
    release = world.request(2, strategy={"kind": "shadow", "bake_s": 30})
    world.tick(8)
    world.platform.ejected = {2: 1}

    assert "(1 time)" in world.until(release, "rolled_back", most_s=5).status_reason
