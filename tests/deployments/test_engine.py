"""Rollouts from request to end, on the fake platform."""

import pytest

from deployments.models import Release, ReleaseEvent, Replica
from deployments.selectors import live_release
from deployments.services import (
    endpoint_rollback,
    release_abort,
    release_decide,
    release_pause,
    release_promote,
    release_resume,
)
from mlorch_site.audit.verification import verify
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid
from registry.models import AliasIntent
from tests.deployments.world import CANARY, World


def aliases() -> dict[str, int | None]:
    return dict(AliasIntent.objects.values_list("name", "version_number"))


def test_first_release__ready__serves_everything_and_says_no_rollback_target(world):
    release = world.serve(1)

    assert world.weights == {"1": 100}
    assert "no version to roll back to" in release.status_reason
    assert aliases()["champion"] == 1


def test_canary__healthy__climbs_and_moves_the_aliases(world):
    world.serve(1)
    release = world.request(2)
    seen = set()
    for _ in range(120):
        world.tick()
        seen.add(world.weights.get("2", 0))
        release.refresh_from_db()
        if not release.is_open:
            break

    assert release.status == "succeeded", release.rollout.waiting_for
    assert seen == {0, 10, 50, 100}
    assert aliases() == {"champion": 2, "previous": 1, "challenger": None}
    assert verify().holds


def test_canary__harmful__goes_back_at_once_and_leaves_no_route(world):
    world.serve(1)
    world.errors = {"2": 0.9}
    release = world.until(world.request(2), "rolled_back")

    assert "Harmful" in release.status_reason
    assert world.weights == {"1": 100}
    assert aliases()["champion"] == 1
    assert release.report.document["outcome"]["status"] == "rolled_back"


def test_canary__no_traffic__goes_back_at_the_deadline(world):
    world.serve(1)
    world.rate = 0
    release = world.until(world.request(2), "rolled_back")

    assert "Inconclusive" in release.status_reason


def test_canary__thin_traffic__waits_in_judgement_with_a_reason(world):
    world.serve(1)
    world.rate = 20
    release = world.request(2, guardrails=[{"metric": "error_rate", "margin": 0.001}])
    world.tick(45)
    release.refresh_from_db()

    assert release.rollout.phase == "judging"
    assert "requests" in release.rollout.waiting_for
    assert "Inconclusive" in world.until(release, "rolled_back").status_reason


def test_blue_green__healthy__keeps_the_old_version_warm(world):
    world.serve(1)
    release = world.request(2, strategy={"kind": "blue_green", "bake_s": 10})
    world.until(release, "succeeded")

    assert world.weights == {"2": 100}
    assert Replica.objects.filter(version__number=1, wanted=True, keep_until__isnull=False).count() == 1


def test_blue_green__harmful__goes_back(world):
    world.serve(1)
    world.errors = {"2": 0.9}
    world.until(world.request(2, strategy={"kind": "blue_green", "bake_s": 30}), "rolled_back")

    assert world.weights == {"1": 100}


def test_replica__fails_before_traffic__release_failed(world):
    world.serve(1)
    world.platform.broken = {2: "failed"}
    release = world.until(world.request(2), "failed")

    assert "failed" in release.status_reason
    assert world.weights == {"1": 100}


def test_replica__lost_with_traffic__rolled_back(world):
    world.serve(1)
    release = world.request(2)
    world.tick(6)
    assert world.weights["2"] == 10
    world.platform.broken = {2: "backoff"}

    world.until(release, "rolled_back")

    assert world.weights == {"1": 100}


def test_gateway__away__rollout_waits_with_that_reason(world):
    world.serve(1)
    release = world.request(2)
    world.platform.online = False
    world.tick(20)
    release.refresh_from_db()

    assert release.status == "rolling_out"
    assert release.rollout.waiting_for == "No gateway is connected."


def take_back(world, actor, reason):
    """Roll back what the endpoint's page shows."""
    shown = live_release(world.endpoint) or world.endpoint.stable_release
    return endpoint_rollback(actor=actor, endpoint=world.endpoint, expects=str(shown.pk), reason=reason)


def test_rollback__after_promotion__restores_at_once_from_warm_replicas(world):
    world.serve(1)
    world.until(world.request(2), "succeeded")
    with world.at():
        rollback = take_back(world, world.people.oscar.actor, "bad news")
    world.platform.sync(world.now)

    assert world.weights == {"2": 0, "1": 100}
    world.until(rollback, "succeeded")
    assert world.weights == {"1": 100}
    assert aliases()["champion"] == 1
    with pytest.raises(Conflict, match="no version to go back to"):
        take_back(world, world.people.oscar.actor, "again")


def test_rollback__during_a_rollout__reverts_it(world):
    world.serve(1)
    release = world.request(2)
    world.tick(6)
    with world.at():
        reverted = take_back(world, world.people.emma.actor, "I saw it")

    assert reverted.pk == release.pk
    assert "by emma" in world.until(release, "rolled_back").status_reason


def test_rollback__first_version__conflict(world):
    world.serve(1)
    with pytest.raises(Conflict, match="no version to go back to"):
        take_back(world, world.people.emma.actor, "x")


