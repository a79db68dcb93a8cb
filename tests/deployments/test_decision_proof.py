"""An approval that asks for a fresh proof: asked in between, nothing typed is lost, and it is the very decision."""

from typing import Any

import pytest
from django.urls import reverse

from mlorch_site.accounts.selectors import PROVEN_AT
from mlorch_site.accounts.services import token_create
from mlorch_site.lib import clock
from registry.models import Decision
from tests.deployments.world import World
from tests.factories import PASSWORD
from tests.support.live import signed_in

pytestmark = pytest.mark.usefixtures("data_dir")


@pytest.fixture
def world(people: Any) -> World:
    world = World(people, rules=[{"role": "reviewer", "count": 1}])
    world.environment.policies.update(reauthenticate_minutes=5)
    return world


def test_approval__by_an_old_proof__asks_and_then_is_given(world: World) -> None:
    release = world.request(1)
    address = reverse("approval-decide", args=[release.approval.pk])
    rita = signed_in("rita")
    session = rita.session
    session[PROVEN_AT] = clock.now().timestamp() - 301
    session.save()
    form = {"decision": "approve", "comment": "checked <twice>"}

    asked = rita.post(address, form)
    assert (asked.status_code, "not older than 5 minutes" in asked.content.decode()) == (401, True)
    assert '<input type="hidden" name="comment" value="checked &lt;twice&gt;">' in asked.content.decode()
    assert not Decision.objects.exists()

    given = rita.post(address, {**form, "proof_password": PASSWORD})
    assert given.status_code == 303
    decision = Decision.objects.get()
    assert (decision.kind, decision.comment, decision.proven_by) == ("approve", "checked <twice>", "password")
    assert "proved by password" in rita.get(reverse("approval", args=[release.approval.pk])).content.decode()


def test_approval__by_an_old_token__is_refused_with_the_way_out(world: World) -> None:
    release = world.request(1)
    rita = world.people.rita
    _, secret = token_create(actor=rita.actor, user=rita.user, name="t", scopes=["read", "write"], expires_at=None)
    answer = signed_in("vik").post(
        f"/api/v1/releases/{release.pk}/decisions",
        {"decision": "approve"},
        content_type="application/json",
        headers={"Authorization": f"Bearer {secret}"},
    )
    assert (answer.status_code, "made for it" in answer.json()["error"]["message"]) == (403, True)
