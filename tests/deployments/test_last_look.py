"""Between approval and start the artifacts in MLflow are looked at once more; a change there voids the approval."""

import pytest

from deployments.models import Release, Replica
from deployments.services import release_decide
from registry.models import Version
from tests.deployments.world import World


@pytest.fixture
def approved(people):
    """A release that was approved, of a version whose artifacts were looked at only before that."""
    world = World(people, rules=[{"role": "reviewer", "count": 1}])
    Version.objects.update(digest_looked_at=world.now)
    release = world.request(1)
    world.tick()
    with world.at():
        release = release_decide(actor=people.rita.actor, release=release, decision="approve")
    return world, release


def test_last_look__not_done_yet__waits_with_the_reason_and_is_ordered(approved):
    _, release = approved
    assert release.status == "approved"
    assert release.status_reason == "Waits for a last look at the artifacts of tumours version 1."
    assert Version.objects.get(number=1).digest_due_at is not None


def test_last_look__nothing_changed__starts(approved):
    world, release = approved
    Version.objects.update(digest_looked_at=world.now, digest_due_at=None)
    assert world.until(release, "rolling_out", most_s=10)


def test_last_look__artifacts_changed__rejected_and_the_approval_void(approved):
    world, release = approved
    Version.objects.filter(number=1).update(digest="sha256:" + "f" * 64, digest_looked_at=world.now)
    world.until(release, "rejected", most_s=10)
    assert "artifacts of tumours version 1 were changed" in release.status_reason
    assert Release.objects.get(pk=release.pk).approval.status == "void"
    assert not Replica.objects.exists()
