"""Service accounts: owned, never a person, and their tokens; rotation with an overlap."""

from datetime import timedelta

import pytest
from django.test import Client

from mlorch_site.accounts.access_review import access_review_rows
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.bindings import role_bind
from mlorch_site.accounts.models import ApiToken, RoleBinding, User
from mlorch_site.accounts.roles import Action, Role
from mlorch_site.accounts.selectors import actor_for_user, administrators, token_for
from mlorch_site.accounts.service_accounts import (
    service_account_create,
    service_account_for,
    service_account_hand_over,
    service_account_switch,
)
from mlorch_site.accounts.services import person_edit, token_create, token_rotate
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from tests.support.live import signed_in

HOUR = timedelta(hours=1)


@pytest.fixture
def account(people):
    return service_account_create(actor=people.emma.actor, name="ci", purpose="requests releases")


def token(actor: Actor, account: User, *scopes: str) -> tuple[ApiToken, str]:
    return token_create(actor=actor, user=account, name="ci", scopes=list(scopes or ["read", "write"]), expires_at=None)


def rest(secret: str, path: str = "/api/v1/access") -> int:
    return Client().get(path, headers={"Authorization": f"Bearer {secret}"}).status_code


def test_account__is_no_person__and_works_with_its_owner(account, people):
    role_bind(actor=people.ada.actor, user=account, role=Role.ENGINEER, scope="*", reason="releases")
    _, secret = token(people.emma.actor, account)
    assert not account.has_usable_password()
    assert rest(secret) == 200
    User.objects.filter(username="emma").update(is_active=False)
    assert rest(secret) == 401
    assert actor_for_user(User.objects.get(pk=account.pk)).bindings == frozenset()
    User.objects.filter(username="emma").update(is_active=True)
    service_account_switch(actor=people.emma.actor, account=account, active=False, reason="leaked")
    with pytest.raises(Unauthenticated):
        token_for(secret)
    service_account_switch(actor=people.emma.actor, account=account, active=False, reason="leaked")
    assert AuditRecord.objects.filter(action="service_account.switched_off").count() == 1


@pytest.mark.parametrize("role", [Role.REVIEWER, Role.RISK_OFFICER, Role.ADMINISTRATOR])
def test_account__never_does_what_is_for_people__whatever_its_binding(account, people, role):
    with pytest.raises(Invalid, match="only people may do"):
        role_bind(actor=people.ada.actor, user=account, role=role, scope="*", reason="r")
    RoleBinding.objects.create(user=account, role=role, scope="*")  # as if it had slipped in
    actor = actor_for_user(account)
    for action in (Action.RELEASE_DECIDE, Action.PEOPLE_MANAGE, Action.POLICY_EDIT):
        assert not actor.may(action)
        assert "for people" in actor.why_not(action)
    assert not administrators(clock.now()).filter(user=account).exists()
    with pytest.raises(Invalid, match="no password"):
        person_edit(actor=people.ada.actor, user=account, full_name="", active=True, staff=False, password="x" * 20)


def test_account__of_somebody_else__is_hidden_and_not_theirs_to_change(account, people):
    with pytest.raises(NotFound):
        service_account_for(people.max.actor, "ci")
    with pytest.raises(Forbidden):
        token(people.max.actor, account)
    with pytest.raises(Forbidden):
        service_account_switch(actor=people.max.actor, account=account, active=False, reason="r")
    with pytest.raises(Forbidden):
        token(actor_for_user(account), account, "read", "write", "decide")
    with pytest.raises(Forbidden, match="by people"):
        service_account_create(actor=actor_for_user(account), name="child", purpose="p")
    assert signed_in("max").get("/service-accounts/ci/").status_code == 404
    assert signed_in("max").post("/service-accounts/ci/switch/", {"active": "off", "reason": "r"}).status_code == 404


@pytest.mark.parametrize(
    ("name", "purpose", "field"),
    [("CI", "p", "name"), ("ada", "p", "name"), ("a b", "p", "name"), ("ok", " ", "purpose")],
)
def test_create__what_is_wrong_is_said_at_its_field(people, name, purpose, field):
    with pytest.raises(Invalid) as refused:
        service_account_create(actor=people.emma.actor, name=name, purpose=purpose)
    assert field in refused.value.details


def test_owner__changes_by_who_manages_people__once(account, people):
    emma, mona = people.emma.user, people.mona.user
    change = {"account": account, "owner": mona, "expected": emma.pk, "reason": "emma leaves"}
    with pytest.raises(Forbidden):
        service_account_hand_over(actor=people.emma.actor, **change)
    assert service_account_hand_over(actor=people.ada.actor, **change).owner == mona
    with pytest.raises(Conflict):
        service_account_hand_over(actor=people.ada.actor, **{**change, "owner": people.vik.user})
    with pytest.raises(Invalid):
        service_account_hand_over(actor=people.ada.actor, **{**change, "owner": account, "expected": mona.pk})


