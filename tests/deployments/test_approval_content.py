"""What an approval covers is frozen; a change of any of it voids what was given and is said field by field."""

from typing import Any

import pytest
from django.urls import reverse

from deployments.models import Release, ServingConfig
from deployments.services import release_decide, release_withdraw
from deployments.services.advance import release_look
from deployments.services.approval_content import covered_content, why_not_covered
from mlorch_site.accounts.selectors import actor_for_user
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid
from registry.models import ApprovalRequest, GateResult, Model
from tests.deployments.world import World
from tests.support.live import signed_in

pytestmark = pytest.mark.usefixtures("data_dir")
CANARY_30 = {"kind": "canary", "steps": [{"weight": 30, "bake_s": 10}]}


@pytest.fixture
def world(people: Any) -> World:
    world = World(people, rules=[{"role": "reviewer", "count": 1}, {"role": "risk_officer", "count": 1}])
    rules = world.environment.policies.get().approval_rules
    world.environment.policies.update(approval_rules=[])
    world.serve(1)
    world.environment.policies.update(approval_rules=rules)
    return world


def decide(world: World, release: Release, name: str, decision: str = "approve", comment: str = "") -> Release:
    with world.at():
        actor = actor_for_user(getattr(world.people, name).user)
        return release_decide(actor=actor, release=release, decision=decision, comment=comment)


def change_plan(release: Release) -> str:
    plan = {**release.plan, "steps": [dict(step) for step in release.plan["steps"]]}
    plan["steps"][1]["weight_pct"] = 50
    Release.objects.filter(pk=release.pk).update(plan=plan)
    return "plan: step 2 weight 10 % → 50 %"


def change_config(release: Release) -> str:
    ServingConfig.objects.filter(pk=release.serving_config_id).update(timeout_ms=77)
    return "serving: timeout 10000 ms → 77 ms"


CHANGES = [change_plan, change_config]


@pytest.mark.parametrize("change", CHANGES)
def test_change__between_the_first_and_the_last_approval__voids_and_says_what(world: World, change: Any) -> None:
    release = decide(world, world.request(2), "rita")
    sentence = change(release)
    with pytest.raises(Conflict) as error:
        decide(world, release, "oscar")
    assert sentence in error.value.message
    request = ApprovalRequest.objects.get(pk=release.approval_id)
    release.refresh_from_db()
    assert (request.status, request.changes, release.status) == ("void", [sentence], "rejected")
    assert sentence in release.status_reason
    assert AuditRecord.objects.get(action="approval.voided").data == {"changes": [sentence]}
    assert sentence in signed_in("rita").get(reverse("approval", args=[request.pk])).content.decode()


def test_change__after_the_last_approval__nothing_starts(world: World) -> None:
    release = decide(world, world.request(2), "rita")
    ApprovalRequest.objects.filter(pk=release.approval_id).update(status="approved", ended_at=world.now)
    sentence = change_plan(release)
    with world.at():
        release_look(release_id=str(release.pk), now=world.now)
    release.refresh_from_db()
    assert (release.status, ApprovalRequest.objects.get(pk=release.approval_id).changes) == ("rejected", [sentence])


def test_change__while_nobody_looks__the_tick_voids_it(world: World) -> None:
    release = world.request(2)
    sentence = change_config(release)
    world.until(release, "rejected")
    assert sentence in release.status_reason


def test_same_gate_again_with_the_same_result_and_a_setting_that_came_later__nothing_changed(world: World) -> None:
    release = world.request(2)
    GateResult.objects.filter(subject_id=str(release.pk)).update(duration_ms=99)
    assert why_not_covered(release) == ""
    assert release.approval is not None
    release.approval.content["serving"].pop("network")
    content = covered_content(release, release.approval)
    assert "network" not in content["serving"]
    assert content == release.approval.content


