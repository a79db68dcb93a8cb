"""REST: what clients see of releases, endpoints, keys, tokens, audit; and every kind of bad input."""

import pytest
from django.test import Client

from deployments.models import Release
from mlorch_site.accounts.services import token_create
from mlorch_site.audit.verification_runs import verification_carry_out
from tests.deployments.world import CANARY, GUARDRAILS, World

BODY = {
    "model": "tumours",
    "version": 1,
    "environment": "production",
    "endpoint": "clinic",
    "reason": "first",
    "strategy": CANARY,
    "guardrails": GUARDRAILS,
}


def client_of(person, scopes=("read", "write")) -> Client:
    _, secret = token_create(actor=person.actor, user=person.user, name="t", scopes=list(scopes), expires_at=None)
    return Client(headers={"Authorization": f"Bearer {secret}"})


def post(client, path, body=None, **headers):
    return client.post(f"/api/v1{path}", body or {}, content_type="application/json", headers=headers)


@pytest.fixture
def emma(people):
    return client_of(people.emma)


def test_release__requested__201_checking_with_the_whole_shape(world, emma):
    answer = post(emma, "/releases", BODY)

    assert answer.status_code == 201, answer.content
    release = answer.json()
    assert release["status"] == "checking"
    assert {"id", "plan", "plan_hash", "approval", "rollout", "rollback_target", "requester", "url"} <= set(release)
    assert release["version"] == 1
    assert emma.get(f"/api/v1/releases/{release['id']}").json()["id"] == release["id"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"model": "nothing"}, "model"),
        ({"version": 9}, "version"),
        ({"environment": "moon"}, "environment"),
        ({"strategy": {"kind": "wishful"}}, "strategy.kind"),
        ({"strategy": {"kind": "canary", "steps": [{"weight": 101, "bake_s": 1}]}}, "strategy.steps[0].weight"),
        (
            {"strategy": {"kind": "canary", "steps": [{"weight": 50, "bake_s": 1}, {"weight": 50, "bake_s": 1}]}},
            "strategy.steps[1].weight",
        ),
        ({"strategy": {"kind": "canary", "steps": []}}, "strategy.steps"),
        ({"strategy": {"kind": "canary", "steps": [{"weight": 10, "bake_s": 1, "x": 1}]}}, "strategy.steps[0].x"),
        ({"guardrails": []}, "guardrails"),
        ({"guardrails": [{"metric": "error_rate", "margin": 1}]}, "guardrails[0].margin"),
        ({"guardrails": [{"metric": "latency_over_slo", "margin": 0.1, "slo_ms": 0}]}, "guardrails[0].slo_ms"),
        ({"guardrails": GUARDRAILS * 2}, "guardrails[1]"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_release__bad_input__400_names_the_field(people, change, field):
    World(people, guardrails_required=True)
    answer = post(client_of(people.emma), "/releases", {**BODY, **change})

    assert answer.status_code == 400, answer.content
    assert field in answer.json()["error"]["details"]
    assert not Release.objects.exists()


def test_release__version_not_ready__400(world, emma):
    world.model.versions.filter(number=1).update(status="PENDING_REGISTRATION")
    answer = post(emma, "/releases", BODY)

    assert answer.status_code == 400
    assert "not ready" in answer.json()["error"]["message"]


def test_release__busy_endpoint__409_names_the_open_release(world, emma):
    first = post(emma, "/releases", BODY).json()
    answer = post(emma, "/releases", {**BODY, "version": 2})

    assert answer.status_code == 409
    assert answer.json()["error"]["details"]["release"] == first["id"]


@pytest.mark.parametrize(("name", "status"), [("vik", 403), ("noa", 403), ("max", 400), ("rita", 403)])
def test_release__without_the_role__refused(world, people, name, status):
    assert post(client_of(getattr(people, name)), "/releases", BODY).status_code == status


def test_write__same_idempotency_key__one_release_and_other_body_409(world, emma):
    first = post(emma, "/releases", BODY, **{"Idempotency-Key": "k1"})
    again = post(emma, "/releases", BODY, **{"Idempotency-Key": "k1"})
    other = post(emma, "/releases", {**BODY, "version": 2}, **{"Idempotency-Key": "k1"})

    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 409)
    assert first.json()["id"] == again.json()["id"]


def test_controls__walk__status_follows(world, emma):
    world.serve(1)
    release = world.request(2)
    world.tick(6)
    with world.at():
        assert post(emma, f"/releases/{release.pk}/pause").json()["status"] == "paused"
        assert post(emma, f"/releases/{release.pk}/resume").json()["status"] == "rolling_out"
        assert post(emma, f"/releases/{release.pk}/promote", {"reason": "x"}).status_code == 403
        assert post(emma, f"/releases/{release.pk}/abort", {"reason": "no"}).status_code == 200
    world.until(release, "aborted")
    report = emma.get(f"/api/v1/releases/{release.pk}/report").json()

    assert report["document"]["outcome"]["status"] == "aborted"
    assert post(emma, f"/releases/{release.pk}/resume").status_code == 409


def test_endpoint__rollback_and_detail(world, emma):
    world.serve(1)
    expects = {"expects": str(world.endpoint.stable_release_id)}
    refused = post(emma, "/endpoints/production/clinic/rollback", {"reason": "x", **expects})
    detail = emma.get("/api/v1/endpoints/production/clinic").json()
    metrics = emma.get("/api/v1/endpoints/production/clinic/metrics?minutes=5")

    assert refused.status_code == 409
    assert detail["stable_version"] == 1
    assert detail["replicas"][0]["state"] == "ready"
    assert metrics.status_code == 200


def test_lists__filter_by_status_and_environment(world, emma):
    world.serve(1)
    world.request(2)

    assert emma.get("/api/v1/releases?status=succeeded").json()["count"] == 1
    assert emma.get("/api/v1/releases?environment=moon").json()["count"] == 0
    assert emma.get("/api/v1/endpoints").json()["count"] == 1


def test_gateway_key__created__reaches_the_table_and_leaves_it_when_revoked(world, people):
    mona = client_of(people.mona)
    key = post(mona, "/gateway-keys", {"name": "clinic app"}).json()
    world.platform.sync(world.now)
    assert [row["prefix"] for row in world.platform.tables["production"]["keys"]] == [key["prefix"]]

    assert post(mona, f"/gateway-keys/{key['id']}/revoke").status_code == 200

    world.platform.sync(world.now)
    assert world.platform.tables["production"]["keys"] == []


def test_read_token__write__403(world, people):
    answer = post(client_of(people.emma, scopes=["read"]), "/releases", BODY)

    assert answer.status_code == 403
    assert "only read" in answer.json()["error"]["message"]


def test_audit__events_and_verify(world, emma):
    world.serve(1)

    assert emma.get("/api/v1/audit/events?action=release.succeeded").json()["count"] == 1
    assert post(emma, "/audit/verify").json()["state"] == "under way"
    verification_carry_out()
    assert emma.get("/api/v1/audit/verify").json()["holds"] is True


def test_anonymous__401_in_the_one_error_shape(db):
    answer = Client().get("/api/v1/releases")

    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "unauthenticated"


def test_release__of_a_foreign_scope__404(world, people):
    release = world.request(1)

    assert client_of(people.max).get(f"/api/v1/releases/{release.pk}").status_code == 404
