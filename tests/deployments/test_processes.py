"""What gateway and agent say to the site and are answered."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from deployments.models import GatewayState, Replica, ReplicaState, ServingConfig
from deployments.reports.document import document_of
from deployments.routes.acknowledgement import live_gateways, why_unacknowledged
from deployments.tasks import tick
from mlorch_site.accounts.actor import Actor
from mlorch_site.lib import clock
from registry.artifacts import path_of
from registry.services import policy_revise
from tests.support.live import signed_in

TOKEN = "control-token"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(autouse=True)
def _token(settings):
    settings.CONTROL_TOKEN = TOKEN


def sync(body, token=TOKEN):
    client = Client(headers={"Authorization": f"Bearer {token}"})
    return client.post("/internal/v1/agents/a1/sync", body, content_type="application/json")


def test_sync__wrong_token__401(db):
    assert sync({}, token="guess").status_code == 401


def test_sync__malformed__400(db):
    assert sync({"replicas": [{"id": 1}]}).status_code == 400


def test_sync__wanted_replica__goal_names_artifacts(world):
    world.request(1, strategy={"kind": "immediate"})
    with world.at():
        tick()
    goal = sync({"host": "h", "replicas": []}).json()["replicas"]

    assert [row["version"] for row in goal] == ["1"]
    assert goal[0]["artifacts"] == str(path_of(goal[0]["digest"]))
    assert Replica.objects.get().agent == "a1"
    assert sync({"host": "h", "replicas": []}).json()["replicas"] == goal


def test_sync__network_is_granted_and_a_level_demanded__goal_says_both(world):
    world.request(1, strategy={"kind": "immediate"})
    with world.at():
        tick()
    before = sync({"host": "h", "replicas": []}).json()
    ServingConfig.objects.update(network=True)
    policy_revise(actor=Actor.controller("test"), environment=world.environment, sandbox_level_min="full")
    after = sync({"host": "h", "replicas": [], "goal": before["goal"], "wait_s": 0}).json()

    assert (before["replicas"][0]["network"], before["replicas"][0]["sandbox_level_min"]) == (False, "none")
    assert (after["replicas"][0]["network"], after["replicas"][0]["sandbox_level_min"]) == (True, "full")


def test_sync__agent_tells_the_level__kept_shown_and_part_of_the_report(world):
    release = world.serve(1)
    replica = release.endpoint.replicas.first()
    level = "partly: no namespaces (switched off by MLORCH_AGENT_SANDBOX)"
    sync({"host": "h", "sandbox": "full", "replicas": [{"id": replica.pk, "state": "ready", "sandbox": level}]})
    page = signed_in("vik").get(reverse("system")).content.decode()

    assert ReplicaState.objects.get(pk=replica.pk).sandbox == level
    assert "Sandboxes of a1 on h: full." in page
    assert level[:30] in page
    assert document_of(release, release.created_at)["sandboxes"] == [level]


def poll(body):
    return Client(headers=HEADERS).post("/internal/v1/gateways/g1/poll", body, content_type="application/json")


def test_poll__acknowledges__is_not_answered_with_the_same_table(world):
    world.serve(1)
    newest = world.platform.tables["production"]["revision"]
    answer = poll({"boot": "b1", "have": {"production": newest}, "wait_s": 0}).json()

    assert answer["tables"] == []
    assert GatewayState.objects.get(gateway="g1").applied == {"production": newest}


def test_poll__refused_table__is_not_sent_again_and_named_in_the_rollout(world):
    world.serve(1)
    newest = world.platform.tables["production"]["revision"]
    refused = {"production": {"revision": newest, "error": "torn"}}
    answer = poll({"boot": "b1", "have": {"production": newest - 1}, "refused": refused, "wait_s": 0}).json()
    state = GatewayState.objects.get(gateway="g1")

    assert answer["tables"] == []
    assert "refuses" in why_unacknowledged(world.environment, newest, [state])


def test_poll__successor_is_a_peer_of_the_old_process__both_count_until_the_old_one_has_ended(world):
    world.serve(1)
    newest = world.platform.tables["production"]["revision"]

    def unacknowledged() -> str:
        return why_unacknowledged(world.environment, newest, live_gateways(clock.now()))

    poll({"boot": "old", "have": {"production": newest - 1}, "in_flight": {"r-1": 2}, "wait_s": 0})
    poll({"boot": "new", "have": {"production": newest}, "peers": ["old"], "wait_s": 0})
    why, in_flight = unacknowledged(), {gateway.boot: gateway.in_flight for gateway in live_gateways(clock.now())}
    poll({"boot": "old", "have": {"production": newest}, "in_flight": {"r-1": 1}, "wait_s": 0})
    obeyed = unacknowledged()
    poll({"boot": "new", "have": {"production": newest}, "peers": [], "wait_s": 0})

    assert "g1 has routes" in why
    assert (in_flight["old"], in_flight["new"]) == ({"r-1": 2}, {})
    assert obeyed == ""
    assert [state.boot for state in GatewayState.objects.filter(gateway="g1")] == ["new"]


def test_poll__gateway_starts_again_after_a_crash__the_dead_process_holds_nothing_up(world):
    world.serve(1)
    newest = world.platform.tables["production"]["revision"]
    poll({"boot": "dead", "have": {"production": newest - 1}, "in_flight": {"r-1": 2}, "wait_s": 0})
    poll({"boot": "new", "have": {"production": newest}, "wait_s": 0})

    assert why_unacknowledged(world.environment, newest, live_gateways(clock.now())) == ""


def test_poll__process_dies_before_it_takes_over__is_forgotten_once_it_is_silent(world):
    world.serve(1)
    poll({"boot": "old", "have": {}, "wait_s": 0})
    poll({"boot": "new", "have": {}, "peers": ["old"], "wait_s": 0})
    GatewayState.objects.filter(boot="new").update(last_seen_at=clock.now() - timedelta(seconds=60))
    poll({"boot": "old", "have": {}, "wait_s": 0})

    assert [state.boot for state in GatewayState.objects.filter(gateway="g1")] == ["old"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"boot": "b", "have": []},
        {"boot": "b", "have": {"x": "1"}},
        {"boot": "b" * 99},
        {"boot": "b", "peers": "c"},
        {"boot": "b", "peers": [1]},
    ],
)
def test_poll__malformed__400(db, body):
    assert poll(body).status_code == 400
