"""Acts that ask for a new proof of who acts: what is recent, what a token may, and that nothing typed is lost."""

from datetime import timedelta

import pytest
from django.test import Client

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.proof import require_recent_authentication
from mlorch_site.accounts.selectors import PROVEN_AT, PROVEN_BY, actor_for_user
from mlorch_site.accounts.services import token_create
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Forbidden, Invalid, ProofNeeded
from registry.approvals.services import approval_decide, approval_open
from registry.models import ApprovalRequest, Decision
from registry.selectors import current_policy
from registry.services import environment_create
from tests.factories import PASSWORD

ENGINE = Actor.controller("test")


def proved(person, minutes_ago: float, **more) -> Actor:
    at = clock.now() - timedelta(minutes=minutes_ago)
    return actor_for_user(person.user, session={PROVEN_AT: at.timestamp(), PROVEN_BY: "passkey"}, **more)


def token_actor(person, *scopes: str) -> Actor:
    token, _ = token_create(actor=proved(person, 0), user=person.user, name="t", scopes=list(scopes), expires_at=None)
    return actor_for_user(person.user, token=token)


@pytest.mark.parametrize(
    ("minutes", "ago", "is_enough"), [(0, None, True), (5, 4.9, True), (5, 5.1, False), (5, None, False)]
)
def test_recent__by_the_minutes_of_the_policy(people, minutes, ago, is_enough):
    actor = people.rita.actor if ago is None else proved(people.rita, ago)
    if is_enough:
        require_recent_authentication(actor, minutes)
    else:
        with pytest.raises(ProofNeeded, match="5 minutes"):
            require_recent_authentication(actor, minutes)


def test_token__only_one_that_was_made_for_it__by_its_person_who_just_proved(people):
    with pytest.raises(Forbidden, match="made for it"):
        require_recent_authentication(token_actor(people.rita, "read", "write"), 5)
    require_recent_authentication(token_actor(people.rita, "read", "write", "decide"), 5)
    require_recent_authentication(ENGINE, 5)
    wish = {"user": people.rita.user, "name": "t", "scopes": ["read", "write", "decide"], "expires_at": None}
    with pytest.raises(ProofNeeded):
        token_create(actor=people.rita.actor, **wish)
    with pytest.raises(Forbidden):  # not by a token that may not itself
        token_create(actor=token_actor(people.rita, "read", "write"), **wish)
    with pytest.raises(Forbidden):  # and not for somebody else
        token_create(actor=proved(people.ada, 0), **wish)
    with pytest.raises(Invalid):
        token_create(actor=proved(people.rita, 0), **{**wish, "scopes": ["read", "decide"]})


@pytest.fixture
def asked(people):
    """A request for an approval whose frozen policy asks for a proof of five minutes."""
    environment = environment_create(
        actor=ENGINE, name="production", position=0, approval_rules=[{"role": "reviewer", "count": 1}]
    )
    policy = current_policy(environment)
    policy.reauthenticate_minutes = 5
    policy.save()
    return approval_open(
        actor=ENGINE,
        subject_kind="release",
        subject_id="r1",
        title="tumours",
        url="/",
        content={"plan": "a"},
        policy=policy,
        scopes=["environment:production"],
        requester=people.emma.user,
        excluded=[],
    )


def test_decision__by_the_frozen_policy__says_how_it_was_proven(asked, people):
    with pytest.raises(ProofNeeded):
        approval_decide(actor=proved(people.rita, 6), request=asked, kind="approve", comment="")
    with pytest.raises(Forbidden):
        approval_decide(actor=token_actor(people.rita, "read", "write"), request=asked, kind="approve", comment="")
    assert not Decision.objects.exists()
    with pytest.raises(Forbidden, match="role"):  # who may not decide at all is told that, and is not asked for a proof
        approval_decide(actor=people.vik.actor, request=asked, kind="approve", comment="")

    approval_decide(actor=proved(people.rita, 1), request=asked, kind="approve", comment="")
    decision = Decision.objects.get()
    assert (decision.proven_by, decision.proven_at is not None) == ("passkey", True)
    assert AuditRecord.objects.filter(action="approval.decided").latest("sequence").data["proven_by"] == "passkey"


def test_decision__of_a_request_under_a_policy_that_asks_for_nothing(asked, people):
    asked.policy.reauthenticate_minutes = 0
    asked.policy.save()
    approval_decide(actor=people.rita.actor, request=asked, kind="approve", comment="")
    assert ApprovalRequest.objects.get().status == "approved"


def test_owner_of_a_service_account__does_not_decide_on_what_it_asked_for(asked, people):
    from mlorch_site.accounts.service_accounts import service_account_create

    account = service_account_create(actor=proved(people.rita, 0), name="ci", purpose="releases")
    request = approval_open(
        actor=ENGINE,
        subject_kind="release",
        subject_id="r2",
        title="tumours",
        url="/",
        content={"plan": "b"},
        policy=asked.policy,
        scopes=["environment:production"],
        requester=account,
        excluded=[],
    )
    with pytest.raises(Forbidden, match="Your service account asked"):
        approval_decide(actor=proved(people.rita, 0), request=request, kind="approve", comment="")


@pytest.fixture
def browser(people):
    browser = Client()
    browser.post("/sign-in/", {"username": "ada", "password": PASSWORD})
    session = browser.session
    session[PROVEN_AT] -= 3600
    session.save()
    return browser


FORM = {"name": "ci <b>", "scope": "decide", "days": "30", "csrfmiddlewaretoken": "x"}


def test_dialog__keeps_what_was_typed__the_act_goes_on_in_the_request_of_the_proof(browser):
    asked = browser.post("/tokens/", FORM)
    page = asked.content.decode()
    assert asked.status_code == 401
    assert 'action="/tokens/"' in page
    assert '<input type="hidden" name="name" value="ci &lt;b&gt;">' in page
    assert page.count("csrfmiddlewaretoken") == page.count('name="csrfmiddlewaretoken"')
    wrong = browser.post("/tokens/", {**FORM, "proof_password": "wrong"})
    assert (wrong.status_code, "The password is wrong." in wrong.content.decode()) == (401, True)
    assert 'value="ci &lt;b&gt;"' in wrong.content.decode()
    assert "wrong" not in [value for _, value in wrong.context["fields"]]

    made = browser.post("/tokens/", {**FORM, "proof_password": PASSWORD})
    assert (made.status_code, "This is your new token" in made.content.decode()) == (200, True)
    assert AuditRecord.objects.filter(action="session.proved").latest("sequence").actor == "ada"


def test_dialog__a_get_sends_nothing__and_a_proof_of_somebody_else_proves_nothing(browser, people):
    assert browser.get("/tokens/", {**FORM, "proof_password": PASSWORD}).status_code == 200
    assert not people.ada.user.api_tokens.exists()
    people.ada.user.set_unusable_password()
    people.ada.user.save()
    assert browser.post("/tokens/", {**FORM, "proof_password": PASSWORD}).status_code in (302, 401)
    assert not people.ada.user.api_tokens.exists()
    assert Client().post("/tokens/", {**FORM, "proof_password": PASSWORD}).status_code == 302


def test_rest__says_that_a_proof_is_missing(browser):
    answer = browser.post(
        "/api/v1/tokens", {"name": "t", "scopes": ["read", "write", "decide"]}, content_type="application/json"
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "proof_needed")
