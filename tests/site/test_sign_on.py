"""Sign-on against a real OpenID Connect provider: who one is, what groups give, and every token that is not to be
believed.
"""

import json
import time
from datetime import timedelta

import jwt
import pytest
from allauth.socialaccount.models import SocialAccount
from django.core.cache import cache
from django.db import IntegrityError
from django.test import Client

from mlorch_site.accounts.bindings import role_bind
from mlorch_site.accounts.models import PersonSession, SignOnIssuer, User
from mlorch_site.accounts.roles import Role
from mlorch_site.accounts.selectors import PROVEN_AT
from mlorch_site.accounts.services import token_create
from mlorch_site.accounts.sign_on import oidc, services
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib import clock
from mlorch_site.lib.sealing import seal
from tests.conftest import missing
from tests.factories import PASSWORD
from tests.support.identity_provider import SECRET, identity_provider, key_make, node

RULES = [
    {"group": "ml", "role": "reviewer", "scope": "*", "member_of": ""},
    {"group": "ml", "role": "engineer", "scope": "environment:nowhere", "member_of": ""},
    {"group": "risk", "role": "", "scope": "", "member_of": "Risk board"},
]
WHO = {"name": "Sina Sign", "preferred_username": "sina", "email": "sina@example.org", "email_verified": True}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    if node() is None:
        missing("Node")
    with identity_provider(tmp_path_factory.mktemp("provider")) as provider:
        yield provider


@pytest.fixture
def provider(running, people):
    cache.clear()
    running.spoils()
    running.keys(FIRST)
    running.says("42", **WHO, groups=["ml", "unmapped"])
    write(running.url)
    return running


FIRST, SECOND, STRANGER = key_make("first"), key_make("second"), key_make("first")


def write(url: str, **changes: object) -> SignOnIssuer:
    values = {
        "slug": "house",
        "name": "House",
        "url": url,
        "client_id": "mlorch",
        "secret": seal(SECRET),
        "rules": RULES,
    }
    return SignOnIssuer.objects.create(**{**values, **changes})


def roles(user: User) -> list[tuple[str, str]]:
    return sorted(user.bindings.in_force(clock.now()).values_list("role", "issuer"))


def test_first_sign_on__makes_a_person__with_what_their_groups_give_and_nothing_else(provider):
    browser = Client()
    answer = provider.sign_on(browser, next="/approvals/")
    assert (answer.status_code, answer["Location"]) == (303, "/approvals/")
    sina = User.objects.get(username="sina")
    assert (sina.get_full_name(), sina.has_usable_password(), sina.is_staff) == ("Sina Sign", False, False)
    assert roles(sina) == [("reviewer", "house")]
    session = PersonSession.objects.get(user=sina)
    assert (session.proven_by, session.issuer) == ("sign-on house", "house")
    record = AuditRecord.objects.filter(action="role.bound").latest("sequence")
    assert (record.actor_kind, record.actor) == ("controller", "sign-on house")
    page = browser.get("/access/").content.decode()
    assert "sign-on house" in page
    assert browser.get("/approvals/").status_code == 200


def test_groups__what_one_gave_goes_with_it__at_once_on_what_is_open__what_was_given_by_hand_stays(provider, people):
    browser = Client()
    provider.says("42", **WHO, groups=["ml", "risk"])
    provider.sign_on(browser)
    sina = User.objects.get(username="sina")
    role_bind(actor=people.ada.actor, user=sina, role=Role.REVIEWER, scope="*", reason="stands in")
    assert list(sina.groups.values_list("name", flat=True)) == ["Risk board"]
    assert roles(sina) == [("reviewer", ""), ("reviewer", "house")]

    provider.says("42", **WHO, groups="unmapped")
    provider.sign_on(Client())
    assert roles(sina) == [("reviewer", "")]
    assert not sina.groups.exists()
    ended = sina.bindings.get(issuer="house")
    assert (ended.ended_at is not None, "names no group" in ended.end_reason) == (True, True)
    provider.says("42", **WHO)  # not said is in none
    provider.sign_on(Client())
    assert roles(sina) == [("reviewer", "")]


