"""Who may not decide besides the requester: who wrote the serving config. Who made a version is not what MLflow says:
anybody may have written that.
"""

from deployments.services import release_decide, serving_config_revise
from mlorch_site.accounts.roles import Role
from registry.approvals.selectors import why_cannot_decide
from registry.models import Version
from tests.deployments.test_preview_and_selectors import preview
from tests.deployments.world import World
from tests.factories import make_person


def test_reviewer__named_as_the_run_s_user__can_still_decide(people):
    world = World(people, rules=[{"role": "reviewer", "count": 1}])
    Version.objects.update(evidence={"run_user": "rita", "requirements": []})
    release = world.request(1)

    assert release.status == "awaiting_approval"
    assert release.approval.excluded == [people.emma.user.pk]
    assert why_cannot_decide(people.rita.actor, release.approval) == ""


def test_who_wrote_the_serving_config__that_the_release_would_bring__does_not_decide(people):
    world = World(people, rules=[{"role": "reviewer", "count": 1}])
    writer = make_person("wim", [(Role.RELEASE_MANAGER, "*"), (Role.REVIEWER, "*")])
    first = world.request(1)
    with world.at():
        release_decide(actor=people.rita.actor, release=first, decision="approve")
    world.until(first, "succeeded")
    with world.at():
        serving_config_revise(actor=writer.actor, endpoint=world.endpoint, timeout_ms=500)
        serving_config_revise(actor=people.mona.actor, endpoint=world.endpoint, timeout_ms=600)
    told = preview(world)
    release = world.request(2)

    assert release.approval.excluded == sorted([people.emma.user.pk, people.mona.user.pk, writer.user.pk])
    assert why_cannot_decide(writer.actor, release.approval).startswith("You wrote part of what this is about")
    assert [[person.name for person in rule.people] for rule in told.rules] == [["rita"]]
    with world.at():
        release_decide(actor=people.rita.actor, release=release, decision="approve")
    world.until(release, "succeeded")
    # What serves already was decided on: who wrote it decides on the next version.
    assert world.request(3).approval.excluded == [people.emma.user.pk]
