"""Gates of a release from request to rollout: waiting, waivers, answers that go stale, pages and REST."""

from datetime import timedelta
from typing import Any

import pytest

from deployments import services
from deployments.gate_cases import case_of, gate_input
from deployments.gate_lines import gate_lines
from deployments.models import Release
from deployments.services.checks import release_check
from deployments.services.gates import waiver_for
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid, NotFound
from registry.models import GateResult, Policy, Version, Waiver
from registry.policy_fields import check_policy
from registry.waivers import why_not_holding
from tests.deployments.world import World

RULES = [{"role": "reviewer", "count": 1}]
GATE = "signature_present"


@pytest.fixture
def gated(world: World) -> World:
    """Production asks for a signature, and lets the risk officer waive for five days."""
    policy(world, gates=["version_ready", GATE], waiver_role="risk_officer", waiver_days_max=5, approval_rules=RULES)
    return world


def policy(world: World, **fields: Any) -> None:
    Policy.objects.filter(environment=world.environment).update(**fields)


def row_of(release: Release, gate: str = GATE) -> GateResult:
    return GateResult.objects.get(subject_id=str(release.pk), gate=gate, is_current=True)


def waive(world: World, release: Release, person: Any = None, **changes: Any) -> Waiver:
    given = {"finding": row_of(release).finding, "reason": "A client knows.", "days": 2, **changes}
    with world.at():
        return services.gate_waive(actor=(person or world.people.oscar).actor, release=release, gate=GATE, **given)


def check(world: World, release: Release) -> Release:
    with world.at():
        release_check(release_id=str(release.pk), now=world.now)
    return Release.objects.get(pk=release.pk)


def test_refusing_gate__without_waivers_in_the_policy__rejects_at_once(gated):
    policy(gated, waiver_role="")
    assert gated.request(1).status == "rejected"


def test_refusing_gate__that_can_never_be_waived__rejects_at_once(gated):
    policy(gated, gates=["version_ready", "digest_known", GATE])
    release = gated.request(1)
    Version.objects.filter(number=1).update(digest_status="failed", digest_error="a link")
    release.refresh_from_db()
    with gated.at():
        services.gate_run_again(
            actor=gated.people.emma.actor, release=release, gate="digest_known", reason="look again"
        )
    release = check(gated, release)
    assert (release.status, "a link" in release.status_reason) == ("rejected", True)


def test_refusing_gate__waits_for_a_waiver__and_goes_on_with_it(gated):
    release = gated.request(1)
    assert release.status == "checking"
    assert "Waits for a waiver of the gate signature present by Risk officer" in release.status_reason
    waiver = waive(gated, release)
    release = check(gated, release)
    assert release.status == "awaiting_approval"
    assert (waiver.place, waiver.digest, waiver.role) == ("production/clinic", release.digest, "risk_officer")
    assert AuditRecord.objects.get(action="gate.waived").data["finding"] == waiver.finding
    assert [line.is_waived for line in gate_lines(release, gated.now)] == [False, True]


def test_nobody_waives_in_time__is_rejected(gated):
    release = gated.request(1)
    gated.now += timedelta(days=30)
    assert check(gated, release).status == "rejected"


def test_release_waiting_for_a_waiver__is_told_once(gated):
    release = gated.request(1)
    checked = AuditRecord.objects.filter(action="gates.run").count()
    gated.tick(3)
    assert AuditRecord.objects.filter(action="gates.run").count() == checked
    assert release.events.filter(kind="release.checked").count() <= 1


@pytest.mark.parametrize(("who", "words"), [("rita", "Risk officer"), ("vik", "role"), ("emma", "asked for this")])
def test_waive__by_who_may_not__is_refused(gated, who, words):
    release = gated.request(1)
    with pytest.raises(Forbidden, match=words):
        waive(gated, release, getattr(gated.people, who))
    assert not Waiver.objects.exists()


@pytest.mark.parametrize(
    ("changes", "field"), [({"reason": " "}, "reason"), ({"days": 6}, "days"), ({"days": 0}, "days")]
)
def test_waive__wrong_values__named_at_their_field(gated, changes, field):
    release = gated.request(1)
    with pytest.raises(Invalid) as refused:
        waive(gated, release, **changes)
    assert list(refused.value.details) == [field]


def test_waive__requester_with_the_role__is_refused(gated):
    release = gated.request(1)
    Release.objects.filter(pk=release.pk).update(requester=gated.people.oscar.user)
    release.refresh_from_db()
    with pytest.raises(Forbidden, match="asked for this release"):
        waive(gated, release)