def test_gate__that_found_worse__those_who_decide_are_asked_anew_and_told_what(world: World) -> None:
    release = decide(world, world.request(2), "rita")
    GateResult.objects.filter(subject_id=str(release.pk)).update(outcome="warn", finding="other")
    decide(world, release, "oscar")
    release = Release.objects.select_related("approval").get(pk=release.pk)
    assert release.status == "awaiting_approval"
    assert release.approval is not None
    former = ApprovalRequest.objects.filter(subject_id=str(release.pk)).exclude(pk=release.approval_id).get()
    assert former.status == "void"
    assert "gate version ready outcome: pass → warn" in former.changes
    assert list(release.approval.decisions.all()) == []


def test_request_from_before_contents_were_kept__holds_for_what_its_hash_was_made_of(world: World) -> None:
    release = world.request(2)
    ApprovalRequest.objects.filter(pk=release.approval_id).update(content={}, content_hash=release.content_hash)
    release = Release.objects.select_related("approval").get(pk=release.pk)
    assert why_not_covered(release) == ""
    change_plan(release)
    assert "version, artifacts, plan" in why_not_covered(release)


def test_tier__is_that_of_the_request__whatever_the_model_becomes(world: World) -> None:
    Model.objects.update(risk_tier="low")
    release = world.request(2)
    Model.objects.update(risk_tier="high")
    assert (ApprovalRequest.objects.get(pk=release.approval_id).risk_tier, release.plan["risk_tier"]) == ("low", "low")
    assert why_not_covered(release) == ""


def test_page__of_an_ended_release__compares_with_what_served_then(world: World) -> None:
    release = world.request(2)
    for name in ("rita", "oscar"):
        release = decide(world, release, name)
    world.until(release, "succeeded")
    page = signed_in("rita").get(reverse("approval", args=[release.approval_id])).content.decode()
    assert "From version 1 to version 2" in page
    assert "Served then" in page


def test_withdraw__and_ask_again__the_answer_says_what_changed_since(world: World) -> None:
    emma = world.people.emma.actor
    first = decide(world, world.request(2), "rita", "request_changes", "start with more")
    with pytest.raises(Invalid) as error:
        release_withdraw(actor=emma, release=first, reason=" ")
    assert list(error.value.details) == ["reason"]
    with pytest.raises(Forbidden, match="Only emma"):
        release_withdraw(actor=world.people.mona.actor, release=first, reason="mine")
    for _ in range(2):
        with world.at():
            assert release_withdraw(actor=emma, release=first, reason="will do").status == "aborted"
    old = ApprovalRequest.objects.get(pk=first.approval_id)
    assert (old.status, old.status_reason) == ("withdrawn", "emma: will do")
    second = world.request(2, strategy=CANARY_30)
    assert second.approval is not None
    assert second.approval.answers == old
    page = signed_in("rita").get(reverse("approval", args=[second.approval_id])).content.decode()
    assert "plan: step 2 weight 10 % → 30 %" in page
    again = signed_in("emma").get(reverse("approval", args=[old.pk])).content.decode()
    assert "It was asked again" in again
    with world.at():
        release_withdraw(actor=emma, release=second, reason="once more")
    assert world.request(2).approval.answers is None, "no changes were asked for of the second"  # type: ignore[union-attr]


def test_withdraw__what_does_not_wait__conflict(world: World) -> None:
    release = world.request(2)
    for name in ("rita", "oscar"):
        decide(world, release, name)
    release.refresh_from_db()
    with pytest.raises(Conflict, match="does not wait for approval"):
        release_withdraw(actor=world.people.emma.actor, release=release, reason="too late")


def test_answer__of_somebody_else_s_request__is_none(world: World) -> None:
    first = decide(world, world.request(2), "rita", "request_changes", "more")
    with world.at():
        release_withdraw(actor=world.people.emma.actor, release=first, reason="will do")
    second = world.request(2, actor=world.people.mona.actor)
    assert second.approval is not None
    assert second.approval.answers is None
