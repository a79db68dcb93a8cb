"""Who made a version is not what MLflow says: anybody may have written that."""

from registry.approvals.selectors import why_cannot_decide
from registry.models import Version
from tests.deployments.world import World


def test_reviewer__named_as_the_run_s_user__can_still_decide(people):
    world = World(people, rules=[{"role": "reviewer", "count": 1}])
    Version.objects.update(evidence={"run_user": "rita", "requirements": []})
    release = world.request(1)

    assert release.status == "awaiting_approval"
    assert release.approval.excluded == [people.emma.user.pk]
    assert why_cannot_decide(people.rita.actor, release.approval) == ""