def test_waive__who_made_what_would_be_released__is_refused_and_what_they_gave_does_not_hold(gated):
    release = gated.request(1)
    waiver, case = waive(gated, release), case_of(release)
    plan = {**release.plan, "authors": ["oscar"]}
    Release.objects.filter(pk=release.pk).update(plan=plan)
    release.refresh_from_db()

    assert why_not_holding(waiver, case, gated.now) == ""
    assert "made a part of what would be released" in why_not_holding(waiver, case_of(release), gated.now)
    with pytest.raises(Forbidden, match="You made a part"):
        waive(gated, release)


def test_waive__what_was_read_is_not_what_was_found__is_refused(gated):
    release = gated.request(1)
    with pytest.raises(Conflict, match="something else"):
        waive(gated, release, finding="sha256:other")
    with pytest.raises(NotFound), gated.at():
        services.gate_waive(
            actor=gated.people.oscar.actor, release=release, gate="no_gate", finding="", reason="x", days=1
        )


def test_waiver__covers_this_finding_only__and_a_later_release_of_the_same_files_here(gated):
    release = gated.request(1)
    waive(gated, release)
    with gated.at():
        services.release_abort(actor=gated.people.emma.actor, release=release)
    again = gated.request(1)
    assert again.status == "awaiting_approval"
    with gated.at():
        services.release_abort(actor=gated.people.emma.actor, release=again)
    other = gated.request(2)  # the same words, of other files
    assert other.status == "checking"


def test_waiver__expired_or_withdrawn_before_the_start__ends_the_release(gated):
    release = gated.request(1)
    waiver = waive(gated, release)
    release = check(gated, release)
    with gated.at():
        services.waiver_take_back(
            actor=gated.people.oscar.actor, release=release, waiver=waiver_for(release, waiver.pk), reason="No more."
        )
        services.release_decide(actor=gated.people.rita.actor, release=release, decision="approve")
    gated.tick(6)
    release.refresh_from_db()
    assert (release.status, release.approval.status) == ("rejected", "void")
    assert "no input signature" in release.status_reason
    kept = release.report.document["gates"][1]["waivers"][0]
    assert (kept["given_by"], kept["withdrawn_reason"]) == ("oscar", "No more.")


def test_waiver__giver_who_lost_the_role__does_not_hold(gated):
    release = gated.request(1)
    waive(gated, release)
    gated.people.oscar.user.bindings.all().delete()
    assert check(gated, release).status == "checking"


def test_answer_that_goes_stale__is_given_again_before_the_start(world):
    policy(world, gates=["version_ready", "input_example_present"], approval_rules=RULES)
    Version.objects.filter(number=1).update(evidence={"input_example": [1]})
    release = world.request(1)
    Version.objects.filter(number=1).update(evidence={})
    (_, line) = gate_lines(Release.objects.get(pk=release.pk), world.now)
    assert line.stale == ("evidence",)
    with world.at():
        services.release_decide(actor=world.people.rita.actor, release=release, decision="approve")
    release.refresh_from_db()
    assert "answer again" in release.status_reason
    release = check(world, release)
    world.tick(6)
    release.refresh_from_db()
    # What those who decided had seen was better: they are asked anew.
    assert (release.status, release.approval.status) == ("awaiting_approval", "open")
    assert "input example present" in release.status_reason
    with world.at():
        services.release_decide(actor=world.people.rita.actor, release=release, decision="approve")
    assert world.until(release, "succeeded", most_s=60)


def test_run_again__needs_a_reason_and_a_release_that_has_not_begun(gated):
    release = gated.request(1)
    run = {"actor": gated.people.rita.actor, "release": release, "gate": GATE}
    with gated.at():
        with pytest.raises(Invalid):
            services.gate_run_again(**run, reason="")
        services.gate_run_again(**run, reason="the signature was added")
        with pytest.raises(Conflict, match="not answered"):
            services.gate_run_again(**run, reason="twice")
    Version.objects.filter(number=1).update(signature={"inputs": [{"name": "x", "type": "double"}]})
    release = check(gated, release)
    assert release.status == "awaiting_approval"
    assert [row.outcome for row in GateResult.objects.filter(gate=GATE).order_by("id")] == ["fail", "pass"]
    with gated.at():
        services.release_abort(actor=gated.people.emma.actor, release=release)
        with pytest.raises(Conflict, match="had their say"):
            services.gate_run_again(**{**run, "release": Release.objects.get(pk=release.pk)}, reason="late")


