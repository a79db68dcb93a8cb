"""What MLflow does to a version while it is released: nothing serves but what was approved, and the policy decides."""

import pytest

from deployments.models import Replica
from deployments.platforms.local import goal_of
from deployments.services import endpoint_rollback, release_promote, serving_config_revise
from deployments.tasks import tick
from mlorch_site.accounts.actor import Actor
from mlorch_site.lib.errors import Conflict
from registry import artifacts
from registry.models import Version
from registry.services import policy_revise
from tests.deployments.world import START

OTHER = "sha256:" + "f" * 64


def policy(world, when: str) -> None:
    policy_revise(actor=Actor.controller("test"), environment=world.environment, when_changed_outside=when)


def deleted(number: int) -> None:
    Version.objects.filter(number=number).update(status="DELETED")


def goals_of(world) -> dict[str, tuple[str, str]]:
    """Version → digest and path that an agent is told."""
    wanted = Replica.objects.filter(wanted=True).select_related(
        "version__model", "endpoint__environment", "serving_config"
    )
    return {goal.version: (goal.digest, goal.artifacts) for goal in goal_of(list(wanted)).replicas}


def test_goal__version_has_other_files_in_mlflow_now__names_what_was_released(world):
    release = world.serve(1)
    Version.objects.filter(number=1).update(digest=OTHER, evidence={"requirements": ["evil"]})

    assert goals_of(world) == {"1": (release.digest, str(artifacts.path_of(release.digest)))}
    wanted = Replica.objects.filter(wanted=True).select_related(
        "version__model", "endpoint__environment", "serving_config"
    )
    assert goal_of(list(wanted)).replicas[0].requirements == []


def test_goal__files_not_in_the_store__starts_nothing_and_says_so(world):
    release = world.request(1, strategy={"kind": "immediate"})
    artifacts.path_of(release.digest).rmdir()
    world.platform.broken[1] = "pending"
    with world.at():
        tick()
    release.refresh_from_db()

    assert goals_of(world) == {}
    assert "are not in the artifact store" in release.rollout.waiting_for


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"status": "DELETED"}, "tumours version 2 was deleted in MLflow."),
        ({"status": "DELETED", "superseded_at": START}, "another version was registered under its number"),
        ({"digest": OTHER}, "The artifacts of tumours version 2 were changed in MLflow"),
    ],
)
def test_canary__version_changed_in_mlflow__goes_back(world, change, sentence):
    world.serve(1)
    release = world.request(2)
    world.tick(6)
    Version.objects.filter(number=2).update(**change)
    world.until(release, "rolled_back", most_s=10)

    assert sentence in release.status_reason
    assert world.weights == {"1": 100}


def test_canary__version_deleted_under_a_policy_that_holds__waits_and_a_person_may_promote(world):
    policy(world, "hold")
    world.serve(1)
    release = world.request(2)
    world.tick(6)
    deleted(2)
    world.tick(40)
    release.refresh_from_db()

    assert release.status == "rolling_out"
    assert "was deleted in MLflow. The policy holds the rollout" in release.rollout.waiting_for
    with world.at():
        release_promote(actor=world.people.mona.actor, release=release, reason="the registry is being moved")
    world.until(release, "succeeded")


def test_canary__version_deleted_under_a_policy_that_holds__goes_back_at_the_deadline(world):
    policy(world, "hold")
    world.serve(1)
    release = world.request(2)
    world.tick(6)
    deleted(2)
    world.until(release, "rolled_back", most_s=400)

    assert "was deleted in MLflow" in release.status_reason


def test_canary__version_deleted_under_a_policy_that_goes_on__is_promoted(world):
    policy(world, "go_on")
    world.serve(1)
    release = world.request(2)
    world.tick(6)
    deleted(2)
    world.until(release, "succeeded")

    assert world.weights == {"2": 100}
    assert goals_of(world)["2"][0] == release.digest


