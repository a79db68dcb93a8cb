"""Who may not decide besides the requester: who wrote the serving config, and who made the version by MLflow's word,
which keeps from deciding and gives no right.
"""

import pytest

from deployments.services import release_decide, serving_config_revise
from mlorch_site.accounts.models import User
from mlorch_site.accounts.roles import Role
from mlorch_site.accounts.services import person_edit
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Forbidden, Invalid
from registry.approvals.authors import authorship_of, authorship_words
from registry.approvals.electorate import who_may_decide
from registry.approvals.selectors import waiting_for, why_cannot_decide
from registry.backends.fake import FakeBackend
from registry.models import Model, Policy, Version
from registry.services.sync import lease_take, sync_from_backend
from tests.deployments.test_api import client_of, post
from tests.deployments.test_preview_and_selectors import preview
from tests.deployments.world import World
from tests.factories import make_person
from tests.support.live import signed_in

ONE_REVIEWER = [{"role": "reviewer", "count": 1}]


@pytest.mark.parametrize(
    ("claim", "names"),
    [
        ("rita", ["rita"]),
        ("RITA", ["rita"]),
        ("CORP\\Rita", ["rita"]),
        ("Rita.Meyer@Example.com", ["rita"]),
        ("rita.meyer", ["rita"]),
        ("vik@example.com", ["vik"]),
        ("vik@elsewhere.org", ["vik"]),
        ("rita@elsewhere.org", []),
        ("jupyter-7", ["mona"]),
        ("both", ["emma", "mona"]),
        ("root", []),
        ("", []),
        ("@", []),
    ],
)
def test_author__names_of_mlflow__everybody_whom_they_can_mean(people, claim, names):
    User.objects.filter(username="rita").update(email="rita.meyer@example.com")
    User.objects.filter(username="mona").update(mlflow_names="Jupyter-7, both")
    User.objects.filter(username="emma").update(email="both@example.com")
    found = authorship_of([claim])
    assert sorted(User.objects.filter(pk__in=found.people).values_list("username", flat=True)) == names


def test_author__service_account__its_owner_does_not_decide_either(people):
    make_person("nightly", [])
    User.objects.filter(username="nightly").update(owner=people.rita.user)
    assert people.rita.user.pk in authorship_of(["nightly"]).excluded


def test_reviewer__who_made_the_version_by_mlflows_word__may_not_decide_anywhere(people):
    world = World(people, rules=ONE_REVIEWER)
    roy = make_person("roy", [(Role.REVIEWER, "*")])
    Version.objects.update(evidence={"run_user": "rita", "requirements": []})
    told, release = preview(world, version=1), world.request(1)
    request, why = release.approval, "By MLflow's word you made this version, so somebody else has to decide."

    assert [[person.name for person in rule.people] for rule in told.rules] == [["roy"]]
    assert why_cannot_decide(people.rita.actor, request) == why
    assert who_may_decide(request) == {"reviewer": ["roy"]}
    assert not waiting_for(people.rita.actor).exists()
    with world.at():
        with pytest.raises(Forbidden, match="By MLflow's word you made this"):
            release_decide(actor=people.rita.actor, release=release, decision="approve")
        page = signed_in("rita").get(f"/approvals/{request.pk}/").content.decode()
        rest = post(client_of(people.rita), f"/releases/{release.pk}/decisions", {"decision": "approve"})
        seen = client_of(roy).get(f"/api/v1/approvals/{request.pk}").json()
    assert (rest.status_code, rest.json()["error"]["message"]) == (403, why)
    assert seen["authors"] == ["rita"]
    assert "By MLflow&#x27;s word you made this version" in page
    assert "By MLflow&#x27;s word rita made this version: rita here, who may not decide on it" in page
    # What MLflow says later changes nothing of who may decide, also where it is asked anew.
    Version.objects.update(evidence={"run_user": "roy", "requirements": []})
    with world.at():
        assert why_cannot_decide(people.rita.actor, type(request).objects.get(pk=request.pk)) == why
        release_decide(actor=roy.actor, release=release, decision="approve")
    release.refresh_from_db()
    assert release.approval.status == "approved"


