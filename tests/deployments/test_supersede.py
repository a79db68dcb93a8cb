"""A request that takes the place of the endpoint's open one: both change together or neither does, and what moves
traffic is not superseded.
"""

import pytest
from django.urls import reverse

from deployments.models import Release
from mlorch_site.accounts.roles import Role
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib.errors import Conflict, DomainError, Forbidden
from registry.models import Policy
from tests.deployments.world import World
from tests.factories import make_person
from tests.support.live import signed_in


@pytest.fixture
def asked(people, data_dir):
    """A world in which every release waits for a reviewer."""
    return World(people, rules=[{"role": "reviewer", "count": 1}])


def test_request__supersedes_what_waits__one_ends_and_the_other_begins(asked):
    first = asked.request(2)
    assert first.status == "awaiting_approval"
    second = asked.request(3, supersedes=str(first.pk))
    first.refresh_from_db()

    assert (first.status, second.status) == ("aborted", "awaiting_approval")
    assert "Superseded by emma's request of version 3" in first.status_reason
    assert first.approval.status == "withdrawn"
    requested = AuditRecord.objects.filter(action="release.requested").order_by("-pk").first()
    assert requested.data["supersedes"] == str(first.pk)


def test_request__supersedes_one_that_ended_meanwhile__goes_on(asked):
    first = asked.request(2)
    second = asked.request(3, supersedes=str(first.pk))

    with pytest.raises(Conflict) as caught:
        asked.request(1, supersedes=str(first.pk))
    assert caught.value.details["release"] == str(second.pk), "another is open by now: it was not what was meant"
    second.refresh_from_db()
    assert second.status == "awaiting_approval"


def test_request__of_somebody_else_without_the_right_to_abort__nothing_changes(asked):
    first = asked.request(2)
    Policy.objects.update(operators={"abort": ["release_manager"]})
    other = make_person("erik", [(Role.ENGINEER, "*")])

    with pytest.raises(Forbidden):
        asked.request(3, actor=other.actor, supersedes=str(first.pk))
    first.refresh_from_db()
    assert first.status == "awaiting_approval"
    assert Release.objects.count() == 1


def test_request__new_one_is_wrong__the_old_one_stays(asked):
    first = asked.request(2)

    with pytest.raises(DomainError):
        asked.request(9, supersedes=str(first.pk))
    first.refresh_from_db()
    assert first.status == "awaiting_approval"


def test_request__what_rolls_out__is_not_superseded(world):
    world.serve(1)
    first = world.request(2)
    world.tick(3)
    first.refresh_from_db()
    assert first.status == "rolling_out"

    with pytest.raises(Conflict, match="cannot be superseded"):
        world.request(3, supersedes=str(first.pk))
    first.refresh_from_db()
    assert (first.status, first.rollout.wish) == ("rolling_out", "")


def test_page__something_waits__offers_to_supersede_it(asked):
    first = asked.request(2)
    form = {"model": "tumours", "version": 3, "environment": "production", "endpoint": "clinic", "kind": "immediate"}
    client = signed_in("emma")
    refused = client.post(reverse("release-new"), form)
    assert refused.status_code == 400
    assert f'value="{first.pk}"' in refused.content.decode()

    answer = client.post(reverse("release-new"), {**form, "supersedes": str(first.pk)})
    first.refresh_from_db()
    assert (answer.status_code, first.status) == (303, "aborted")


def test_page__chosen_requests__are_kept_as_digests(asked):
    form = {"model": "tumours", "version": 2, "environment": "production", "endpoint": "clinic", "kind": "canary"}
    lines = {"weight_0": 10, "bake_0": 5, "target_headers": "X-Tenant: acme, beta\n", "target_units": "patient-7\n\n"}
    client = signed_in("emma")
    wrong = client.post(reverse("release-new"), {**form, **lines, "target_headers": "cookie: a"})
    assert "none with a secret" in wrong.content.decode()

    assert client.post(reverse("release-new"), {**form, **lines}).status_code == 303
    target = Release.objects.get().strategy["target"]
    assert target["headers"] == {"x-tenant": ["acme", "beta"]}
    assert len(target["unit_digests"]) == 1
    again = client.get(reverse("release-new"), {"like": str(Release.objects.get().pk)}).content.decode()
    assert "x-tenant: acme, beta" in again
    assert "kept as digests only" in again
    assert "patient-7" not in again
