"""What a policy keeps of files that served: until when, by which revision, and that it goes after that."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.test import override_settings

from deployments.kept_files import files_kept
from deployments.models import Replica
from deployments.services import artifacts_plan
from registry.models import ArtifactSet, Policy, Version
from registry.services import policy_revise
from tests.deployments.test_retention import digest_of, immediate, stored, sweep
from tests.support.live import signed_in

KEPT = timedelta(days=90)


def kept_by_policy(world, days, **more):
    with world.at():
        return policy_revise(
            actor=world.people.ada.actor, environment=world.environment, artifacts_kept_days=days, **more
        )


@pytest.fixture
def served_before(world, settings):
    """Version 1 served and was replaced, and no rollback returns to it."""
    settings.ROLLBACKS_KEPT = 1
    kept_by_policy(world, 90)
    world.serve(1)
    immediate(world, 2)
    world.stopped = world.now
    immediate(world, 3)
    Replica.objects.all().delete()
    return world


def test_policy__keeps_what_served__and_then_it_goes(served_before):
    world = served_before
    Version.objects.filter(number=1).update(lifecycle="retired")
    kept = files_kept(world.now)
    assert set(kept) == {digest_of(1), digest_of(2)}
    assert abs(kept[digest_of(1)].until - KEPT - world.stopped) < timedelta(minutes=2)
    # A later revision shortens nothing, and room is no reason.
    kept_by_policy(world, 0)
    ArtifactSet.objects.update(size_bytes=2 * 1024**3)
    with override_settings(ARTIFACTS_MAX_GIB=1):
        assert sweep(world, after=timedelta(days=89)).gone == []
    with world.at():
        page = signed_in("vik").get("/models/tumours/versions/1/").content.decode()
        assert artifacts_plan(now=world.now).gone == []
        out = StringIO()
        call_command("artifacts_sweep", "--dry-run", stdout=out)
    assert "UTC at least, by revision 2 of production." in page
    assert f"{digest_of(1)} stays until " in out.getvalue()
    gone = sweep(world, after=timedelta(days=2)).gone
    assert digest_of(1) in {one.stored.digest for one in gone}
    assert stored() == {2, 3}
    assert ArtifactSet.objects.get(pk=digest_of(1)).kept_until is None


def test_policy__revisions_while_it_served__the_longest_counts_and_settings_are_the_floor(world, settings):
    settings.ROLLBACKS_KEPT = 1
    world.serve(1)
    kept_by_policy(world, 400)
    world.tick(60)
    kept_by_policy(world, 5)
    immediate(world, 2)
    immediate(world, 3)
    own = kept_by_policy(world, 700, model=world.model)
    kept = files_kept(world.now)
    assert Policy.objects.get(pk=kept[digest_of(1)].policy_id).artifacts_kept_days == 400
    assert kept[digest_of(2)].policy_id != own.pk
    Replica.objects.all().delete()
    assert sweep(world, after=timedelta(days=29)).gone == []


def test_policy__without_a_time__nothing_is_kept_for_it(world):
    world.serve(1)
    immediate(world, 2)
    assert files_kept(world.now) == {}
