"""The inbox, several decisions at once, and what people do on the page of a request: over pages and over REST."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from deployments.models import Release
from deployments.services import ReleaseCommand, release_request
from deployments.services.bulk_decisions import releases_decide
from deployments.services.checks import release_check
from mlorch_site.accounts.absences import absence_say
from mlorch_site.accounts.roles import Role
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Invalid
from registry.approvals.comments import comment_add
from registry.approvals.delegations import delegation_give
from registry.approvals.inbox import inbox, inbox_rows
from registry.models import ApprovalRequest, Delegation, Model, SavedFilter
from tests.deployments.world import World, make_model
from tests.factories import make_person
from tests.support.live import signed_in

pytestmark = pytest.mark.usefixtures("data_dir")
TIERS = ["low", "low", "high", ""]


@pytest.fixture
def desk(people: Any) -> SimpleNamespace:
    """Four requests that wait for a reviewer and a risk officer; the policy lets people decide several at once."""
    world = World(people, rules=[{"role": "reviewer", "count": 1}, {"role": "risk_officer", "count": 1}])
    world.environment.policies.update(bulk_decisions=True)
    requests = []
    for number, tier in enumerate(TIERS):
        model = make_model(f"m{number}", 1)
        Model.objects.filter(pk=model.pk).update(risk_tier=tier)
        command = ReleaseCommand(model.name, 1, "production", f"e{number}", {"kind": "immediate"}, guardrails=[])
        release = release_request(actor=people.emma.actor, command=command)
        release_check(release_id=str(release.pk), now=clock.now())
        release.refresh_from_db()
        requests.append(release.approval)
    return SimpleNamespace(world=world, people=people, requests=requests, rita=signed_in("rita"))


def titles(page: str) -> list[str]:
    return [f"m{n}" for n in range(len(TIERS)) if f">m{n} version 1 to production/e{n}<" in page]


def text(browser: Client, query: str = "") -> str:
    return browser.get(f"{reverse('approvals')}?{query}").content.decode()


def keys(desk: SimpleNamespace, *numbers: int) -> list[str]:
    return [str(desk.requests[number].pk) for number in numbers]


def test_inbox__tabs_filters_and_order(desk):
    assert titles(text(desk.rita)) == ["m0", "m1", "m2", "m3"]
    assert titles(text(desk.rita, "tier=high")) == ["m2"]
    assert titles(text(desk.rita, "tab=open&q=m1")) == ["m1"]
    assert titles(text(desk.rita, "environment=nowhere")) == []
    page = text(desk.rita, "order=tier")
    assert page.index("production/e2") < page.index("production/e0") < page.index("production/e3")
    desk.rita.post(reverse("approval-decide", args=[desk.requests[0].pk]), {"decision": "approve"})
    assert titles(text(desk.rita)) == ["m1", "m2", "m3"]
    assert titles(text(desk.rita, "tab=decided")) == ["m0"]
    assert "rita: approve" in text(desk.rita, "tab=decided")
    assert titles(text(desk.rita, "tab=ended")) == []
    assert desk.rita.get("/approvals/?tab=nonsense&order=nonsense&page=x").status_code == 200


def test_inbox__says_whom_it_waits_for_and_what_ends_soon(desk):
    first = desk.requests[0]
    ApprovalRequest.objects.filter(pk=first.pk).update(expires_at=clock.now() + timedelta(hours=3))
    rows = inbox_rows(desk.people.rita.actor, list(inbox(desk.people.rita.actor, "open").order_by("pk")), clock.now())
    row = next(row for row in rows if row.request.pk == first.pk)
    assert row.awaited == [("Reviewer", ["rita"]), ("Risk officer", ["oscar"])]
    assert (row.is_due_soon, sum(one.is_due_soon for one in rows)) == (True, 1)


def test_bulk__confirmed_list_then_each_by_itself_and_partial_failure_said(desk):
    ids = keys(desk, 0, 1)
    address = reverse("approvals-bulk")
    page = desk.rita.get(address, {"request": ids, "decision": "approve"}).content.decode()
    assert (titles(page), "for yourself" in page) == (["m0", "m1"], True)
    assert page.count("nothing</span>") == 2  # serves these endpoints, beside the version that would
    desk.rita.post(reverse("approval-decide", args=[ids[1]]), {"decision": "reject", "comment": "no"})
    answer = desk.rita.post(address, {"request": ids, "decision": "approve"}).content.decode()
    assert "Approved." in answer
    assert "not decided" in answer
    assert "rejected" in answer
    assert [ApprovalRequest.objects.get(pk=one).decisions.count() for one in ids] == [1, 1]


def test_bulk__any_that_the_frozen_policy_or_its_tier_leaves_out__nothing_is_decided(desk):
    rita = desk.people.rita.actor
    for other, why in ((2, "risk tier high"), (3, "without a risk tier")):
        with pytest.raises(Conflict, match=why):
            releases_decide(actor=rita, ids=keys(desk, 0, other), decision="approve")
    desk.world.environment.policies.update(bulk_decisions=False)
    with pytest.raises(Conflict, match="lets nobody decide on several"):
        releases_decide(actor=rita, ids=keys(desk, 0), decision="approve")
    assert "Chosen ones" not in text(desk.rita)
    assert not any(request.decisions.exists() for request in desk.requests)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"decision": "reject"}, "comment"),
        ({"decision": "request_changes", "comment": "x"}, "decision"),
        ({"decision": "approve", "ids": []}, "requests"),
    ],
)
def test_bulk__wrong_input__at_its_field_and_nothing_lost(desk, given, field):
    values = {"ids": keys(desk, 0), **given}
    with pytest.raises(Invalid) as error:
        releases_decide(actor=desk.people.rita.actor, **values)
    assert list(error.value.details) == [field]
    posted = {"request": values["ids"], "decision": given["decision"], "comment": given.get("comment", "")}
    answer = desk.rita.post(reverse("approvals-bulk"), posted)
    assert answer.status_code == 400


def test_bulk__of_somebody_who_may_not_or_of_what_is_hidden(desk):
    refused = signed_in("vik").get(reverse("approvals-bulk"))
    assert refused.status_code == 403
    results = releases_decide(actor=desk.people.emma.actor, ids=keys(desk, 0), decision="approve")
    assert [(row.is_decided, "role" in row.sentence) for row in results] == [(False, True)]
    stranger = make_person("zoe", [(Role.REVIEWER, "environment:staging")])
    for ids in (keys(desk, 0), ["nonsense"], ["0" * 32]):
        with pytest.raises(Invalid, match="cannot be seen by you"):
            releases_decide(actor=stranger.actor, ids=ids, decision="approve")
    assert desk.rita.get(f"{reverse('approvals-bulk')}?request=nonsense&decision=approve").status_code == 200


def test_saved_filter__kept_replaced_removed__each_for_oneself(desk):
    keep = reverse("saved-filter-keep")
    assert (
        desk.rita.post(keep, {"name": "mine", "query": "tab=open&tier=high"}).headers["Location"].endswith("tier=high")
    )
    desk.rita.post(keep, {"name": "mine", "query": "tier=low"})
    (kept,) = SavedFilter.objects.all()
    assert 'href="?tier=low"' in text(desk.rita)
    remove = reverse("saved-filter-remove", args=[kept.pk])
    assert signed_in("oscar").post(remove).status_code == 404
    assert desk.rita.post(keep, {"name": "x", "query": "//evil\nHeader: 1"}).headers["Location"] == reverse("approvals")
    assert desk.rita.post(keep, {"name": " ", "query": ""}).status_code == 303
    desk.rita.post(remove)
    assert list(SavedFilter.objects.values_list("name", flat=True)) == ["x"]


def test_page__requester__withdraws_and_asks_again_filled_in(desk):
    emma, pk = signed_in("emma"), desk.requests[0].pk
    assert "Withdraw the request" in emma.get(reverse("approval", args=[pk])).content.decode()
    assert "Withdraw the request" not in desk.rita.get(reverse("approval", args=[pk])).content.decode()
    refused = emma.post(reverse("approval-withdraw", args=[pk]), {"reason": ""})
    assert (refused.status_code, 'id="withdraw-problem"' in refused.content.decode()) == (400, True)
    assert desk.rita.post(reverse("approval-withdraw", args=[pk]), {"reason": "x"}).status_code == 403
    emma.post(reverse("approval-withdraw", args=[pk]), {"reason": "a mistake"})
    page = emma.get(reverse("approval", args=[pk])).content.decode()
    release = Release.objects.get(approval=pk)
    assert f"/releases/new/?like={release.pk}" in page
    assert release.status == "aborted"


def test_page__delegated__decides_for_and_takes_back(desk):
    bob = make_person("bob", [(Role.RISK_OFFICER, "*")])
    browser, pk = signed_in("bob"), desk.requests[0].pk
    now = clock.now()
    delegation_give(
        actor=desk.people.rita.actor,
        delegate="bob",
        scopes=["*"],
        starts_at=now,
        ends_at=now + timedelta(days=1),
        reason="away",
    )
    address = reverse("approval", args=[pk])
    today = now.date()
    absence_say(actor=desk.people.rita.actor, first_day=today, last_day=today)
    assert f"rita (absent until {today}; bob may decide for rita)" in desk.rita.get(address).content.decode()
    page = browser.get(address).content.decode()
    assert ('value="rita"' in page, "myself" in page) == (True, True)
    decide = reverse("approval-decide", args=[pk])
    browser.post(decide, {"decision": "approve", "on_behalf_of": "rita", "inbox": "tab=open"})
    page = browser.get(address).content.decode()
    assert ("for rita" in page, "Take it back" in page) == (True, True)
    assert "bob decided for you" in desk.rita.get(address).content.decode()
    assert browser.post(decide, {"decision": "approve", "on_behalf_of": "oscar"}).status_code == 403
    browser.post(decide, {"decision": "take_back"})
    assert "bob for rita: take back" in browser.get(address).content.decode()
    assert bob.user.decisions.count() == 2


def test_page__comments__error_at_its_field_reply_edit_and_hidden_from_strangers(desk):
    pk, emma = desk.requests[0].pk, signed_in("emma")
    say = reverse("approval-comment", args=[pk])
    assert desk.rita.post(say, {"text": "why **so** fast? @emma @nobody"}).status_code == 303
    page = desk.rita.get(reverse("approval", args=[pk])).content.decode()
    assert "<strong>so</strong> fast? <strong>@emma</strong> @nobody" in page
    assert "is called @nobody, so nobody was told" in page
    comment = desk.requests[0].comments.get()
    assert "named you on" in text(emma)
    assert f'name="parent" value="{comment.pk}"' in emma.get(f"/approvals/{pk}/?reply={comment.pk}").content.decode()
    emma.post(say, {"text": "it is not", "parent": comment.pk})
    assert "named you on" not in text(emma)
    refused = emma.post(say, {"text": " ", "parent": comment.pk})
    assert (refused.status_code, 'id="comment-text-problem"' in refused.content.decode()) == (400, True)
    assert f'name="parent" value="{comment.pk}"' in refused.content.decode()
    assert emma.post(say, {"text": "mine now", "edit": comment.pk}).status_code == 403
    desk.rita.post(say, {"text": "why?", "edit": comment.pk})
    assert "what it said before" in desk.rita.get(reverse("approval-thread", args=[pk])).content.decode()
    assert signed_in("max").post(say, {"text": "hello"}).status_code == 404
    assert emma.get(f"/approvals/{pk}/?reply=999999").status_code == 404


def test_page__mention__done_by_hand(desk):
    comment_add(actor=desk.people.emma.actor, request=desk.requests[0], text="@rita please")
    assert "named you on" in text(desk.rita)
    desk.rita.post(reverse("approval-mention-done", args=[desk.requests[0].pk]), {"inbox": "tab=mine"})
    assert "named you on" not in text(desk.rita)


def test_delegations__page__given_shown_and_ended(desk):
    make_person("bob", [(Role.REVIEWER, "*")])
    address = reverse("delegations")
    given = {"delegate": "bob", "scopes": ["environment:production"], "reason": "away"}
    given |= {"starts_at": "2026-01-01T10:00", "ends_at": f"{clock.now() + timedelta(days=5):%Y-%m-%dT%H:%M}"}
    late = desk.rita.post(address, given)
    assert (late.status_code, "92 days at most" in late.content.decode()) == (422, True)
    given["starts_at"] = f"{clock.now():%Y-%m-%dT%H:%M}"
    assert desk.rita.post(address, given).status_code == 303
    assert "<strong>bob</strong> for <strong>rita</strong>" in desk.rita.get(address).content.decode()
    assert "<strong>bob</strong>" not in signed_in("oscar").get(address).content.decode()
    page = signed_in("vik").get(address).content.decode()
    assert 'aria-describedby="why-delegate"' in page
    end = reverse("delegation-end", args=[Delegation.objects.get().pk])
    assert signed_in("oscar").post(end).status_code == 404
    assert signed_in("bob").post(end).status_code == 303
    assert "by bob" in desk.rita.get(address).content.decode()


def api(browser: Client, method: str, path: str, body: Any = None) -> Any:
    return getattr(browser, method)(f"/api/v1/{path}", body, content_type="application/json")


def test_rest__inbox_detail_comments_bulk_delegations_and_filters(desk):
    make_person("bob", [(Role.REVIEWER, "*")])
    pk = keys(desk, 0)[0]
    assert len(desk.rita.get("/api/v1/approvals?tab=mine&tier=low").json()["results"]) == 2
    assert desk.rita.get("/api/v1/approvals?tab=nonsense").status_code == 400
    detail = desk.rita.get(f"/api/v1/approvals/{pk}").json()
    assert (detail["risk_tier"], detail["content"]["gates"]["version_ready"]["outcome"]) == ("low", "pass")
    said = api(desk.rita, "post", f"approvals/{pk}/comments", {"text": "@emma @nobody"})
    assert (said.status_code, said.json()["mentions"], said.json()["unknown_names"]) == (201, ["emma"], ["nobody"])
    number = said.json()["id"]
    assert api(desk.rita, "patch", f"approvals/{pk}/comments/{number}", {"text": "better"}).json()["text"] == "better"
    assert len(desk.rita.get(f"/api/v1/approvals/{pk}/comments").json()["results"]) == 1
    several = api(desk.rita, "post", "approvals/decisions", {"approvals": keys(desk, 0, 1), "decision": "approve"})
    assert [row["decided"] for row in several.json()] == [True, True]
    release = Release.objects.get(approval=pk)
    back = api(desk.rita, "post", f"releases/{release.pk}/decisions", {"decision": "take_back"})
    assert back.json()["approval"]["decisions"][-1]["decision"] == "take_back"
    decisions = desk.rita.get(f"/api/v1/approvals/{pk}").json()["decisions"]
    assert [row["counts"] for row in decisions] == [False, False]
    body = {"delegate": "bob", "scopes": ["*"], "reason": "away", "starts_at": clock.now().isoformat()}
    body["ends_at"] = (clock.now() + timedelta(days=2)).isoformat()
    given = api(desk.rita, "post", "delegations", body)
    assert (given.status_code, given.json()["in_force"]) == (201, True)
    assert api(desk.rita, "post", "delegations", {**body, "delegate": "emma"}).json()["error"]["details"].keys() == {
        "delegate"
    }
    ended = api(desk.rita, "post", f"delegations/{given.json()['id']}/end")
    assert ended.json()["in_force"] is False
    kept = api(desk.rita, "post", "saved-filters", {"name": "low", "query": "tier=low"}).json()
    assert desk.rita.get("/api/v1/saved-filters").json()["results"][0]["query"] == "tier=low"
    assert api(desk.rita, "delete", f"saved-filters/{kept['id']}").status_code == 204
    emma = signed_in("emma")
    withdrawn = api(emma, "post", f"approvals/{pk}/withdraw", {"reason": "a mistake"})
    assert withdrawn.json()["status"] == "withdrawn"
