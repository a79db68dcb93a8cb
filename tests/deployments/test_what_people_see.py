"""What people are shown when they decide, and afterwards: one reason everywhere, the past of the files, times in one
zone.
"""

from datetime import timedelta

import pytest
from django.test import Client

from deployments.biography import biography, taken_back_sentences
from deployments.models import Release
from deployments.services import endpoint_rollback, serving_config_revise
from mlorch_site.accounts.actor import Actor
from monitoring.selectors import summary
from registry.models import GateResult
from registry.services import policy_revise
from tests.deployments.world import GUARDRAILS, World
from tests.factories import PASSWORD


def signed_in(name: str) -> Client:
    client = Client()
    client.login(username=name, password=PASSWORD)
    return client


def page(world, client: Client, path: str) -> str:
    with world.at():
        return " ".join(client.get(path).content.decode().split())


@pytest.fixture
def asked(people):
    """Production with one reviewer, version 1 served, version 2 waiting for approval."""
    world = World(people, rules=[{"role": "reviewer", "count": 1}])
    first = world.request(1, strategy={"kind": "immediate"}, guardrails=[])
    approve(world, first)
    world.until(first, "succeeded")
    return world


def approve(world, release: Release) -> None:
    with world.at():
        signed_in("rita").post(f"/approvals/{release.approval_id}/decide/", {"decision": "approve"})


def test_verdict__after_the_decision__stays_what_decided(world):
    world.serve(1)
    world.errors["2"] = 0.9
    release = world.request(2, guardrails=GUARDRAILS)
    for _ in range(60):
        world.tick()
        release.refresh_from_db()
        if getattr(release, "rollout", None) and release.rollout.phase == "reverting":
            break
    release.rollout.refresh_from_db()
    decided = release.rollout.assessment
    world.errors["2"] = 0.0
    world.until(release, "rolled_back")
    release.rollout.refresh_from_db()

    assert decided["verdict"] == "harmful"
    assert release.rollout.assessment == decided
    assert release.report.document["assessment"] == decided
    assert decided["sentence"] in release.status_reason
    assert "Verdict when it was decided: harmful" in page(world, signed_in("vik"), f"/releases/{release.pk}/")


def test_approval__shows_ticket_serving_config_and_that_i_decided(asked):
    serving_config_revise(actor=asked.people.mona.actor, endpoint=asked.endpoint, log_share_pct=100)
    policy_revise(
        actor=Actor.controller("test"), environment=asked.environment, approval_rules=[{"role": "reviewer", "count": 2}]
    )
    release = asked.request(2, ticket="CHG-4711")
    rita, path = signed_in("rita"), f"/approvals/{release.approval_id}/"
    before = page(asked, rita, path)
    approve(asked, release)
    after = page(asked, rita, path)

    assert "CHG-4711" in before
    assert "log share pct" in before
    assert "They were never released before." in before
    assert "Decide otherwise" not in before
    assert "You decided at" in after
    assert "Decide otherwise" in after


def test_approval__version_deleted_in_mlflow__says_so(asked):
    release = asked.request(2)
    type(release.version).objects.filter(pk=release.version_id).update(status="DELETED")
    assert "was deleted in MLflow. The release cannot be approved" in page(
        asked, signed_in("rita"), f"/approvals/{release.approval_id}/"
    )


def taken_back(world) -> Release:
    """Version 2 was promoted and then rolled back by hand."""
    world.serve(1)
    second = world.until(world.request(2), "succeeded")
    with world.at():
        back = endpoint_rollback(
            actor=world.people.oscar.actor,
            endpoint=world.endpoint,
            expects=str(second.pk),
            reason="the ward complained",
        )
    world.until(back, "succeeded")
    return second


def test_biography__rolled_back_by_hand__is_told_with_the_reason(world):
    second = taken_back(world)
    again = world.request(2)
    [stay] = biography(again, world.people.vik.actor)

    assert (stay.release, stay.why, stay.look.label) == (second, "the ward complained", "Rolled back")
    assert taken_back_sentences(again) == (f"in production on {world.now:%Y-%m-%d}: the ward complained",)
    assert biography(again, world.people.max.actor) == []


@pytest.mark.parametrize(("refuse", "outcome", "status"), [(False, "warn", "approved"), (True, "fail", "rejected")])
def test_gate__taken_back_before__warns_or_refuses_by_policy(world, refuse, outcome, status):
    taken_back(world)
    policy_revise(
        actor=Actor.controller("test"),
        environment=world.environment,
        gates=["not_taken_back"],
        refuse_taken_back=refuse,
    )
    release = world.request(2)
    result = GateResult.objects.get(subject_id=str(release.pk), gate="not_taken_back")

    assert (release.status, result.outcome) == (status, outcome)
    assert "It was taken back once; the last time in production" in result.sentence


def test_rollback__is_told_in_its_own_words(world):
    second = taken_back(world)
    back = Release.objects.get(kind="rollback")
    sentences = list(back.events.values_list("sentence", flat=True))

    assert back.status_reason == "Version 1 serves again."
    assert "All traffic goes back to version 1." in sentences
    assert back.replaces == second


def test_report__times_of_approvals_and_of_the_timeline_are_in_one_zone(asked):
    release = asked.request(2, strategy={"kind": "immediate"}, guardrails=[])
    approve(asked, release)
    asked.until(release, "succeeded")
    client = signed_in("vik")
    with asked.at():
        client.post("/preferences/", {"time_zone": "Asia/Tokyo", "theme": "auto", "shortcuts": "on"})
    shown = page(asked, client, f"/releases/{release.pk}/report/")
    decided = release.approval.decisions.get().at + timedelta(hours=9)

    assert f"{decided:%Y-%m-%d %H:%M:%S}" in shown
    assert "Times are in Asia/Tokyo" in shown


def test_rate__of_a_young_endpoint__is_over_its_life(world):
    world.serve(1)
    world.tick(20)
    with world.at():
        born = world.endpoint.created_at
        total = summary("production", "clinic", minutes=10, born=born)[0]
        lived = (world.now - born).total_seconds()
    assert total.rate == pytest.approx(total.requests / lived)
    assert total.rate > 20


def test_new_release__just_opened__names_what_is_empty_without_alarm(world):
    client = signed_in("emma")
    with world.at():
        shown = client.post("/releases/preview/", {}).content.decode()
        wrong = client.post("/releases/preview/", {"version": "two"}).content.decode()
    assert "Still empty:" in shown
    assert "text-danger" not in shown
    assert "text-danger" in wrong
