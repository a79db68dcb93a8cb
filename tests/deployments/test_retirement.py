"""Endpoints that nobody needs any more: retired with what that breaks in sight, and restored with what was approved."""

import pytest
from django.test import Client

from deployments.models import Endpoint, Replica
from deployments.services import (
    endpoint_restore,
    endpoint_retire,
    gateway_key_create,
    retirement_impact,
    serving_config_revise,
)
from deployments.services.watching import watched
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid
from monitoring.services import RuleWish, alert_rule_add
from registry.models import AliasIntent
from tests.factories import PASSWORD


def retire(world, actor=None, reason="nobody asks it any more"):
    endpoint = world.endpoint
    with world.at():
        return endpoint_retire(
            actor=actor or world.people.mona.actor,
            endpoint=endpoint,
            expects=str(endpoint.stable_release_id or ""),
            reason=reason,
        )


def restore(world):
    with world.at():
        return endpoint_restore(actor=world.people.mona.actor, endpoint=world.endpoint, reason="it is needed after all")


def test_retire__serves_nothing_any_more_and_its_quota_is_free(world):
    world.serve(1)
    retire(world)
    world.tick(30)

    assert world.platform.tables["production"]["endpoints"] == {}
    assert not Replica.objects.exists()
    assert not dict(AliasIntent.objects.exclude(version_number=None).values_list("name", "version_number"))
    assert AuditRecord.objects.filter(action="endpoint.retired").count() == 1


def test_retire__replicas_drain_before_they_stop(world):
    world.serve(1)
    replica = Replica.objects.get()
    world.platform.in_flight = {replica.pk: 1}
    retire(world)
    world.tick(3)
    assert Replica.objects.get().wanted
    world.platform.in_flight = {}
    world.tick(3)
    assert not Replica.objects.filter(wanted=True).exists()


def test_retire__twice__is_one_act(world):
    world.serve(1)
    retire(world)
    retire(world)
    assert AuditRecord.objects.filter(action="endpoint.retired").count() == 1


def test_retire__what_it_would_break__is_told(world):
    world.serve(1)
    world.tick(5)
    with world.at():
        for name, endpoints in (("clinic only", ["clinic"]), ("others", ["ward"]), ("all", ["*"])):
            gateway_key_create(
                actor=world.people.ada.actor, name=name, environments=["*"], endpoints=endpoints, expires_at=None
            )
        impact = retirement_impact(world.endpoint)

    assert impact.keys == ["clinic only", "all"]
    assert impact.requests > 0
    assert impact.last_request_at is not None
    assert impact.replicas == 1


def test_retire__without_a_reason_or_a_right__refused(world):
    world.serve(1)
    with pytest.raises(Invalid, match="Say why"):
        retire(world, reason=" ")
    with pytest.raises(Forbidden):
        retire(world, actor=world.people.emma.actor)


def test_retire__release_open_or_another_version_by_now__conflict(world):
    world.serve(1)
    with world.at(), pytest.raises(Conflict, match="another version than you saw"):
        endpoint_retire(actor=world.people.mona.actor, endpoint=world.endpoint, expects="", reason="so")
    world.request(2)
    with pytest.raises(Conflict, match="release of version 2 is open"):
        retire(world)


def test_release__to_a_retired_endpoint__refused(world):
    world.serve(1)
    retire(world)
    with pytest.raises(Invalid, match="is retired; restore it"):
        world.request(2)


def test_restore__serves_again_what_was_approved(world):
    first = world.serve(1)
    serving_config_revise(actor=world.people.mona.actor, endpoint=world.endpoint, log_share_pct=100)
    retire(world)
    world.tick(30)
    release = restore(world)
    world.until(release, "succeeded")

    assert world.weights == {"1": 100}
    assert (release.digest, release.serving_config_id) == (first.digest, first.serving_config_id)
    assert world.endpoint.retired_at is None
    with pytest.raises(Conflict, match="is not retired"):
        restore(world)


def test_restore__one_that_never_served__takes_releases_again(world):
    world.serve(1)
    Endpoint.objects.create(
        environment=world.environment, name="empty", model=world.model, created_at=world.now, retired_at=world.now
    )
    empty = Endpoint.objects.get(name="empty")
    with world.at():
        assert endpoint_restore(actor=world.people.mona.actor, endpoint=empty) is None
    empty.refresh_from_db()
    assert empty.retired_at is None


def test_pages__retire_and_restore(world):
    world.serve(1)
    client = Client()
    client.login(username="mona", password=PASSWORD)
    with world.at():
        alert_rule_add(
            actor=world.people.mona.actor, place=watched(world.endpoint), wish=RuleWish("absence", over_min=15)
        )
        page = client.get("/endpoints/production/clinic/retire/").content.decode()
        assert "Who would miss it" in page
        sent = client.post(
            "/endpoints/production/clinic/retire/",
            {"expects": str(world.endpoint.stable_release_id), "reason": "nobody asks it"},
        )
        page = client.get(sent["Location"]).content.decode()
        assert "Retired since" in page
        assert "Restore with version 1" in page
        assert "retired" in client.get("/endpoints/?state=retired").content.decode()
        assert "production/clinic" not in client.get("/endpoints/?state=in_use").content.decode()
        answer = client.post("/endpoints/production/clinic/restore/")
        page = client.get(answer["Location"]).content.decode()
    assert answer.status_code == 303
    assert world.endpoint.retired_at is None
    assert "its objectives and alert rules (1) ended when it was retired" in page


def test_api__retire_and_restore(world):
    world.serve(1)
    client = Client()
    client.login(username="mona", password=PASSWORD)
    path, json = "/api/v1/endpoints/production/clinic", {"content_type": "application/json"}
    with world.at():
        stale = client.post(f"{path}/retire", {"expects": None, "reason": "so"}, **json)
        expects = str(world.endpoint.stable_release_id)
        retired = client.post(f"{path}/retire", {"expects": expects, "reason": "so"}, **json)
        restored = client.post(f"{path}/restore", {}, **json)

    assert (stale.status_code, stale.json()["error"]["code"]) == (409, "changed_meanwhile")
    assert retired.json()["retired_at"] is not None
    assert restored.json()["retired_at"] is None
