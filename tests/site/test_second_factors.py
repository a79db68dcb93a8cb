"""Second factors: set up with a proof, asked for at sign-in, used once, throttled, and reset by somebody else."""

import re

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.core.cache import cache
from django.test import Client

from mlorch_site.accounts import throttle
from mlorch_site.accounts.models import PersonSession, User
from mlorch_site.accounts.recovery_codes import codes_left, codes_renew
from mlorch_site.accounts.second_factors import factors_of, factors_reset
from mlorch_site.accounts.selectors import PROVEN_AT, actor_for_user
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Forbidden, Invalid, ProofNeeded
from tests.factories import PASSWORD

SECRET = re.compile(r'id="app-key"[^>]*>([A-Z2-7]+)<')
CODES = re.compile(r"[a-z2-7]{4}(?:-[a-z2-7]{4}){3}")


@pytest.fixture(autouse=True)
def clean(people, monkeypatch):
    """Nobody waits for an earlier test, and the clock stands in the middle of a code's period."""
    cache.clear()
    noon = clock.from_unix(int(clock.now().timestamp()) // 30 * 30 + 15)
    monkeypatch.setattr(clock, "now", lambda: noon)
    return people


def code_of(secret: str, periods: int = 0) -> str:
    return format_hotp_value(hotp_value(secret, int(clock.now().timestamp()) // 30 + periods))


def sign_in(name: str = "vik") -> tuple[Client, object]:
    browser = Client()
    return browser, browser.post("/sign-in/", {"username": name, "password": PASSWORD, "next": "/approvals/"})


def age_proof(browser: Client, minutes: int) -> None:
    session = browser.session
    session[PROVEN_AT] -= minutes * 60
    session.save()


def set_up(name: str = "vik") -> tuple[str, list[str]]:
    """An app for the person: its secret, and the recovery codes that came with it."""
    browser, _ = sign_in(name)
    secret = SECRET.search(browser.get("/security/app/").content.decode()).group(1)
    answer = browser.post("/security/app/", {"code": code_of(secret, -1)})
    return secret, CODES.findall(answer.content.decode())


def newest(action: str) -> AuditRecord:
    return AuditRecord.objects.filter(action=action).latest("sequence")


def test_app__set_up__asked_for_at_sign_in__a_code_counts_once():
    secret, codes = set_up()
    assert len(codes) == 10
    assert newest("factor.added").data == {"kind": "app"}

    browser, answer = sign_in()
    assert answer.headers["Location"] == "/sign-in/factor/?next=%2Fapprovals%2F"
    assert browser.get("/").status_code == 302  # nobody is signed in yet
    used = browser.post("/sign-in/factor/", {"code": code_of(secret, -1)})  # the code that set it up
    assert (used.status_code, "used already" in used.content.decode()) == (401, True)
    code = code_of(secret)
    assert (
        browser.post("/sign-in/factor/?next=/approvals/", {"code": f"{code[:3]} {code[3:]}"})["Location"]
        == "/approvals/"
    )
    assert newest("session.begun").data == {"proven_by": "password and one-time code"}
    again, _ = sign_in()
    assert again.post("/sign-in/factor/", {"code": code}).status_code == 401


def test_app__secret_and_recovery_codes__not_readable_in_the_rows():
    secret, codes = set_up()
    kept = str(list(Authenticator.objects.values_list("data", flat=True)))
    assert secret not in kept
    assert not any(code in kept or code.replace("-", "") in kept for code in codes)


def test_recovery_code__stands_in_once__new_ones_end_the_old():
    _, codes = set_up()
    browser, _ = sign_in()
    assert browser.post("/sign-in/factor/", {"code": codes[0].upper()}).status_code == 303
    other, _ = sign_in()
    assert other.post("/sign-in/factor/", {"code": codes[0]}).status_code == 401
    assert codes_left(User.objects.get(username="vik")) == 9
    fresh = CODES.findall(browser.post("/security/codes/").content.decode())
    assert other.post("/sign-in/factor/", {"code": codes[1]}).status_code == 401
    assert other.post("/sign-in/factor/", {"code": fresh[1]}).status_code == 303


def test_codes__wrong_ones_wait__for_the_person_and_whatever_the_session(clean):
    secret, _ = set_up()
    statuses = [
        sign_in()[0].post("/sign-in/factor/", {"code": "000000"}).status_code for _ in range(throttle.PER_NAME_MAX)
    ]
    browser, _ = sign_in()
    right = browser.post("/sign-in/factor/", {"code": code_of(secret)})

    assert set(statuses) == {401}
    assert right.status_code == 429
    assert "Retry-After" in right
    assert newest("session.refused").subject_label == "vik"


@pytest.mark.parametrize("happens", ["time", "password", "off"])
def test_pending_sign_in__is_over__after_minutes_or_a_change_of_the_person(happens, monkeypatch):
    secret, _ = set_up()
    browser, _ = sign_in()
    vik = User.objects.get(username="vik")
    if happens == "time":
        session = browser.session
        session["pending_sign_in"] = {**session["pending_sign_in"], "at": 0}
        session.save()
    elif happens == "password":
        vik.set_password("another long passphrase")
        vik.save()
    else:
        User.objects.filter(pk=vik.pk).update(is_active=False)
    assert browser.post("/sign-in/factor/", {"code": code_of(secret)})["Location"] == "/sign-in/"


def test_change_of_factors__asks_for_a_proof__and_goes_on_with_what_was_typed():
    secret, _ = set_up()
    browser, _ = sign_in()
    browser.post("/sign-in/factor/", {"code": code_of(secret)})
    number = factors_of(User.objects.get(username="vik"))[0].number
    age_proof(browser, 11)
    path = f"/security/factors/{number}/remove/"

    asked = browser.post(path)
    assert (asked.status_code, "Prove who you are" in asked.content.decode()) == (401, True)
    assert browser.post(path, {"proof_password": PASSWORD}).status_code == 401  # who has a second factor proves that
    wrong = browser.post(path, {"proof_code": "123"})
    assert (wrong.status_code, "This code is wrong" in wrong.content.decode()) == (401, True)
    assert browser.post(path, {"proof_code": code_of(secret, 1)}).status_code == 303
    assert factors_of(User.objects.get(username="vik")) == []
    assert not Authenticator.objects.exists()  # recovery codes go with the last
    assert newest("session.proved").data == {"proven_by": "one-time code"}


def test_required__before_anything_else__and_not_for_others(settings):
    settings.SECOND_FACTOR_FOR = ["administrators"]
    browser, _ = sign_in("ada")
    assert browser.get("/").headers["Location"] == "/security/"
    assert browser.post("/people/vik/give/").status_code == 403
    refused = browser.get("/api/v1/people", headers={"Accept": "application/json"})
    assert refused.json()["error"]["code"] == "second_factor_needed"
    assert "asks administrators for a second factor" in browser.get("/security/").content.decode()
    secret = SECRET.search(browser.get("/security/app/").content.decode()).group(1)
    browser.post("/security/app/", {"code": code_of(secret)})
    assert browser.get("/").status_code == 200
    assert sign_in("vik")[0].get("/").status_code == 200


def test_reset__by_an_administrator_who_just_proved__never_ones_own(people):
    set_up()
    vik = User.objects.get(username="vik")
    now = {"session": {PROVEN_AT: clock.now().timestamp()}}
    ada = actor_for_user(people.ada.user, **now)
    with pytest.raises(Forbidden):
        factors_reset(actor=actor_for_user(people.rita.user, **now), user=vik, reason="called")
    with pytest.raises(ProofNeeded):
        factors_reset(actor=people.ada.actor, user=vik, reason="called")
    with pytest.raises(Invalid):
        factors_reset(actor=ada, user=vik, reason=" ")
    with pytest.raises(Forbidden):
        factors_reset(actor=ada, user=people.ada.user, reason="mine")
    factors_reset(actor=ada, user=vik, reason="video call with the person")
    assert not Authenticator.objects.exists()
    assert sign_in()[0].get("/").status_code == 200


def test_renewing_codes__two_at_once__one_set_remains(people):
    codes_renew(people.vik.user)
    codes_renew(people.vik.user)
    assert Authenticator.objects.filter(type="recovery_codes").count() == 1


def test_security__lists_sessions_and_ends_them():
    here, _ = sign_in()
    there = Client(
        HTTP_USER_AGENT="Mozilla/5.0 (iPhone; CPU) AppleWebKit Version/17 Safari/604.1", REMOTE_ADDR="192.0.2.9"
    )
    there.post("/sign-in/", {"username": "vik", "password": PASSWORD})
    page = here.get("/security/").content.decode()
    assert "Safari on iPhone" in page
    assert "192.0.2.9" in page
    row = PersonSession.objects.get(address="192.0.2.9")
    stranger, _ = sign_in("rita")
    assert stranger.post(f"/security/sessions/{row.pk}/end/").status_code == 404

    assert here.post(f"/security/sessions/{row.pk}/end/").status_code == 303
    assert there.get("/").status_code == 302
    assert here.get("/").status_code == 200
    assert newest("session.closed").data["device"] == "Safari on iPhone"


def test_sessions__all_others_end__also_by_a_new_password():
    here, _ = sign_in()
    others = [sign_in()[0] for _ in range(2)]
    here.post("/security/sessions/end/")
    assert [browser.get("/").status_code for browser in (here, *others)] == [200, 302, 302]
    assert PersonSession.objects.count() == 1
    other, _ = sign_in()
    new = "another long passphrase"
    here.post("/password/", {"old_password": PASSWORD, "new_password1": new, "new_password2": new})
    assert [browser.get("/").status_code for browser in (here, other)] == [200, 302]
    assert "this one" in here.get("/security/").content.decode()


def test_break_glass__only_one_password_opens__and_its_use_is_told(settings):
    settings.BREAK_GLASS = "ada"
    _, refused = sign_in("vik")
    assert (refused.status_code, "Passwords are for emergencies" in refused.content.decode()) == (403, True)
    browser, _ = sign_in("ada")
    assert newest("session.begun_in_emergency").actor == "ada"
    assert "ada signed in with the break-glass password" in browser.get("/").content.decode()
    settings.BREAK_GLASS = ""
    assert sign_in("vik")[0].get("/").status_code == 200
