"""What an API token may do with tokens."""

from datetime import timedelta

import pytest
from django.test import Client

from mlorch_site.accounts.models import ApiToken
from mlorch_site.accounts.services import TOKEN_MAX_DAYS, token_create
from mlorch_site.lib import clock

DAY = timedelta(days=1)


def bearer(people, scopes, days=7):
    person = people.emma
    token, secret = token_create(
        actor=person.actor, user=person.user, name="one", scopes=scopes, expires_at=clock.now() + days * DAY
    )
    return token, Client(headers={"Authorization": f"Bearer {secret}"})


def make(browser, **fields):
    body = {"name": "two", "scopes": ["read"], **fields}
    return browser.post("/api/v1/tokens", body, content_type="application/json")


def test_read_only_token__revokes_and_makes_none(people):
    other, _ = bearer(people, ["read", "write"])
    _, browser = bearer(people, ["read"])

    assert browser.post(f"/api/v1/tokens/{other.pk}/revoke").status_code == 403
    assert make(browser).status_code == 403
    assert ApiToken.objects.filter(revoked_at=None).count() == 2


@pytest.mark.parametrize("path", ["releases", "gateway-keys"])
def test_read_only_token__of_who_may_write__may_not(people, path):
    _, browser = bearer(people, ["read"])
    answer = browser.post(f"/api/v1/{path}", {}, content_type="application/json")
    assert answer.json()["error"]["message"] == "This token may only read."


def test_token__makes_one__that_ends_with_it_at_the_latest(people):
    mother, browser = bearer(people, ["read", "write"])

    assert make(browser).status_code == 201
    assert ApiToken.objects.get(name="two").expires_at == mother.expires_at
    later = (mother.expires_at + DAY).isoformat()
    assert make(browser, expires_at=later).status_code == 403
    assert make(browser, expires_at=(mother.expires_at - DAY).isoformat()).status_code == 201


def test_token__that_may_only_write__makes_none_that_reads(people):
    _, browser = bearer(people, ["write"])
    assert make(browser).json()["error"]["message"] == "A token cannot make one that may more than itself."


def test_token__without_an_end__ends_in_a_year(people):
    before = clock.now()
    token, _ = token_create(actor=people.vik.actor, user=people.vik.user, name="x", scopes=["read"], expires_at=None)
    assert timedelta(0) <= token.expires_at - before - TOKEN_MAX_DAYS * DAY < timedelta(seconds=60)