def test_person_without_groups__sees_nothing(provider):
    provider.says("7", preferred_username="../ada <x>", name="\u202eeve")
    browser = Client()
    provider.sign_on(browser)
    person = SocialAccount.objects.get(uid="7").user
    assert (person.username, person.get_full_name()) == ("..adax", "")
    assert browser.get("/").status_code == 403
    assert browser.get("/access/").status_code == 200


def test_first_sign_on__twice_at_once__makes_one_person(provider, monkeypatch):
    """Who comes second finds what the first one made meanwhile: its own attempt is undone, and it looks again."""
    made, tries = services._made, []

    def beaten(*args):
        tries.append(args)
        if len(tries) == 1:
            raise IntegrityError("made meanwhile")
        return made(*args)

    monkeypatch.setattr(services, "_made", beaten)
    assert provider.sign_on(Client()).status_code == 303
    assert (len(tries), SocialAccount.objects.filter(uid="42").count()) == (2, 1)


def test_password__of_a_person_who_has_none__is_not_changed(provider):
    browser = Client()
    provider.sign_on(browser)
    assert browser.get("/password/").status_code == 409


def test_name_of_somebody_else__is_another_person(provider, people):
    provider.says("13", **{**WHO, "preferred_username": "ADA"}, groups=[])
    provider.sign_on(Client())
    assert SocialAccount.objects.get(uid="13").user.username == "ADA-2"


def test_claims_by_userinfo_only__are_the_same(provider):
    provider.write("setup", {**json.loads((provider.folder / "setup.json").read_text()), "conform": True})
    provider.keys(FIRST)
    provider.sign_on(Client())
    assert roles(User.objects.get(username="sina")) == [("reviewer", "house")]


SPOILT = {
    "issuer": {"claims": {"iss": "https://elsewhere.example"}, "key": FIRST},
    "audience": {"claims": {"aud": "another client"}, "key": FIRST},
    "two audiences": {"claims": {"aud": ["mlorch", "other"], "azp": "other"}, "key": FIRST},
    "nonce": {"claims": {"nonce": "of another sign-on"}, "key": FIRST},
    "no nonce": {"claims": {"nonce": None}, "key": FIRST},
    "expired": {"claims": {"exp": int(time.time()) - 100}, "key": FIRST},
    "no subject": {"claims": {"sub": ""}, "key": FIRST},
    "signature": {"key": STRANGER},
    "unknown key": {"header": {"kid": "third"}, "key": STRANGER},
    "no key": {"header": {"kid": None}, "key": FIRST},
    "alg none": {"header": {"alg": "none"}},
    "alg none without kid": {"header": {"alg": "none", "kid": None}},
    "HS256 by the public key": {"header": {"alg": "HS256"}, "secret": json.dumps(FIRST["n"])},
    "HS256 by the client secret": {"header": {"alg": "HS256"}, "secret": SECRET},
}


@pytest.mark.parametrize("what", SPOILT)
def test_token__that_is_not_to_be_believed__signs_nobody_in(provider, what):
    provider.spoils(**SPOILT[what])
    browser = Client()
    answer = provider.sign_on(browser)
    assert (answer.status_code, "Nobody was signed in" in answer.content.decode() or what == "no subject") == (
        400,
        True,
    )
    assert not User.objects.filter(username="sina").exists()
    assert browser.get("/").status_code == 302
    assert AuditRecord.objects.filter(action="session.refused", actor="sign-on house").count() == 1


def test_spoiling__without_a_fault__signs_in(provider):
    """So that what is refused above is refused for what was spoilt."""
    provider.spoils(claims={"extra": 1}, key=FIRST)
    assert provider.sign_on(Client()).status_code == 303


def test_keys__rotated__are_known_at_once__and_one_that_was_taken_away_is_not(provider):
    provider.keys(SECOND, FIRST)
    assert provider.sign_on(Client()).status_code == 303
    provider.keys(SECOND)
    provider.spoils(header={"kid": "first"}, key=FIRST)
    assert provider.sign_on(Client()).status_code == 400


def test_userinfo__about_somebody_else__signs_nobody_in(provider, monkeypatch):
    monkeypatch.setattr(oidc.IssuerClient, "_fetch_user_info", lambda *_: {"sub": "1", "groups": ["ml"]})
    assert provider.sign_on(Client()).status_code == 400


