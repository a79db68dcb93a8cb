"""What was promoted is watched for a while, and goes back by itself when it turns bad."""

import pytest
from django.urls import reverse

from deployments.models import BakeWatch, Release, Replica
from deployments.services.controls import endpoint_rollback, release_abort
from mlorch_site.accounts.actor import Actor
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib.errors import Invalid
from tests.deployments.world import CANARY, World
from tests.support.live import signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(people) -> World:
    return World(people)


def promoted(world: World, **strategy) -> Release:
    world.serve(1)
    return world.until(world.request(2, strategy={**CANARY, **strategy}), "succeeded")


def test_promoted_release__turns_bad__goes_back_by_itself(world):
    release = promoted(world)
    watch = BakeWatch.objects.get(release=release)
    assert (watch.until - watch.began_at).total_seconds() == 600
    world.errors = {"2": 0.5}
    world.tick(30)
    watch.refresh_from_db()

    back = watch.back
    assert watch.outcome == "taken_back"
    assert (back.status, back.kind, back.version.number) == ("succeeded", "rollback", 1)
    assert (back.replaces_id, world.endpoint.stable_release_id) == (release.pk, back.pk)
    assert "requests failed" in back.reason
    assert back.report is not None
    assert list(release.events.filter(kind="bake_watch.signalled").values_list("actor", flat=True)) == [
        Actor.controller("rollout").name
    ]
    record = AuditRecord.objects.filter(action="endpoint.rolled_back").get()
    assert record.actor == Actor.controller("rollout").name
    page = signed_in("vik").get(reverse("release", args=[release.pk])).content.decode()
    assert "It was taken back by the watch after its promotion." in page
    world.tick(5)
    assert Release.objects.filter(kind="rollback").count() == 1


def test_replaced_version__while_it_is_watched__stays_warm(world):
    world.serve(1)
    world.endpoint.configs.update(keep_previous_s=1)
    world.until(world.request(2), "succeeded")
    world.tick(10)

    assert Replica.objects.filter(version__number=1, wanted=True).exists()


def test_promoted_release__stays_good__is_kept_and_says_what_was_seen(world):
    release = promoted(world, watch_s=20)
    world.tick(5)
    page = signed_in("vik").get(reverse("release", args=[release.pk])).content.decode()
    assert "Watched until" in page
    assert "requests failed" in page

    world.tick(20)

    watch = BakeWatch.objects.get(release=release)
    assert (watch.outcome, watch.due_at, watch.back) == ("kept", None, None)
    assert release.events.filter(kind="bake_watch.kept").exists()


def test_promoted_release__rolled_back_by_hand_meanwhile__the_watch_is_over(world):
    release = promoted(world)
    with world.at():
        endpoint_rollback(
            actor=world.people.mona.actor, endpoint=world.endpoint, expects=str(release.pk), reason="by hand"
        )
    world.errors = {"2": 1.0}
    world.tick(20)

    assert BakeWatch.objects.get(release=release).outcome == "replaced"
    assert Release.objects.filter(kind="rollback").count() == 1


def test_signal__while_another_release_rolls_out__waits_for_its_end(world):
    release = promoted(world)
    following = world.request(3, strategy={**CANARY, "hold": True})
    world.errors = {"2": 0.5}
    world.tick(16)
    watch = BakeWatch.objects.get(release=release)
    assert watch.signalled_at is not None
    following.refresh_from_db()
    assert (following.status, watch.outcome) == ("rolling_out", "")

    with world.at():
        release_abort(actor=world.people.mona.actor, release=following, reason="no longer needed")
    world.tick(10)

    watch.refresh_from_db()
    assert watch.outcome == "taken_back"


@pytest.mark.parametrize("strategy", [{"watch_s": 0}, {}])
def test_nothing_to_watch__first_release_or_not_wished__no_row(world, strategy):
    world.serve(1)
    if strategy:
        world.until(world.request(2, strategy={**CANARY, **strategy}), "succeeded")

    assert not BakeWatch.objects.exists()
    with world.at():
        assert not BakeWatch.objects.filter(due_at__lte=world.now).exists()


@pytest.mark.parametrize("watch_s", [-1, 86_401, True, "600", 1.5])
def test_request__watch_that_is_no_time__is_refused_by_name(world, watch_s):
    world.serve(1)
    with pytest.raises(Invalid) as caught:
        world.request(2, strategy={**CANARY, "watch_s": watch_s})

    assert "strategy.watch_s" in caught.value.details
