"""What a person may do, where, through which binding: the page, REST, and the list of people."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from mlorch_site.accounts.access import access_key, access_of, allowances, held_bindings
from mlorch_site.accounts.bindings import role_bind, role_unbind
from mlorch_site.accounts.models import RoleBinding, User
from mlorch_site.accounts.roles import ALLOWED, Action, Role
from mlorch_site.accounts.scopes import OFFERED_MAX
from mlorch_site.accounts.selectors import actor_for_user
from mlorch_site.accounts.services import person_edit, token_create
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib import clock
from registry.models import Environment, Model
from tests.support.live import signed_in

DAY = timedelta(days=1)
STAGING, PRODUCTION = "environment:staging", "environment:production"


@pytest.fixture(autouse=True)
def places(db):
    for position, name in enumerate(("staging", "production")):
        Environment.objects.create(name=name, position=position)
    Model.objects.create(name="tumours", created_at=clock.now(), updated_at=clock.now())


def give(people: Any, person: str, role: Role, scope: str, **changes: Any) -> RoleBinding:
    user = getattr(people, person).user
    return role_bind(actor=people.ada.actor, user=user, role=role, scope=scope, reason="because", **changes)


def text(browser: Client, where: str) -> str:
    answer = browser.get(where)
    assert answer.status_code == 200, where
    return answer.content.decode()


def api(browser: Client, where: str, **body: Any) -> Any:
    return browser.post(f"/api/v1/{where}", body, content_type="application/json")


# Who may look


@pytest.mark.parametrize("who", ["vik", "emma", "rita", "oscar", "mona", "max", "noa"])
def test_access__of_another__to_who_gives_no_roles__is_not_there(people, who):
    browser = signed_in(who)
    other = "vik" if who != "vik" else "emma"
    for name in (other, "nobody"):
        answer = browser.get(reverse("person", args=[name]))
        assert answer.status_code == 404
        assert browser.get(f"/api/v1/people/{name}/access").status_code == 404
    assert browser.get(reverse("people")).status_code == 403
    assert browser.get("/api/v1/people").status_code == 403


@pytest.mark.parametrize("who", ["vik", "ada", "max", "noa"])
def test_access__one_s_own__is_shown_whatever_the_roles(people, who):
    browser = signed_in(who)
    for where in (reverse("access"), reverse("person", args=[who])):
        assert "My access" in text(browser, where)
    for where in ("access", f"people/{who}/access"):
        assert browser.get(f"/api/v1/{where}").json()["username"] == who


def test_access__signed_out__to_the_sign_in(people):
    assert Client().get(reverse("access")).headers["Location"].startswith("/sign-in/")
    assert Client().get("/api/v1/access").status_code == 401


@pytest.mark.parametrize("who", ["vik", "mona", "max", "noa"])
def test_roles__given_extended_or_ended_over_any_door_by_who_may_not__refused(people, who):
    given = give(people, "emma", Role.REVIEWER, STAGING, expires_at=clock.now() + DAY)
    browser = signed_in(who)
    form = {"role": "viewer", "scope": "*", "expires": "never", "reason": "x", "end_reason": "x"}
    for name in ("emma", who):
        pages = [reverse("role-give", args=[name])]
        pages += [reverse(route, args=[name, given.pk]) for route in ("binding", "binding-extend", "binding-end")]
        for where in pages:
            assert browser.post(where, form).status_code == 403
            assert browser.get(where).status_code == 403
        for where in ("bindings", f"bindings/{given.pk}/end", f"bindings/{given.pk}/extend"):
            assert api(browser, f"people/{name}/{where}", role="viewer", scope="*", reason="x").status_code == 403
    assert RoleBinding.objects.filter(ended_at=None).count() == 8


def test_administrator__of_one_environment__gives_no_roles(people):
    RoleBinding.objects.create(user=people.noa.user, role=Role.ADMINISTRATOR, scope=STAGING)
    browser = signed_in("noa")
    assert browser.get(reverse("people")).status_code == 403
    assert browser.get("/api/v1/people").status_code == 403
    assert browser.get(reverse("scopes-found")).status_code == 403
    assert browser.get(reverse("role-give", args=["vik"])).status_code == 404
    answer = api(browser, "people/noa/bindings", role="viewer", scope="*", reason="x", expires_at=None)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


# What is shown


def test_allowances__say_exactly_what_the_actor_may(people):
    """The page and the permission check are never of two minds, for every role in a scope and outside of it."""
    for role in Role:
        user = User.objects.create_user(username=f"only-{role.value}")
        role_bind(actor=people.ada.actor, user=user, role=role, scope=STAGING, reason="because")
        told = {row.action for row in allowances(user, held_bindings(user, clock.now())) if row.through}
        assert told == ALLOWED[role]


def test_access__page__says_role_where_since_by_whom_until_when_and_why(people):
    give(people, "noa", Role.REVIEWER, PRODUCTION, expires_at=clock.now() + 3 * DAY + timedelta(hours=1))
    page = text(signed_in("ada"), reverse("person", args=["noa"]))

    for words in ("Reviewer", "environment production", "ada", "3\xa0days", "because"):
        assert words in page
    assert "given by oneself" not in page


def test_access__not_allowed__names_the_roles_that_would_allow_it(people):
    page = text(signed_in("vik"), reverse("access"))

    assert 'id="act-release-decide"' in page
    assert "Reviewer or Risk officer would allow it." in page
    assert all(action.words in unescape(page) for action in Action)


def test_access__expired_and_ended__are_history_and_allow_nothing(people, monkeypatch):
    end = clock.now() + DAY
    give(people, "noa", Role.REVIEWER, PRODUCTION, expires_at=end)
    role_unbind(actor=people.ada.actor, binding=give(people, "noa", Role.VIEWER, STAGING), reason="left the team")
    monkeypatch.setattr(clock, "now", lambda: end)
    access = access_of(people.noa.actor, people.noa.user)

    assert access["bindings"] == []
    assert [row.state for row in access["past"]] == ["ended", "expired"]
    assert not any(row.through for row in access["allowances"])
    page = text(signed_in("noa"), reverse("access"))
    assert "left the team" in page
    assert 'class="past"' in page


def test_access__given_by_oneself__is_marked(people):
    give(people, "ada", Role.REVIEWER, PRODUCTION)
    assert "given by oneself" in text(signed_in("ada"), reverse("access"))
    own = signed_in("ada").get("/api/v1/access").json()["bindings"]
    assert {row["role"]: row["given_by_oneself"] for row in own} == {"administrator": False, "reviewer": True}


@pytest.mark.parametrize("becomes_of_it", [{"deleted_at": "now"}, {"name": "growths"}])
def test_access__model_deleted_or_renamed_since__says_that_it_leads_nowhere(people, becomes_of_it):
    give(people, "noa", Role.VIEWER, "model:tumours")
    assert "does not exist any more" not in text(signed_in("noa"), reverse("access"))
    Model.objects.update(**{name: clock.now() if value == "now" else value for name, value in becomes_of_it.items()})

    assert "does not exist any more" in text(signed_in("noa"), reverse("access"))


def test_access__switched_off_person__says_so_and_allows_nothing(people):
    person_edit(actor=people.ada.actor, user=people.vik.user, full_name="", active=False, staff=False)
    page = text(signed_in("ada"), reverse("person", args=["vik"]))
    assert "vik is switched off" in page
    access = signed_in("ada").get("/api/v1/people/vik/access").json()
    assert not any(row["allowed"] for row in access["actions"])


def test_approvers__are_the_others_who_may_approve_there(people):
    give(people, "noa", Role.REVIEWER, STAGING)
    give(people, "emma", Role.REVIEWER, STAGING, expires_at=clock.now() + DAY)
    give(people, "vik", Role.RISK_OFFICER, "model:tumours")
    people.oscar.user.is_active = False
    people.oscar.user.save()
    rows = {row.where: [user.username for user, _ in row.people] for row in _approvers(people, "noa")}
    assert rows == {"environment staging": ["emma", "rita"]}
    rows = {row.where: [user.username for user, _ in row.people] for row in _approvers(people, "vik")}
    assert rows["environment production"] == ["rita"]
    assert rows["model tumours"] == ["rita"]


def _approvers(people: Any, name: str) -> Any:
    user = User.objects.get(username=name)
    return access_of(actor_for_user(user), user)["approvers"]


def test_access__sign_ins_and_refusals__are_the_person_s_own(people):
    browser = Client()
    for password in ("wrong", "correct horse battery staple"):
        browser.post("/sign-in/", {"username": "vik", "password": password})
    browser.get(reverse("people"))
    signed_in("max").get(reverse("people"))
    access = access_of(people.vik.actor, people.vik.user)

    assert [row.action for row in access["sign_ins"]] == ["session.begun", "session.refused"]
    assert [(row.actor, row.subject_label) for row in access["refusals"]] == [("vik", "/people/")]
    assert "Administrator" in access["refusals"][0].reason


def test_person__read_by_an_administrator__is_recorded(people):
    signed_in("ada").get(reverse("person", args=["vik"]))
    assert AuditRecord.objects.filter(actor="ada", action="page.read", subject_label="/people/vik/").exists()


# The list


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"q": "MA"}, ["emma", "max"]),
        ({"role": "engineer"}, ["emma", "max"]),
        ({"role": "engineer", "environment": "staging"}, ["emma", "max"]),
        ({"role": "engineer", "environment": "production"}, ["emma"]),
        ({"role": "reviewer", "environment": "production"}, ["noa", "rita"]),
        ({"state": "off"}, ["oscar"]),
        ({"state": "nonsense"}, []),
        ({"role": "nonsense"}, []),
    ],
)
def test_people__filtered__on_the_page_and_over_rest(people, query, names):
    give(people, "noa", Role.REVIEWER, PRODUCTION)
    role_unbind(actor=people.ada.actor, binding=give(people, "vik", Role.REVIEWER, PRODUCTION), reason="over")
    User.objects.filter(username="oscar").update(is_active=False)
    browser = signed_in("ada")

    assert [person.username for person in browser.get(reverse("people"), query).context["page"]] == names
    assert [row["username"] for row in browser.get("/api/v1/people", query).json()["results"]] == names


# Giving, extending, ending


def test_give__by_form__picked_and_given(people):
    browser = signed_in("ada")
    where = reverse("role-give", args=["noa"])
    page = text(browser, where)
    for option in (STAGING, PRODUCTION, "model:tumours", "*"):
        assert f'<option value="{option}">' in page
    assert re.findall(r'<select[^>]*>\s*<option value="([^"]*)"', page) == ["", "", ""]  # nothing is chosen already
    form = {"role": "reviewer", "scope": PRODUCTION, "expires": "7", "reason": "on call"}
    answer = browser.post(where, form)

    assert (answer.status_code, answer.headers["Location"]) == (303, reverse("person", args=["noa"]))
    binding = people.noa.user.bindings.get()
    assert (binding.role, binding.scope, binding.given_by) == ("reviewer", PRODUCTION, people.ada.user)
    assert timedelta(days=6) < binding.expires_at - clock.now() <= 7 * DAY


@pytest.mark.parametrize("field", ["role", "scope", "expires", "reason"])
def test_give__by_form__something_not_chosen__nothing_is_given(people, field):
    """No field has a default: above all not everything, and not for ever."""
    form = {"role": "reviewer", "scope": "*", "expires": "never", "reason": "on call", field: ""}
    answer = signed_in("ada").post(reverse("role-give", args=["noa"]), form)
    assert answer.status_code == 422
    assert not people.noa.user.bindings.exists()
    del form[field]
    assert signed_in("ada").post(reverse("role-give", args=["noa"]), form).status_code == 422
    assert not people.noa.user.bindings.exists()


def test_give__by_form__of_what_does_not_exist__says_so_at_the_field(people):
    form = {"role": "reviewer", "scope": "model:lungs", "expires": "never", "reason": "on call"}
    answer = signed_in("ada").post(reverse("role-give", args=["noa"]), form)
    assert answer.status_code == 422
    assert "There is no model lungs." in answer.context["form"].errors["scope"][0]


def test_give__to_oneself_while_another_can__button_and_server_say_no(people):
    give(people, "mona", Role.ADMINISTRATOR, "*")
    browser = signed_in("ada")
    assert "Ask another administrator: mona" in text(browser, reverse("access"))
    form = {"role": "reviewer", "scope": PRODUCTION, "expires": "never", "reason": "on call"}
    answer = browser.post(reverse("role-give", args=["ada"]), form)
    assert answer.status_code == 422
    assert AuditRecord.objects.filter(actor="ada", action="act.refused").exists()
    body = {"role": "reviewer", "scope": PRODUCTION, "expires_at": None, "reason": "on call"}
    assert api(browser, "people/ada/bindings", **body).status_code == 403


def test_scopes__many_models__are_searched(people):
    now = clock.now()
    Model.objects.bulk_create(
        Model(name=f"model-{number:03}", created_at=now, updated_at=now) for number in range(OFFERED_MAX + 5)
    )
    browser = signed_in("ada")
    assert text(browser, reverse("scopes-found")).count("model:model-") == OFFERED_MAX
    found = text(browser, f"{reverse('scopes-found')}?find=MODEL-20")
    assert "model:model-203" in found
    assert "environment:staging" not in found
    assert '<option value="*">' in found


def test_binding__extended_and_ended_by_form(people):
    given = give(people, "noa", Role.REVIEWER, PRODUCTION, expires_at=clock.now() + DAY)
    browser = signed_in("ada")
    page = text(browser, reverse("binding", args=["noa", given.pk]))
    seen = page.partition('name="extend-seen" value="')[2].partition('"')[0]
    form = {"extend-seen": seen, "extend-expires": "30", "extend-reason": "longer"}
    assert browser.post(reverse("binding-extend", args=["noa", given.pk]), form).status_code == 303
    again = browser.post(reverse("binding-extend", args=["noa", given.pk]), {**form, "extend-expires": "90"})
    assert "Somebody else changed when this binding expires" in again.content.decode()
    assert browser.post(reverse("binding-end", args=["noa", given.pk]), {"end_reason": ""}).status_code == 422
    assert browser.post(reverse("binding-end", args=["noa", given.pk]), {"end_reason": "over"}).status_code == 303

    given.refresh_from_db()
    assert given.expires_at > clock.now() + 29 * DAY
    assert given.end_reason == "over"
    assert "It is over." in text(browser, reverse("binding", args=["noa", given.pk]))


def test_binding__of_another_person__is_not_there(people):
    given = give(people, "noa", Role.REVIEWER, PRODUCTION)
    browser = signed_in("ada")
    assert browser.get(reverse("binding", args=["vik", given.pk])).status_code == 404
    assert api(browser, f"people/vik/bindings/{given.pk}/end", reason="x").status_code == 404


def test_rest__give_extend_end(people):
    browser = signed_in("ada")
    until = (clock.now() + DAY).isoformat()
    body = {"role": "reviewer", "scope": PRODUCTION, "reason": "on call", "expires_at": until}
    made = api(browser, "people/noa/bindings", **body)
    assert made.status_code == 201
    binding = made.json()
    assert (binding["state"], binding["given_by"], binding["reason"]) == ("in force", "ada", "on call")
    road = f"people/noa/bindings/{binding['id']}"
    longer = api(browser, f"{road}/extend", reason="longer", expires_at=None, expected=binding["expires_at"]).json()
    assert longer["expires_at"] is None
    ended = api(browser, f"{road}/end", reason="over").json()
    assert (ended["state"], ended["ended_by"], ended["end_reason"]) == ("ended", "ada", "over")
    assert [row["state"] for row in browser.get("/api/v1/people/noa/bindings").json()] == ["ended"]


@pytest.mark.parametrize("field", ["role", "scope", "reason", "expires_at"])
def test_rest__give__without_a_field__is_invalid(people, field):
    body = {"role": "reviewer", "scope": "*", "reason": "on call", "expires_at": None}
    del body[field]
    answer = api(signed_in("ada"), "people/noa/bindings", **body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid")
    assert not people.noa.user.bindings.exists()


def test_rest__token_that_may_only_read__gives_no_role(people):
    _, secret = token_create(
        actor=people.ada.actor, user=people.ada.user, name="r", scopes=["read"], expires_at=clock.now() + DAY
    )
    browser = Client(headers={"Authorization": f"Bearer {secret}"})
    body = {"role": "viewer", "scope": "*", "reason": "x", "expires_at": None}
    answer = api(browser, "people/noa/bindings", **body)
    assert answer.json()["error"]["message"] == "This token may only read."
    assert browser.get("/api/v1/access").json()["username"] == "ada"


# Why can I not press this?


def test_reason__missing_role__leads_to_the_act_on_one_s_access_page(people):
    page = text(signed_in("vik"), reverse("releases"))
    assert f'<a href="{reverse("access")}#{access_key(Action.RELEASE_REQUEST)}">My access</a>' in page
    assert f'id="{access_key(Action.RELEASE_REQUEST)}"' in text(signed_in("vik"), reverse("access"))


def test_refusal__missing_role__leads_there_too(people):
    page = signed_in("vik").get(reverse("people")).content.decode()
    assert f"{reverse('access')}#{access_key(Action.PEOPLE_MANAGE)}" in page


def test_reason__that_is_no_missing_role__has_no_such_link(people):
    page = signed_in("vik").get("/nothing/").content.decode()
    assert f"{reverse('access')}#" not in page