@pytest.mark.parametrize(
    ("links", "verified", "is_joined"),
    [(False, True, False), (True, False, False), (True, None, False), (True, True, True)],
)
def test_address__joins_a_person__only_verified_and_where_the_administrator_says_so(
    provider, people, links, verified, is_joined
):
    SignOnIssuer.objects.update(links_verified_address=links)
    User.objects.filter(username="vik").update(email="Sina@example.org")
    provider.says("42", **{**WHO, "email_verified": verified}, groups=[])
    provider.sign_on(Client())
    assert (SocialAccount.objects.get(uid="42").user.username == "vik") is is_joined
    assert User.objects.filter(email__iexact="sina@example.org").count() == 1


def test_address__of_two_people_or_of_a_person_with_another_subject__joins_nobody(provider, people):
    SignOnIssuer.objects.update(links_verified_address=True)
    User.objects.filter(username__in=["vik", "rita"]).update(email="sina@example.org")
    provider.sign_on(Client())
    assert SocialAccount.objects.get(uid="42").user.username == "sina"


def test_subject__of_another_issuer__is_another_person(provider):
    provider.sign_on(Client())
    SocialAccount.objects.filter(uid="42").update(provider="https://elsewhere.example")
    provider.sign_on(Client())
    assert User.objects.filter(username__startswith="sina").count() == 2


def test_answer__counts_once_and_in_the_browser_that_asked(provider):
    browser, other = Client(), Client()
    page = browser.post("/sign-on/house/").content.decode()
    back = provider.walk(page)
    assert other.get(back).status_code == 400
    assert browser.get(back).status_code == 303
    assert browser.get(back).status_code == 400
    assert other.get("/sign-on/house/back/?code=x&state=y").status_code == 400
    assert browser.get("/sign-on/house/").status_code == 405


def test_broken_off_there__and_switched_off_here(provider):
    provider.write("people", {"nobody": True})
    refused = provider.sign_on(Client())
    assert "It was broken off." in refused.content.decode()
    provider.says("42", **WHO, groups=["ml"])
    provider.sign_on(Client())
    User.objects.filter(username="sina").update(is_active=False)
    browser = Client()
    assert provider.sign_on(browser).status_code == 403
    assert browser.get("/").status_code == 302


def test_issuer__that_calls_itself_otherwise_or_is_away_or_off(provider):
    SignOnIssuer.objects.update(url=f"{provider.url}/")
    answer = Client().post("/sign-on/house/")
    assert (answer.status_code, "another address" in answer.content.decode()) == (503, True)
    SignOnIssuer.objects.update(url="http://127.0.0.1:9")
    assert Client().post("/sign-on/house/").status_code == 503
    SignOnIssuer.objects.update(is_enabled=False)
    assert Client().post("/sign-on/house/").status_code == 404
    assert "House" not in Client().get("/sign-in/").content.decode()


def test_next__leads_nowhere_else(provider):
    answer = provider.sign_on(Client(), next="https://elsewhere.example/")
    assert answer["Location"] == "/"


def test_issuer_ends_it__the_session_and_only_that__with_a_token_that_is_its(provider):
    browser, other = Client(), Client()
    provider.sign_on(browser)
    provider.sign_on(other)
    sina = User.objects.get(username="sina")
    mine = PersonSession.objects.get(session_key=browser.session.session_key)
    now = int(time.time())
    event = {"http://schemas.openid.net/event/backchannel-logout": {}}
    claims = {"iss": provider.url, "aud": "mlorch", "iat": now, "exp": now + 60, "events": event, "sub": "42"}

    def told(key=FIRST, kid="first", **changes):
        signing = jwt.algorithms.RSAAlgorithm.from_jwk(key)
        body = {name: value for name, value in {**claims, **changes}.items() if value is not None}
        token = jwt.encode(body, signing, algorithm="RS256", headers={"kid": kid})
        return Client().post("/sign-on/house/ended/", {"logout_token": token}).status_code

    assert [
        told(STRANGER),
        told(aud="other"),
        told(events={}),
        told(nonce="n"),
        told(iat=now - 9999),
        told(sub=None),
    ] == [400] * 6
    assert told(sid=mine.issuer_session or "none") == 200
    assert browser.get("/security/").status_code == (302 if mine.issuer_session else 200)
    assert told() == 200
    assert [one.get("/security/").status_code for one in (browser, other)] == [302, 302]
    assert roles(sina) == [("reviewer", "house")]  # a session is over; what a person may do is another matter