def test_promoting__version_deleted_with_all_traffic_on_it__goes_back(world):
    world.serve(1)
    release = world.request(2, strategy={"kind": "immediate"})
    for _ in range(20):
        world.tick()
        release.refresh_from_db()
        if hasattr(release, "rollout") and release.rollout.phase == "promoting":
            break
    assert release.rollout.phase == "promoting"
    deleted(2)
    world.until(release, "rolled_back", most_s=10)
    assert world.weights == {"1": 100}


def test_rollback__restores_the_serving_config_that_was_approved_with_it(world):
    first = world.serve(1)
    world.until(world.request(2), "succeeded")
    serving_config_revise(actor=world.people.mona.actor, endpoint=world.endpoint, log_share_pct=100)
    shown = str(world.endpoint.stable_release_id)
    with world.at():
        back = endpoint_rollback(actor=world.people.oscar.actor, endpoint=world.endpoint, expects=shown, reason="bad")
    world.until(back, "succeeded")

    assert back.serving_config_id == first.serving_config_id
    assert world.platform.tables["production"]["endpoints"]["clinic"]["log"]["share_pct"] == 0


def test_rollback__version_deleted_in_mlflow__still_restores_what_was_approved(world):
    first = world.serve(1)
    world.until(world.request(2), "succeeded")
    Version.objects.filter(number=1).update(status="DELETED", digest=OTHER)
    shown = str(world.endpoint.stable_release_id)
    with world.at():
        back = endpoint_rollback(actor=world.people.oscar.actor, endpoint=world.endpoint, expects=shown, reason="bad")
    world.until(back, "succeeded")

    assert back.digest == first.digest
    assert goals_of(world)["1"][0] == first.digest


def test_rollback__files_not_in_the_store__conflict(world):
    first = world.serve(1)
    world.until(world.request(2), "succeeded")
    artifacts.path_of(first.digest).rmdir()
    shown = str(world.endpoint.stable_release_id)
    with world.at(), pytest.raises(Conflict, match="not in the artifact store"):
        endpoint_rollback(actor=world.people.oscar.actor, endpoint=world.endpoint, expects=shown, reason="bad")


def test_rollback__four_clicks_on_one_page__one_step_back(world):
    world.serve(1)
    world.until(world.request(2), "succeeded")
    third = world.until(world.request(3), "succeeded")
    clicks = []
    for _ in range(4):
        with world.at():
            release = endpoint_rollback(
                actor=world.people.oscar.actor, endpoint=world.endpoint, expects=str(third.pk), reason="bad"
            )
        clicks.append(release.pk)
        world.until(release, "succeeded")

    assert len(set(clicks)) == 1
    assert world.weights == {"2": 100}


def test_rollback__another_release_is_there_by_now__conflict_says_what_serves(world):
    first = world.serve(1)
    world.until(world.request(2), "succeeded")
    with world.at(), pytest.raises(Conflict, match="version 2 serves now"):
        endpoint_rollback(actor=world.people.oscar.actor, endpoint=world.endpoint, expects=str(first.pk), reason="x")
    with world.at(), pytest.raises(Conflict, match="version 2 serves now"):
        endpoint_rollback(actor=world.people.oscar.actor, endpoint=world.endpoint, expects="no id", reason="x")


def test_rollback__during_a_rollout_asked_again_when_it_is_over__is_the_same(world):
    world.serve(1)
    release = world.request(2)
    world.tick(6)
    for _ in range(2):
        with world.at():
            back = endpoint_rollback(
                actor=world.people.emma.actor, endpoint=world.endpoint, expects=str(release.pk), reason="I saw it"
            )
        assert back.pk == release.pk
        world.until(release, "rolled_back")
    assert world.weights == {"1": 100}


def test_serving_config__changed__is_a_release_of_the_same_version(world):
    world.serve(1)
    with pytest.raises(Exception, match="already serves version 1, as it is configured"):
        world.request(1)
    serving_config_revise(actor=world.people.mona.actor, endpoint=world.endpoint, timeout_ms=500)
    release = world.until(world.request(1), "succeeded")

    assert release.serving_config.timeout_ms == 500
    assert world.platform.tables["production"]["endpoints"]["clinic"]["timeout_ms"] == 500
    assert world.weights == {"1": 100}