def test_surroundings__of_files_that_served_here__prove_them(world):
    policy(world, gates=["version_ready", "proven_before", "cost_within_quota", "plan_concludes", "objectives_exist"])
    policy(world, gate_parameters={"proven_before": {"environment": "production", "minutes": 0.1, "requests": 10}})
    first = world.request(1, strategy={"kind": "immediate"})
    assert (first.status, "never served" in first.status_reason) == ("rejected", True)
    policy(world, gates=["version_ready"])
    world.serve(1)
    world.tick(30)
    second = world.serve(2)
    policy(world, gates=["version_ready", "proven_before", "cost_within_quota", "plan_concludes", "objectives_exist"])
    third = world.request(1)
    found = {row.gate: row for row in GateResult.objects.filter(subject_id=str(third.pk))}
    assert found["proven_before"].outcome == "pass", found["proven_before"].sentence
    assert found["cost_within_quota"].outcome == "skipped"
    assert found["plan_concludes"].outcome in ("warn", "pass")
    assert found["objectives_exist"].outcome == "warn"
    assert gate_input(third).from_digest == second.digest


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"no_gate": {}}, "is not a gate"),
        ({"proven_before": {"hours": 1}}, "is not a parameter of proven_before"),
        ({"proven_before": {"minutes": -1}}, "minutes of proven_before is a number from 0"),
        ({"proven_before": {"minutes": True}}, "a number"),
        ({"version_ready": {"x": 1}}, "it has none"),
        ({"offline_metrics": {"thresholds": ["accuracy is good"]}}, "not understood"),
        ({"offline_metrics": {"when_lost": ["fail"]}}, "one of pass, warn, fail"),
        ({"offline_metrics": 7}, "a table"),
        ([], "a table"),
    ],
)
def test_policy__parameters_of_gates__are_checked(parameters, words):
    with pytest.raises(Invalid) as refused:
        check_policy({"gate_parameters": parameters})
    assert words in refused.value.details["gate_parameters"]


def test_pages__of_a_gate__say_who_may_and_keep_what_was_written(gated, client):
    release = gated.request(1)
    url = f"/releases/{release.pk}/gates/{GATE}/"
    client.force_login(gated.people.rita.user)
    page = client.get(url).content.decode()
    assert "no input signature" in page
    assert "The policy lets Risk officer waive a gate, which you are not." in page
    assert f'href="{url}"' in client.get(f"/releases/{release.pk}/").content.decode()
    assert client.post(f"{url}run/", {"reason": ""}).status_code == 400
    client.force_login(gated.people.oscar.user)
    with gated.at():
        wrong = client.post(f"{url}waive/", {"finding": row_of(release).finding, "reason": "because", "days": "99"})
        assert (wrong.status_code, b"because" in wrong.content, b"1 to 5 days" in wrong.content) == (400, True, True)
        given = {"finding": row_of(release).finding, "reason": "because", "days": "2"}
        assert client.post(f"{url}waive/", given).status_code == 303
        page = client.get(url).content.decode()
        assert "Withdraw" in page
        waiver = Waiver.objects.get()
        gone = client.post(f"/releases/{release.pk}/waivers/{waiver.pk}/withdraw/", {"reason": "no more"})
        assert gone.status_code == 303
        assert "It was withdrawn by oscar" in client.get(url).content.decode()
        assert client.get(f"/releases/{release.pk}/gates/no_gate/").status_code == 404


def test_rest__gates__run_and_waive(gated, client):
    release = gated.request(1)
    url = f"/api/v1/releases/{release.pk}/gates"
    client.force_login(gated.people.oscar.user)
    _, row = client.get(url).json()
    assert (row["gate"], row["outcome"], row["waivers"]) == (GATE, "fail", [])
    body = {"finding": row["finding"], "reason": "because", "days": 2}
    sent = {"content_type": "application/json"}
    assert client.post(f"{url}/{GATE}/waive", {**body, "days": 40}, **sent).status_code == 400
    with gated.at():
        answer = client.post(f"{url}/{GATE}/waive", body, **sent)
        twice = client.post(f"{url}/{GATE}/waive", body, **sent)
    assert (answer.status_code, twice.status_code, Waiver.objects.count()) == (200, 200, 1)
    waiver = answer.json()[1]["waivers"][0]["id"]
    client.force_login(gated.people.rita.user)
    withdraw = f"/api/v1/releases/{release.pk}/waivers/{waiver}/withdraw"
    assert client.post(withdraw, {"reason": "no"}, **sent).status_code == 403
    assert client.post(f"{url}/{GATE}/run", {"reason": "once more"}, **sent).status_code == 200
    assert client.post(f"{url}/{GATE}/run", {"reason": "once more"}, **sent).status_code == 409
    client.force_login(gated.people.vik.user)
    assert client.post(f"{url}/{GATE}/run", {"reason": "x"}, **sent).status_code == 403