def test_proof__by_the_issuer__what_was_typed_waits_and_is_sent_by_hand(provider):
    browser = Client()
    provider.sign_on(browser)
    session = browser.session
    session[PROVEN_AT] -= 3600
    session.save()
    form = {"name": "mine", "scope": "decide", "days": "30"}
    asked = browser.post("/tokens/", form).content.decode()
    assert "Prove it with House" in asked
    assert 'name="proof_password"' not in asked

    page = browser.post("/sign-on/house/prove/", {**form, "proof_path": "/tokens/"})
    back = browser.get(provider.walk(page.content.decode()))
    assert back.status_code == 303
    sina = User.objects.get(username="sina")
    waiting = browser.get(back["Location"])
    assert '<input type="hidden" name="name" value="mine">' in waiting.content.decode()
    assert not sina.api_tokens.exists()  # nothing is sent by itself
    assert "This is your new token" in browser.post("/tokens/", form).content.decode()


def test_proof__by_another_person_of_the_issuer__or_to_another_site__is_none(provider):
    browser = Client()
    provider.sign_on(browser)
    page = browser.post("/sign-on/house/prove/", {"name": "mine", "proof_path": "/tokens/"}).content.decode()
    provider.says("43", preferred_username="otto", groups=[])
    assert browser.get(provider.walk(page)).status_code == 403
    for path in ("https://elsewhere.example/", "//elsewhere.example/", ""):
        assert browser.post("/sign-on/house/prove/", {"proof_path": path}).status_code == 400
    assert Client().post("/sign-on/house/prove/", {"proof_path": "/"}).status_code == 302
    local = Client()
    local.post("/sign-in/", {"username": "vik", "password": PASSWORD})
    assert local.post("/sign-on/house/prove/", {"proof_path": "/"}).status_code == 403


def test_roles_by_sign_on__end_by_themselves_when_a_person_stays_away(provider, monkeypatch):
    provider.sign_on(Client())
    sina = User.objects.get(username="sina")
    token_create(actor=AuthenticatedPerson(sina), user=sina, name="t", scopes=["read"], expires_at=None)
    later = clock.now() + timedelta(days=31)
    assert list(sina.bindings.in_force(later)) == []


def AuthenticatedPerson(user: User):
    from mlorch_site.accounts.selectors import actor_for_user

    return actor_for_user(user)


def test_file__wins_over_the_page__and_a_broken_one_is_said(provider, settings, tmp_path):
    from mlorch_site.accounts.sign_on.issuers import file_problem, issuers

    (tmp_path / "secret").write_text(f"{SECRET}\n")
    text = f"""
[[issuer]]
slug = "house"
name = "By file"
url = "{provider.url}"
client_id = "mlorch"
secret_file = "secret"
rules = [{{ group = "ml", role = "viewer", scope = "*" }}]
"""
    file = tmp_path / "issuers.toml"
    file.write_text(text)
    settings.OIDC_FILE = str(file)
    assert [(issuer.name, issuer.origin) for issuer in issuers()] == [("By file", "file")]
    assert SECRET not in repr(issuers())
    provider.sign_on(Client())
    assert roles(User.objects.get(username="sina")) == [("viewer", "house")]
    for broken in (
        text.replace("http://", "ftp://"),
        text.replace('role = "viewer"', 'role = "king"'),
        text.replace('slug = "house"', 'slug = "House!"'),
        text.replace('name = "By file"', "nam = 1"),
        text.replace('scope = "*"', 'scope = ""'),
        text + text,
        "[[issuer",
        "other = 1",
    ):
        file.write_text(broken)
        assert file_problem(), broken
        assert issuers()[0].origin == "page"
    settings.OIDC_FILE = str(tmp_path / "missing")
    assert "cannot be read" in file_problem()