def test_rotation__both_work_until_the_older_one_ends__once(account, people, monkeypatch):
    role_bind(actor=people.ada.actor, user=account, role=Role.ENGINEER, scope="*", reason="releases")
    old, first = token(people.emma.actor, account)
    new, second = token_rotate(actor=people.emma.actor, token_id=old.pk, overlap=HOUR)
    assert (new.scopes, new.name, new.replaces_id) == (old.scopes, old.name, old.pk)
    assert (rest(first), rest(second)) == (200, 200)
    with pytest.raises(Conflict, match="successor already"):
        token_rotate(actor=people.emma.actor, token_id=old.pk, overlap=HOUR)
    with pytest.raises(NotFound):
        token_rotate(actor=people.max.actor, token_id=new.pk, overlap=HOUR)
    with pytest.raises(Invalid):
        token_rotate(actor=people.emma.actor, token_id=new.pk, overlap=timedelta(days=31))
    with pytest.raises(Forbidden):  # a token makes none that outlives it
        token_rotate(actor=actor_for_user(account, token=new), token_id=new.pk, overlap=HOUR)
    later = clock.now() + 2 * HOUR
    monkeypatch.setattr(clock, "now", lambda: later)
    assert (rest(first), rest(second)) == (401, 200)
    with pytest.raises(Conflict, match="over"):
        token_rotate(actor=people.emma.actor, token_id=old.pk, overlap=HOUR)


def test_pages__make_one__token_shown_once__rotated_and_switched_off(people):
    emma = signed_in("emma")
    wrong = emma.post("/service-accounts/", {"name": "Not Good", "purpose": "p"})
    assert (wrong.status_code, 'value="Not Good"' in wrong.content.decode()) == (422, True)
    assert emma.post("/service-accounts/", {"name": "ci", "purpose": "releases"}).status_code == 303
    made = emma.post(
        "/service-accounts/ci/tokens/", {"name": "runner", "scope": "write", "days": "30"}
    ).content.decode()
    assert "Copy it now" in made
    pk = ApiToken.objects.get(name="runner").pk
    rotated = emma.post(f"/tokens/{pk}/rotate/", {"overlap": "24"}).content.decode()
    assert "ends in a day" in rotated
    assert emma.post(f"/tokens/{pk}/rotate/", {"overlap": "7"}).status_code == 400
    assert "ci" in emma.get("/service-accounts/").content.decode()
    emma.post("/service-accounts/ci/switch/", {"active": "off", "reason": "over"})
    assert "It is switched off." in emma.get("/service-accounts/ci/").content.decode()
    ada = signed_in("ada")
    assert ada.post("/service-accounts/ci/owner/", {"owner": "nobody", "reason": "r", "seen": 1}).status_code == 422
    page = {"owner": "mona", "reason": "leaves", "seen": people.emma.user.pk}
    assert ada.post("/service-accounts/ci/owner/", page).status_code == 303
    assert "service account" in ada.get("/people/").content.decode()


def test_rest__the_same(people):
    emma, ada = signed_in("emma"), signed_in("ada")
    json = {"content_type": "application/json"}
    made = emma.post("/api/v1/service-accounts", {"name": "ci", "purpose": "p"}, **json)
    assert (made.status_code, made.json()["owner"], made.json()["works"]) == (201, "emma", True)
    given = emma.post("/api/v1/service-accounts/ci/tokens", {"name": "t", "scopes": ["read"]}, **json).json()
    rotated = emma.post(f"/api/v1/tokens/{given['id']}/rotate", {"overlap_hours": 0}, **json)
    assert (rotated.status_code, rest(given["token"], "/api/v1/models")) == (201, 401)
    assert emma.post("/api/v1/service-accounts/ci/owner", {}, **json).status_code == 403
    change = {"owner": "mona", "expected": "emma", "reason": "r"}
    assert ada.post("/api/v1/service-accounts/ci/owner", change, **json).json()["owner"] == "mona"
    assert emma.get("/api/v1/service-accounts").json()["results"] == []
    off = ada.post("/api/v1/service-accounts/ci/switch", {"active": False, "reason": "r"}, **json)
    assert off.json()["works"] is False


def test_review__names_service_accounts_sources_and_factors(account, people):
    rows = {row["person"]: row for row in access_review_rows(clock.now())}
    assert (rows["ci"]["kind"], rows["ci"]["owner"], rows["ci"]["state"]) == ("service account", "emma", "no role")
    assert (rows["rita"]["kind"], rows["rita"]["second_factors"], rows["rita"]["sign_on"]) == ("person", "", "")
    RoleBinding.objects.create(user=people.noa.user, role=Role.VIEWER, scope="*", issuer="house")
    noa = next(row for row in access_review_rows(clock.now()) if row["person"] == "noa")
    assert (noa["sign_on"], noa["given_by"]) == ("house", "sign-on house")