def test_pause__holds_the_step_and_resume_goes_on(world):
    world.serve(1)
    release = world.request(2)
    world.tick(6)
    with world.at():
        release_pause(actor=world.people.emma.actor, release=release)
    world.tick(60)
    release.refresh_from_db()
    assert (release.status, world.weights["2"]) == ("paused", 10)

    with world.at():
        release_resume(actor=world.people.emma.actor, release=release)

    world.until(release, "succeeded")


def test_pause__harmful__reverts_all_the_same(world):
    world.serve(1)
    release = world.request(2)
    world.tick(6)
    with world.at():
        release_pause(actor=world.people.emma.actor, release=release)
    world.errors = {"2": 0.9}

    assert "Harmful" in world.until(release, "rolled_back").status_reason
    assert world.weights == {"1": 100}


def test_promote__skips_the_rest_with_a_reason(world):
    world.serve(1)
    release = world.request(2)
    world.tick(6)
    with world.at(), pytest.raises(Invalid):
        release_promote(actor=world.people.mona.actor, release=release)
    with world.at():
        release_promote(actor=world.people.mona.actor, release=release, reason="urgent fix")
    world.tick(3)
    release.refresh_from_db()

    assert release.status == "succeeded"


def test_abort__twice__one_effect(world):
    world.serve(1)
    release = world.request(2)
    world.tick(6)
    with world.at():
        release_abort(actor=world.people.emma.actor, release=release, reason="no")
        release_abort(actor=world.people.emma.actor, release=release, reason="no")

    world.until(release, "aborted")
    assert ReleaseEvent.objects.filter(release=release, kind="wish.abort").count() == 1
    assert world.weights == {"1": 100}


def test_abort__before_rollout__ends_at_once(people):
    world = World(people, rules=[{"role": "reviewer", "count": 1}])
    release = world.request(1)
    with world.at():
        release = release_abort(actor=people.emma.actor, release=release, reason="wrong version")

    assert release.status == "aborted"
    assert release.approval.status == "withdrawn"


def test_busy_endpoint__second_release__conflict_names_the_first(world):
    world.serve(1)
    first = world.request(2)
    with pytest.raises(Conflict) as caught:
        world.request(3)

    assert caught.value.details["release"] == str(first.pk)


def test_hold__waits_for_a_person(world):
    world.serve(1)
    release = world.request(2, strategy={**CANARY, "hold": True})
    world.tick(80)
    release.refresh_from_db()
    assert release.rollout.phase == "holding"

    with world.at():
        release_promote(actor=world.people.mona.actor, release=release)

    world.until(release, "succeeded")


def test_replaced_version__kept_time_over__is_drained_and_forgotten(world):
    world.serve(1)
    world.until(world.request(2), "succeeded")
    world.endpoint.configs.update(keep_previous_s=1)
    world.until(world.request(3, strategy={**CANARY, "watch_s": 0}), "succeeded")
    world.platform.in_flight = {row.pk: 1 for row in Replica.objects.filter(version__number=2)}
    world.tick(5)
    assert Replica.objects.filter(version__number=2).exists()

    world.platform.in_flight = {}
    world.tick(5)

    assert set(Replica.objects.values_list("version__number", flat=True)) == {3}


def test_approval__two_roles__last_one_starts_the_rollout(people):
    world = World(people, rules=[{"role": "reviewer", "count": 1}, {"role": "risk_officer", "count": 1}])
    release = world.request(1)
    assert release.status == "awaiting_approval"
    with world.at():
        with pytest.raises(Forbidden):
            release_decide(actor=people.emma.actor, release=release, decision="approve")
        release_decide(actor=people.rita.actor, release=release, decision="approve")
        release = release_decide(actor=people.oscar.actor, release=release, decision="approve")

    assert release.status == "rolling_out"


def test_approval__artifact_changed_afterwards__does_not_start(people):
    world = World(people, rules=[{"role": "reviewer", "count": 1}])
    release = world.request(1)
    release.version.digest = "sha256:" + "f" * 64
    release.version.save(update_fields=["digest"])
    with world.at(), pytest.raises(Conflict, match="artifacts of tumours version 1 were changed"):
        release_decide(actor=people.rita.actor, release=release, decision="approve")
    world.until(release, "rejected")

    assert "artifacts of tumours version 1 were changed" in release.status_reason
    assert release.approval.status == "void"
    assert not Replica.objects.exists()


def test_approval__rejected__release_rejected(people):
    world = World(people, rules=[{"role": "reviewer", "count": 1}])
    release = world.request(1)
    with world.at():
        release = release_decide(actor=people.rita.actor, release=release, decision="reject", comment="No card.")

    assert release.status == "rejected"


def test_digest__pending__release_waits_then_goes_on(world):
    world.model.versions.filter(number=1).update(digest_status="pending", digest="")
    release = world.request(1)
    assert release.status == "checking"
    assert "digest" in release.status_reason


def test_end__report__has_everything_and_its_hash(world):
    from mlorch_site.lib.hashing import content_hash

    release = world.serve(1)
    document = release.report.document

    assert release.report.digest == content_hash(document)
    assert document["audit"]["last"] > document["audit"]["first"]
    assert {"what", "who", "approval", "gates", "timeline"} <= set(document)
    assert Release.objects.get(pk=release.pk).ended_at is not None
