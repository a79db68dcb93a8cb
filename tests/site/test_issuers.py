"""Writing down who vouches for people: with a fresh proof, the secret never shown; what a rule gave goes with it."""

import pytest
from django.contrib.auth.models import Group

from mlorch_site.accounts.models import IssuerMembership, PersonSession, RoleBinding, SignOnIssuer
from mlorch_site.accounts.selectors import PROVEN_AT
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib import clock
from mlorch_site.lib.sealing import unseal
from tests.support.live import signed_in

SECRET = "a secret that nobody reads"
FORM = {
    "slug": "house",
    "name": "House",
    "url": "https://id.example.org/realms/one",
    "client_id": "mlorch",
    "secret": SECRET,
    "groups_claim": "groups",
    "binding_days": "30",
    "is_enabled": "on",
}


@pytest.fixture
def ada(people):
    browser = signed_in("ada")
    session = browser.session
    session[PROVEN_AT] = clock.now().timestamp()
    session.save()
    return browser


def row() -> SignOnIssuer:
    return SignOnIssuer.objects.get()


def rule(browser, **values: str) -> int:
    form = {"group": "ml", "role": "", "scope": "", "member_of": "", "seen": row().version, **values}
    return browser.post("/issuers/house/rules/", form).status_code


def test_issuer__written_down__secret_sealed_and_never_shown(ada):
    assert ada.post("/issuers/new/", FORM)["Location"] == "/issuers/house/"
    assert (SECRET in row().secret, unseal(row().secret)) == (False, SECRET)
    page = ada.get("/issuers/house/").content.decode()
    assert SECRET not in page
    assert "http://testserver/sign-on/house/back/" in page
    changed = {**FORM, "secret": "", "name": "The house", "seen": row().version}
    assert ada.post("/issuers/house/", changed).status_code == 303
    assert (row().name, unseal(row().secret)) == ("The house", SECRET)
    stale = ada.post("/issuers/house/", {**changed, "name": "Lost"})
    assert (stale.status_code, "Somebody else changed" in stale.content.decode()) == (422, True)
    assert not any(SECRET in str(record.data) for record in AuditRecord.objects.all())
    assert "Sign on with The house" in ada.__class__().get("/sign-in/").content.decode()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "http://id.example.org"),
        ("url", "https://id.example.org/?a=b"),
        ("url", "id.example.org"),
        ("slug", "Ho use"),
        ("client_id", ""),
        ("binding_days", "0"),
    ],
)
def test_issuer__what_is_wrong_is_said_at_its_field__and_nothing_is_lost(ada, field, value):
    answer = ada.post("/issuers/new/", {**FORM, field: value})
    assert (answer.status_code, bool(answer.context["form"].errors[field])) == (422, True)
    assert 'value="House"' in answer.content.decode()
    assert not SignOnIssuer.objects.exists()


def test_issuer__needs_the_right_and_a_fresh_proof(ada, people):
    assert signed_in("emma").get("/issuers/").status_code == 403
    assert signed_in("emma").post("/issuers/new/", FORM).status_code == 403
    session = ada.session
    session[PROVEN_AT] -= 3600
    session.save()
    asked = ada.post("/issuers/new/", FORM)
    assert (asked.status_code, "Prove who you are" in asked.content.decode()) == (401, True)
    assert not SignOnIssuer.objects.exists()
    assert SECRET not in asked.content.decode().split("What will be sent")[1].split("</dl>")[0]


def test_rules__role_or_group_of_ours__in_what_exists__and_taken_away_with_what_they_gave(ada, people):
    ada.post("/issuers/new/", FORM)
    assert rule(ada) == 422
    assert rule(ada, role="viewer") == 422
    assert rule(ada, role="viewer", scope="environment:nowhere") == 422
    assert rule(ada, role="viewer", scope="*", member_of="Board") == 422
    assert rule(ada, role="viewer", scope="*", seen="0") == 422
    assert rule(ada, role="viewer", scope="*") == 303
    assert rule(ada, group="risk", role="viewer", scope="*") == 303
    assert rule(ada, member_of="Board") == 303
    board = Group.objects.create(name="Board")
    people.noa.user.groups.add(board)
    IssuerMembership.objects.create(user=people.noa.user, group=board, issuer="house")
    RoleBinding.objects.create(user=people.noa.user, role="viewer", scope="*", issuer="house")

    def take(number: int) -> None:
        ada.post(f"/issuers/house/rules/{number}/remove/", {"seen": row().version})

    take(0)  # another rule gives the same
    assert people.noa.user.bindings.get().ended_at is None
    take(0)
    assert people.noa.user.bindings.get().ended_at is not None
    assert people.noa.user.groups.count() == 1
    take(0)
    assert people.noa.user.groups.count() == 0
    assert row().rules == []
    assert ada.post("/issuers/house/rules/0/remove/", {"seen": "0"}).status_code == 303  # said, and nothing done


def test_issuer__switched_off__ends_what_it_gave_and_its_sessions(ada, people):
    ada.post("/issuers/new/", FORM)
    noa = signed_in("noa")
    now = clock.now()
    PersonSession.objects.create(
        user=people.noa.user,
        session_key=noa.session.session_key,
        began_at=now,
        last_seen_at=now,
        proven_by="sign-on house",
        issuer="house",
    )
    RoleBinding.objects.create(user=people.noa.user, role="viewer", scope="*", issuer="house")
    by_hand = RoleBinding.objects.create(user=people.noa.user, role="viewer", scope="*")
    form = {name: value for name, value in FORM.items() if name != "is_enabled"}
    ada.post("/issuers/house/", {**form, "seen": row().version})
    assert list(people.noa.user.bindings.in_force(now)) == [by_hand]
    assert noa.get("/").status_code == 302