@pytest.mark.parametrize("said", ["root", ""])
def test_author__nobody_here__one_more_approval_where_the_policy_asks_for_it(people, said):
    world = World(people, rules=ONE_REVIEWER)
    roy = make_person("roy", [(Role.REVIEWER, "*")])
    Policy.objects.update(when_author_unknown="one_more")
    Version.objects.update(evidence={"run_user": said, "requirements": []})
    told, release = preview(world, version=1), world.request(1)

    assert told.approvers == ["2 Reviewers"]
    assert release.approval.rules == [{"role": "reviewer", "count": 2}]
    assert authorship_words(release.approval).endswith("So one more approval is asked for.")
    with world.at():
        release_decide(actor=people.rita.actor, release=release, decision="approve")
        release.refresh_from_db()
        assert release.status == "awaiting_approval"
        release_decide(actor=roy.actor, release=release, decision="approve")
    release.refresh_from_db()
    assert release.approval.status == "approved"


def test_author__known__the_rules_as_they_are(people):
    world = World(people, rules=ONE_REVIEWER)
    Policy.objects.update(when_author_unknown="one_more")
    Version.objects.update(evidence={"authors": ["emma"], "requirements": []})
    assert world.request(1).approval.rules == ONE_REVIEWER


def test_mirror__a_name_that_was_edited_away__stays_known(people, db):
    FakeBackend.reset()
    number, epoch = FakeBackend.add("m", authors=["rita"]), lease_take(now=clock.now())
    sync_from_backend(FakeBackend(), epoch=epoch, now=clock.now())
    models, versions, files, _ = FakeBackend.snapshot()
    FakeBackend.restore((models, versions, files, {("m", number): {"authors": ["root"]}}))
    FakeBackend.change("m", number, description="edited", updated_at=clock.now())
    sync_from_backend(FakeBackend(), epoch=epoch, now=clock.now())
    assert Model.objects.get().versions.get().evidence["authors"] == ["rita", "root"]


def test_names_in_mlflow__noted_by_an_administrator__with_a_record(people):
    given = {"full_name": "Mona M", "active": True, "staff": False}
    edited = person_edit(actor=people.ada.actor, user=people.mona.user, **given, mlflow_names=" jupyter-7,,a , a")
    assert edited.mlflow_names == "jupyter-7, a"
    assert person_edit(actor=people.ada.actor, user=people.mona.user, **given).mlflow_names == "jupyter-7, a"
    with pytest.raises(Invalid, match="at most 300 characters"):
        person_edit(actor=people.ada.actor, user=people.mona.user, **given, mlflow_names="x" * 301)
    with pytest.raises(Forbidden):
        person_edit(actor=people.emma.actor, user=people.mona.user, **given, mlflow_names="x")


def test_who_wrote_the_serving_config__that_the_release_would_bring__does_not_decide(people):
    world = World(people, rules=[{"role": "reviewer", "count": 1}])
    writer = make_person("wim", [(Role.RELEASE_MANAGER, "*"), (Role.REVIEWER, "*")])
    first = world.request(1)
    with world.at():
        release_decide(actor=people.rita.actor, release=first, decision="approve")
    world.until(first, "succeeded")
    with world.at():
        serving_config_revise(actor=writer.actor, endpoint=world.endpoint, timeout_ms=500)
        serving_config_revise(actor=people.mona.actor, endpoint=world.endpoint, timeout_ms=600)
    told = preview(world)
    release = world.request(2)

    assert release.approval.excluded == sorted([people.emma.user.pk, people.mona.user.pk, writer.user.pk])
    assert why_cannot_decide(writer.actor, release.approval).startswith("You wrote part of what this is about")
    assert [[person.name for person in rule.people] for rule in told.rules] == [["rita"]]
    with world.at():
        release_decide(actor=people.rita.actor, release=release, decision="approve")
    world.until(release, "succeeded")
    # What serves already was decided on: who wrote it decides on the next version.
    assert world.request(3).approval.excluded == [people.emma.user.pk]
