"""An emergency: begun without approvals, never called one, told to everybody who was skipped, reviewed by another."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.urls import reverse

from deployments.lifecycle import RELEASE_LOOKS, ReleaseStatus
from deployments.models import Endpoint, Release
from deployments.services import endpoint_rollback, release_abort, release_decide, release_pause, release_resume
from deployments.services.checks import release_check
from deployments.services.emergency import release_emergency, why_no_release_emergency
from mlorch_site.accounts.models import User
from mlorch_site.accounts.roles import ALLOWED, Action, Role
from mlorch_site.accounts.selectors import actor_for_user
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib.errors import Conflict, DomainError, Forbidden, Invalid
from mlorch_site.live.outbox import relay
from mlorch_site.notices.models import Notice
from registry.approvals.emergencies import emergency_recheck
from registry.approvals.reviews import review_close, reviews_waiting_for, why_cannot_review
from registry.approvals.services import approval_recheck
from registry.models import ApprovalRequest, Emergency, GateResult, Policy, Version
from registry.policy_fields import POLICY_FIELDS
from registry.protection import loosens
from tests.deployments.world import World
from tests.factories import make_person, take_role
from tests.support.live import signed_in

RULES = [{"role": "reviewer", "count": 1}, {"role": "risk_officer", "count": 1}]


@pytest.fixture
def world(people):
    """Production that serves version 1, wants approvals, and allows emergencies."""
    made = World(people)
    made.serve(1)
    Policy.objects.update(approval_rules=RULES, emergency_allowed=True)
    return made


@pytest.fixture
def waiting(world):
    release = world.request(2)
    assert release.status == "awaiting_approval"
    return release


def use(world, release, person=None, **changes):
    values = {"expects": release.approval.content_hash, "reason": "Wrong doses", "ticket": "INC-7", **changes}
    with world.at():
        return release_emergency(actor=(person or world.people.mona).actor, release=release, **values)


def named(kind):
    return sorted(Notice.objects.filter(kind=kind, settled_at=None).values_list("person__username", flat=True))


def test_emergency__begins_at_once_and_is_recorded_as_what_it_is(world, waiting):
    release = use(world, waiting)

    assert (release.status, release.approval.status) == ("rolling_out", "bypassed")
    used = Emergency.objects.get()
    assert used.skipped == {
        "rules": ["1 Reviewer: nobody so far", "1 Risk officer: nobody so far"],
        "people": ["oscar", "rita"],
    }
    assert [row["gate"] for row in used.evidence] == ["version_ready"]
    acts = list(AuditRecord.objects.values_list("action", flat=True))
    assert {"approval.bypassed", "release.in_emergency"} <= set(acts)
    assert "approval.granted" not in acts
    line = release.events.get(kind="emergency.used")
    assert "INC-7" in line.sentence
    assert RELEASE_LOOKS[ReleaseStatus.IN_EMERGENCY].label == "Emergency"


def test_emergency__everybody_who_was_skipped_is_told_and_a_review_waits_for_others(world, waiting):
    with world.at():
        release_decide(actor=world.people.rita.actor, release=waiting, decision="approve")
    use(world, Release.objects.get(pk=waiting.pk))
    with world.at():
        relay()

    assert named("emergency_used") == ["emma", "oscar", "rita"]
    assert named("review_open") == ["oscar", "rita"]
    assert named("approval_waiting") == named("approval_given") == []


def test_emergency__is_taken_back_by_the_judge_like_every_release(world, waiting):
    world.errors = {"2": 0.9}
    use(world, waiting)
    release = world.until(waiting, "rolled_back")
    with world.at():
        relay()
    assert release.emergency is not None
    assert "emma" in named("taken_back")


@pytest.mark.parametrize(("status", "recheck"), [("bypassed", approval_recheck), ("approved", emergency_recheck)])
def test_recheck__of_the_other_kind__never_holds(world, waiting, status, recheck):
    use(world, waiting)
    request = ApprovalRequest.objects.get(pk=waiting.approval_id)
    request.status = status
    with world.at():
        assert recheck(request, request.content, world.now)


@pytest.mark.parametrize("change", ["no role", "inactive", "digest", "expired", "void"])
def test_emergency_that_waits__is_asked_once_more_when_it_is_to_take_effect(world, waiting, change):
    Release.objects.filter(pk=waiting.pk).update(row_version=5)
    Policy.objects.filter(environment=world.environment).update(replicas_max=0)
    release = use(world, Release.objects.get(pk=waiting.pk))
    assert release.status == "in_emergency"
    assert "has room for 0 replicas" in release.status_reason
    if change == "no role":
        take_role(world.people.ada.actor, world.people.mona.user, Role.RELEASE_MANAGER)
    elif change == "inactive":
        User.objects.filter(username="mona").update(is_active=False)
    elif change == "digest":
        Version.objects.filter(number=2).update(digest="sha256:other")
    elif change == "expired":
        ApprovalRequest.objects.filter(pk=release.approval_id).update(expires_at=world.now)
    else:
        ApprovalRequest.objects.filter(pk=release.approval_id).update(status="void")
    Policy.objects.filter(environment=world.environment).update(replicas_max=20)
    world.tick(2)
    release.refresh_from_db()
    assert release.status == ("expired" if change == "expired" else "rejected")
    assert release.started_at is None


def test_emergency_that_waits__gates_that_go_stale_answer_again_and_ask_nobody_anew(world, waiting):
    Policy.objects.filter(environment=world.environment).update(replicas_max=0)
    use(world, waiting)
    GateResult.objects.filter(subject_id=str(waiting.pk)).update(looked_at={"status": "another"}, finding="other")
    Policy.objects.filter(environment=world.environment).update(replicas_max=20)
    world.tick(2)
    assert Release.objects.get(pk=waiting.pk).status_reason == "Waits for 1 gate: version ready."
    with world.at():
        release_check(release_id=str(waiting.pk), now=world.now)
    world.until(waiting, "succeeded")
    assert ApprovalRequest.objects.get(pk=waiting.approval_id).status == "bypassed"


def test_emergency__restart_while_it_waits__goes_on(world, waiting):
    Policy.objects.filter(environment=world.environment).update(replicas_max=0)
    use(world, waiting)
    Policy.objects.filter(environment=world.environment).update(replicas_max=20)
    world.until(waiting, "succeeded")
    assert Endpoint.objects.get().stable_release_id == waiting.pk


def test_emergency_that_waits__can_be_aborted(world, waiting):
    Policy.objects.filter(environment=world.environment).update(replicas_max=0)
    release = use(world, waiting)
    with world.at():
        assert release_abort(actor=world.people.mona.actor, release=release, reason="no").status == "aborted"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"reason": "  "}, Invalid),
        ({"ticket": ""}, Invalid),
        ({"ticket": "x" * 201}, Invalid),
        ({"expects": "sha256:other"}, Conflict),
    ],
)
def test_emergency__without_what_it_needs__changes_nothing(world, waiting, change, error):
    with pytest.raises(error):
        use(world, waiting, **change)
    assert Emergency.objects.count() == 0
    assert ApprovalRequest.objects.get(pk=waiting.approval_id).status == "open"


def test_emergency__where_the_policy_allows_none__is_refused(world, waiting):
    Policy.objects.update(emergency_allowed=False)
    with pytest.raises(Forbidden, match="production policy 1 does not allow emergencies"):
        use(world, Release.objects.get(pk=waiting.pk))


@pytest.mark.parametrize("who", ["vik", "emma", "rita", "ada", "max", "noa"])
def test_emergency__without_the_permission__is_refused_over_every_door(world, waiting, who):
    with pytest.raises(Forbidden):
        use(world, waiting, getattr(world.people, who))
    browser = signed_in(who)
    body = {"expects": waiting.approval.content_hash, "reason": "x", "ticket": "y"}
    for where in (reverse("release-emergency", args=[waiting.pk]), f"/api/v1/releases/{waiting.pk}/emergency"):
        answer = (
            browser.post(where, {**body, "known": "on"})
            if "api" not in where
            else browser.post(where, body, content_type="application/json")
        )
        assert answer.status_code in (403, 404), where
    assert Emergency.objects.count() == 0


def test_roles__who_writes_policy_cannot_go_past_it():
    assert [role.value for role in Role if Action.RELEASE_EMERGENCY in ALLOWED[role]] == [
        "risk_officer",
        "release_manager",
    ]
    values = {name: field.get_default() for name in POLICY_FIELDS for field in [Policy._meta.get_field(name)]}
    values |= {"protected": True}
    assert loosens(values, values | {"emergency_allowed": True}) == [
        "A release could begin without its approvals, in an emergency."
    ]


@pytest.mark.parametrize("status", ["checking", "rolling_out", "succeeded"])
def test_emergency__of_a_release_that_does_not_wait__says_why(world, waiting, status):
    waiting.status = status
    assert why_no_release_emergency(world.people.mona.actor, waiting)
    Release.objects.filter(pk=waiting.pk).update(status=status)
    with pytest.raises(Conflict):
        use(world, waiting)


def test_emergency__twice_or_after_a_decision__is_a_conflict(world, waiting):
    use(world, waiting)
    with pytest.raises(Conflict):
        use(world, waiting)
    assert Emergency.objects.count() == 1
    with pytest.raises(DomainError), transaction.atomic():
        release_decide(actor=world.people.rita.actor, release=Release.objects.get(pk=waiting.pk), decision="approve")


def test_failed_check__is_never_skipped(world):
    Policy.objects.update(gates=["version_ready", "guardrails_present"])
    release = world.request(2, guardrails=[])
    assert release.status == "rejected"
    assert why_no_release_emergency(world.people.mona.actor, release)


def test_changed_in_mlflow__does_not_begin(world, waiting):
    Version.objects.filter(number=2).update(status="DELETED")
    with pytest.raises(Conflict, match="was deleted in MLflow"):
        use(world, Release.objects.get(pk=waiting.pk))


# The review


def test_review__is_closed_by_somebody_else_with_a_finding(world, waiting):
    use(world, waiting, world.people.oscar)
    used = Emergency.objects.get()
    assert [one.pk for one in reviews_waiting_for(world.people.rita.actor)] == [used.pk]
    for name in ("oscar", "emma", "mona", "ada", "vik"):
        person = getattr(world.people, name).actor
        assert reviews_waiting_for(person) == [], name
        with pytest.raises(Forbidden):
            review_close(actor=person, used=used, finding="fine")
    with pytest.raises(Invalid):
        review_close(actor=world.people.rita.actor, used=used, finding=" ")
    with world.at():
        relay()
        closed = review_close(actor=world.people.rita.actor, used=used, finding="It was one.")
        relay()
    assert (closed.closed_by.username, closed.is_open, named("review_open")) == ("rita", False, [])
    with pytest.raises(Conflict, match="rita has closed"):
        review_close(actor=make_person("rolf", [(Role.REVIEWER, "*")]).actor, used=used, finding="me too")
    assert why_cannot_review(world.people.rita.actor, closed) == "The review is closed."


def test_review__out_of_sight__is_not_there(world, waiting):
    use(world, waiting)
    used = Emergency.objects.get()
    make_person("stella", [(Role.REVIEWER, "environment:staging")])
    browser = signed_in("stella")
    assert browser.get(reverse("review", args=[used.pk])).status_code == 404
    assert browser.get("/api/v1/reviews").json()["count"] == 0
    assert "clinic" not in browser.get(reverse("reviews")).content.decode()


# Seen for ever


def test_badge__on_every_page_of_it_for_ever_also_after_a_rollback_to_it(world, waiting):
    use(world, waiting)
    world.until(waiting, "succeeded")
    later = world.request(3)
    with world.at():
        for person in (world.people.rita, world.people.oscar):
            release_decide(actor=person.actor, release=Release.objects.get(pk=later.pk), decision="approve")
    world.until(later, "succeeded")
    with world.at():
        endpoint = world.endpoint
        endpoint_rollback(
            actor=world.people.mona.actor, endpoint=endpoint, expects=str(endpoint.stable_release_id), reason="worse"
        )
    world.tick(20)
    with world.at():
        relay()
    assert named("taken_back") == ["emma", "oscar", "rita"]
    stable = Endpoint.objects.get().stable_release
    assert (stable.kind, stable.restores_id) == ("rollback", waiting.pk)
    browser = signed_in("vik")
    places = [
        reverse("release", args=[waiting.pk]),
        reverse("release", args=[stable.pk]),
        reverse("release-report", args=[waiting.pk]),
        reverse("endpoint", args=["production", "clinic"]),
        reverse("overview"),
        reverse("releases"),
        reverse("approval", args=[waiting.approval_id]),
    ]
    with world.at():
        for where in places:
            text = browser.get(where).content.decode()
            assert "Emergency" in text, where
            assert "review" in text, where
        past = browser.get(reverse("endpoint-past", args=["production", "clinic"]), {"at": world.now.isoformat()})
        assert "Begun without approvals, in an emergency, by mona: Wrong doses" in past.content.decode()
        api = browser.get("/api/v1/endpoints/production/clinic").json()["emergency"]
        assert (api["used_by"], api["review_is_open"]) == ("mona", True)
        document = browser.get(f"/api/v1/releases/{waiting.pk}/report").json()["document"]["approval"]
        assert (document["status"], document["emergency"]["ticket"]) == ("bypassed", "INC-7")


def test_past__before_it_was_used__says_nothing_of_it(world, waiting):
    before = world.now
    world.now += timedelta(minutes=1)
    use(world, waiting)
    with world.at():
        text = (
            signed_in("vik")
            .get(reverse("endpoint-past", args=["production", "clinic"]), {"at": before.isoformat()})
            .content.decode()
        )
    assert "Wrong doses" not in text


def test_pages__ask_with_what_is_skipped_refuse_at_the_field_and_begin(world, waiting):
    browser, where = signed_in("mona"), reverse("release-emergency", args=[waiting.pk])
    with world.at():
        page = browser.get(where).content.decode()
        assert "1 Reviewer: nobody so far" in page
        assert "oscar, rita" in page
        assert (
            reverse("release-emergency", args=[waiting.pk])
            in browser.get(reverse("release", args=[waiting.pk])).content.decode()
        )
        form = {"reason": "Wrong doses", "ticket": "INC-7", "expects": waiting.approval.content_hash}
        refused = browser.post(where, form)
        assert refused.status_code == 400
        assert "Wrong doses" in refused.content.decode()
        assert browser.post(where, {**form, "known": "on"}).status_code == 303
        used = Emergency.objects.get()
        overview = signed_in("rita").get(reverse("overview")).content.decode()
        assert "it waits for a review" in overview
        review = reverse("review", args=[used.pk])
        assert "You used the emergency, so somebody else has to review it." in browser.get(review).content.decode()
        rita = signed_in("rita")
        assert rita.post(review, {"finding": ""}).status_code == 400
        assert rita.post(review, {"finding": "It was one."}).status_code == 303
        assert "It was one." in rita.get(review).content.decode()


def test_rest__begins_lists_and_closes(world, waiting):
    mona, rita = signed_in("mona"), signed_in("rita")
    expects = Release.objects.get(pk=waiting.pk).approval.content_hash
    body = {"expects": expects, "reason": "Wrong doses", "ticket": "INC-7"}
    with world.at():
        where = f"/api/v1/releases/{waiting.pk}/emergency"
        bad = mona.post(where, {**body, "extra": 1}, content_type="application/json")
        assert list(bad.json()["error"]["details"]) == ["extra"]
        began = mona.post(where, body, content_type="application/json").json()
        assert (began["status"], began["emergency"]["used_by"]) == ("rolling_out", "mona")
        [row] = rita.get("/api/v1/reviews").json()["results"]
        assert (row["closed_at"], row["skipped"]["people"]) == (None, ["oscar", "rita"])
        closed = rita.post(
            f"/api/v1/reviews/{row['id']}/close", {"finding": "It was one."}, content_type="application/json"
        )
        assert closed.json()["closed_by"] == "rita"


def test_held_rollout__waits_for_those_who_can_let_it_go_on_until_it_does(world, waiting):
    use(world, waiting)
    release = Release.objects.get(pk=waiting.pk)
    with world.at():
        release_pause(actor=world.people.mona.actor, release=release, reason="look")
        relay()
        assert {"emma", "ada"} <= set(named("rollout_held"))
        assert not {"mona", "vik", "rita"} & set(named("rollout_held"))
        release_resume(actor=actor_for_user(world.people.emma.user), release=release)
        relay()
    assert named("rollout_held") == []
