"""A version that is retired or blocked is released no more, and nothing that is used goes unseen."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from deployments.live import on_version_lifecycle
from deployments.models import Release
from deployments.release_defaults import release_defaults
from deployments.services import (
    ReleaseCommand,
    endpoint_rollback,
    release_abort,
    release_decide,
    release_preview,
)
from mlorch_site.lib.errors import Conflict, Forbidden, IllegalTransition, Invalid
from mlorch_site.live.models import Event
from mlorch_site.live.outbox import relay
from mlorch_site.notices.models import Notice
from registry.models import CardRevision, Fact, Finding, LifecycleChange, Version
from registry.services import VersionInUse, card_save, version_act
from registry.version_lifecycle import why_out_of_use
from registry.version_uses import uses_of, uses_seen
from tests.deployments.world import CANARY, GUARDRAILS, World
from tests.support.live import signed_in


def version(number: int) -> Version:
    return Version.objects.select_related("model").get(number=number)


def act(world: World, number: int, what: str, who: str = "mona", reason: str = "because", expects: str = "") -> Version:
    person = getattr(world.people, who).actor
    with world.at():
        return version_act(actor=person, version=version(number), act=what, reason=reason, expects=expects)


def block(world: World, number: int, who: str = "oscar") -> Version:
    """Block a version as whoever has looked where it is used."""
    return act(world, number, "block", who, "it leaks", uses_seen(uses_of(version(number))))


def command(number: int) -> ReleaseCommand:
    return ReleaseCommand(
        model="tumours",
        version=number,
        environment="production",
        endpoint="clinic",
        strategy=CANARY,
        guardrails=GUARDRAILS,
        reason="",
    )


def test_acts__by_the_table__with_reason_history_and_fact(world):
    for what, state in (("deprecate", "deprecated"), ("retire", "retired"), ("restore", "registered")):
        assert act(world, 2, what, "emma").lifecycle == state
    rows = list(LifecycleChange.objects.values_list("act", "old", "new", "reason", "person__username"))

    assert rows[0] == ("restore", "retired", "registered", "because", "emma")
    assert len(rows) == 3
    assert list(Fact.objects.filter(kind="lifecycle").values_list("value", flat=True)) == [
        "deprecated",
        "retired",
        "registered",
    ]
    with pytest.raises(IllegalTransition):
        act(world, 2, "restore", "emma", "once more")
    with pytest.raises(Invalid):
        act(world, 2, "retire", "emma", "  ")
    with pytest.raises(Invalid):
        act(world, 2, "burn", "emma")


def test_act__twice_for_the_same_reason__once(world):
    act(world, 2, "retire")
    act(world, 2, "retire")

    assert LifecycleChange.objects.count() == 1


def test_block__needs_its_role__and_somebody_else_unblocks(world):
    for who in ("vik", "emma", "rita", "max", "noa"):
        with pytest.raises(Forbidden):
            act(world, 2, "block", who)
    act(world, 2, "block", "oscar")
    with pytest.raises(Forbidden, match="somebody else"):
        act(world, 2, "unblock", "oscar")

    assert act(world, 2, "unblock", "mona").lifecycle == "deprecated"


def test_request__out_of_use__is_refused_with_the_reason_and_not_offered(world):
    act(world, 3, "retire", "emma", "superseded by research")
    block(world, 2)
    actor = world.people.emma.actor
    problems = [release_preview(actor=actor, command=command(number)).problems for number in (2, 3)]

    assert "tumours version 2 is blocked" in problems[0]["version"]
    assert problems[0]["version"].endswith("by oscar: it leaks.")
    assert "superseded by research" in problems[1]["version"]
    offered = release_defaults(actor, model="tumours", environment="production")
    assert [number for number, _ in offered.versions] == [1]


def test_preview__deprecated__warns_and_can_be_requested(world):
    world.serve(1)
    act(world, 2, "deprecate", "emma", "3 is better")
    preview = release_preview(actor=world.people.emma.actor, command=command(2))

    assert not preview.problems
    assert "3 is better" in preview.warnings[0]


def test_block__other_version_with_the_same_files__is_out_of_use_too(world):
    Version.objects.filter(number=3).update(digest=version(2).digest)
    block(world, 2)

    assert "has the files of version 2" in why_out_of_use(version(3))


def test_retire__serving_or_being_released__refused_with_where(world):
    world.serve(1)
    with pytest.raises(VersionInUse, match="production/clinic serves it as stable, with 100 %") as refused:
        act(world, 1, "retire")
    assert refused.value.details["uses"][0]["url"] == "/endpoints/production/clinic/"
    world.request(2)
    with pytest.raises(VersionInUse, match="Its release to production/clinic"):
        act(world, 2, "retire")

    assert not LifecycleChange.objects.exists()


def test_block__serving__only_by_who_has_seen_where_and_traffic_goes_on(world):
    world.serve(1)
    with pytest.raises(VersionInUse, match="takes no traffic away by itself"):
        act(world, 1, "block", "oscar", "it leaks")
    block(world, 1)
    world.tick(3)
    page = signed_in("oscar").get(reverse("endpoint", args=["production", "clinic"])).content.decode()

    assert world.weights == {"1": 100}
    assert "It serves here until somebody takes it back" in page
    assert "Blocked" in signed_in("oscar").get(reverse("overview")).content.decode()


@pytest.mark.parametrize("when", ["go_back", "hold", "go_on"])
def test_canary__version_blocked__goes_back_whatever_the_policy_says(world, when):
    world.serve(1)
    release = world.request(2)
    Release.objects.get(pk=release.pk).policy.__class__.objects.update(when_changed_outside=when)
    world.tick(6)
    block(world, 2)
    world.until(release, "rolled_back", most_s=10)

    assert "tumours version 2 is blocked" in release.status_reason
    assert world.weights == {"1": 100}


def test_approval__version_blocked_meanwhile__cannot_be_given_and_the_release_ends(people, data_dir):
    world = World(people, rules=[{"role": "reviewer", "count": 1}])
    release = world.request(1)
    block(world, 1)
    with world.at(), pytest.raises(Conflict, match="It cannot be approved"):
        release_decide(actor=people.rita.actor, release=release, decision="approve")
    with world.at():
        on_version_lifecycle(Event.objects.filter(kind="version.lifecycle").get())
    release.refresh_from_db()

    assert release.status == "rejected"
    assert release.approval.status == "void"


def test_rollback__to_a_blocked_version__refused_and_the_button_says_why(world):
    first = world.serve(1)
    second = world.until(world.request(2), "succeeded")
    assert [use.kind for use in uses_of(first.version)] == ["return"]
    block(world, 1)
    with world.at(), pytest.raises(Conflict, match="Nothing goes back to it"):
        endpoint_rollback(actor=people_of(world, "mona"), endpoint=world.endpoint, expects=str(second.pk), reason="")
    page = signed_in("mona").get(reverse("endpoint", args=["production", "clinic"])).content.decode()

    assert "A rollback would go back to it: tumours version 1 is blocked" in page


def test_rollback__version_before_is_blocked__goes_to_the_newest_earlier_one_that_is_not(world):
    world.serve(1)
    for number in (2, 3):
        newest = world.until(world.request(number, strategy={"kind": "immediate"}), "succeeded")
    block(world, 2)
    with world.at():
        back = endpoint_rollback(
            actor=people_of(world, "mona"), endpoint=world.endpoint, expects=str(newest.pk), reason="it drifts"
        )
    world.until(back, "succeeded")

    assert back.version.number == 1
    assert world.weights == {"1": 100}


def test_rollback__files_are_blocked_under_another_number__passed_over_too(world):
    Version.objects.filter(number=3).update(digest=version(1).digest)
    world.serve(1)
    second = world.until(world.request(2, strategy={"kind": "immediate"}), "succeeded")
    block(world, 3)
    with world.at(), pytest.raises(Conflict, match="has the files of version 3"):
        endpoint_rollback(actor=people_of(world, "mona"), endpoint=world.endpoint, expects=str(second.pk), reason="")


@pytest.mark.parametrize(("serves", "way_out"), [(1, "No earlier version may serve"), (2, "it goes to version 1.")])
def test_automatic_rollback__stable_was_blocked_meanwhile__goes_back_at_once_and_says_so(world, serves, way_out):
    """Whatever serves was seen by whoever blocked it; harm that is measured is ended first."""
    for number in range(1, serves + 1):
        world.until(world.request(number, strategy={"kind": "immediate"}), "succeeded")
    release = world.request(3)
    world.tick(6)
    block(world, serves)
    world.errors = {"3": 0.9}
    world.until(release, "rolled_back")
    with world.at():
        relay()

    assert world.weights == {str(serves): 100}
    assert f"Version {serves} serves again and is blocked" in release.status_reason
    assert way_out in release.status_reason
    assert Finding.objects.get(kind="blocked_serves").summary.startswith("production/clinic: ")
    told = Notice.objects.filter(kind="taken_back", thing=str(release.pk))
    assert set(told.values_list("person__username", flat=True)) == {"ada", "emma", "mona", "oscar"}


def people_of(world: World, name: str):
    return getattr(world.people, name).actor


def test_page__refusal__keeps_what_was_written_and_offers_the_place(world):
    world.serve(1)
    browser, where = signed_in("oscar"), reverse("version-lifecycle", args=["tumours", 1])
    answer = browser.post(where, {"act": "block", "reason": "it leaks badly"})
    page = answer.content.decode()

    assert answer.status_code == 409
    assert "it leaks badly</textarea>" in page
    assert 'href="/endpoints/production/clinic/"' in page
    assert "This needs the role" in signed_in("vik").get(where).content.decode()
    done = browser.post(where, {"act": "block", "reason": "it leaks badly", "expects": answer.context["expects"]})
    assert done.status_code == 303
    version_page = browser.get(reverse("version", args=["tumours", 1])).content.decode()
    assert "it leaks badly" in version_page
    assert "Request a release" not in version_page
    assert "You blocked it, so somebody else" in browser.get(where).content.decode()


def test_rest__lifecycle__told_and_changed(world):
    world.serve(1)
    browser, where = signed_in("oscar"), reverse("api-version-lifecycle", args=["tumours", 1])
    told = browser.get(where).json()
    refused = browser.post(where, {"act": "block", "reason": "it leaks"}, content_type="application/json")

    assert told["uses"][0]["kind"] == "serves"
    assert {row["act"]: bool(row["why_not"]) for row in told["acts"]} == {
        "deprecate": True,
        "retire": True,
        "block": False,
    }
    assert refused.status_code == 409
    assert refused.json()["error"]["details"]["expects"] == told["expects"]
    body = {"act": "block", "reason": "it leaks", "expects": told["expects"]}
    done = browser.post(where, body, content_type="application/json")
    assert (done.status_code, done.json()["lifecycle"]) == (200, "blocked")
    assert browser.post(where, {"act": "burn", "reason": "x"}, content_type="application/json").status_code == 400
    assert browser.get(reverse("api-version", args=["tumours", 1])).json()["lifecycle"] == "blocked"


def test_card__frozen_with_the_release_and_a_later_one_is_told(people, data_dir):
    world = World(people, rules=[{"role": "reviewer", "count": 1}])
    content = {"owner": "team red", "limits": "none known"}
    first = card_save(actor=people.emma.actor, version=version(1), content=content, based_on=0)
    release = world.request(1)
    where, rita = reverse("approval", args=[release.approval.pk]), signed_in("rita")
    before = rita.get(where).content.decode()
    changed = card_save(actor=people.mona.actor, version=version(1), content={"owner": "team blue"}, based_on=1)
    after = rita.get(where).content.decode()

    assert release.plan["card"] == {"revision": 1, "digest": first.digest}
    assert "Intended use missing" in before
    assert "Changed since" not in before
    assert "revision 2" in after
    assert "with another owner, limits." in after.replace("\n", " ")
    with world.at():
        release_decide(actor=people.rita.actor, release=release, decision="approve")
    world.until(release, "succeeded")
    assert release.plan["card"]["digest"] != changed.digest


def test_card__none_or_of_other_files__said_on_the_approval(people, data_dir):
    world = World(people, rules=[{"role": "reviewer", "count": 1}])
    release = world.request(2)
    page = signed_in("rita").get(reverse("approval", args=[release.approval.pk])).content.decode()

    assert "There was no model card when this was requested" in page
    with world.at():
        release_abort(actor=people.emma.actor, release=release)
    card_save(actor=people.emma.actor, version=version(1), content={"owner": "x"}, based_on=0)
    CardRevision.objects.update(files_digest="")
    release = world.request(1)
    page = signed_in("rita").get(reverse("approval", args=[release.approval.pk])).content.decode()
    assert "It was written for other files" in page


def test_model_and_version_pages__many_versions_and_decisions__no_more_queries(world):
    browser = signed_in("mona")
    counts = []
    for size in (2, 30):
        for number in range(4, 4 + size):
            row = {"status": "READY", "created_at": world.now, "updated_at": world.now, "lifecycle": "deprecated"}
            Version.objects.get_or_create(model=world.model, number=number, defaults=row)
            card_save(actor=world.people.emma.actor, version=version(number), content={"owner": "x"}, based_on=0)
        for name in (["model", "tumours"], ["version", "tumours", 4], ["card-revisions", "tumours", 4]):
            browser.get(reverse(name[0], args=name[1:]))
            with CaptureQueriesContext(connection) as seen:
                assert browser.get(reverse(name[0], args=name[1:])).status_code == 200
            counts.append(len(seen))

    assert counts[:3] == counts[3:]
