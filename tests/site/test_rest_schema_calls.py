"""Calls that the REST schema allows, and calls that it does not, as everybody: none is an error of the server."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import schemathesis
from django.db import transaction
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, given, seed, settings
from schemathesis import GenerationMode

from mlorch_site.accounts.roles import EVERYWHERE, Role
from tests.factories import make_person
from tests.support.live import signed_in
from tests.support.two_tenants import MINE, Tenant, make_tenant

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

EXAMPLES = 4
NOBODY = "nobody"
SERVER_ERROR = 500
OWN_NAME_SHARE = 0.7
REFUSED = 400


@pytest.fixture
def mine(people: Any) -> Tenant:
    return make_tenant(MINE, people.emma.user)


def names_of(tenant: Tenant, path: str) -> dict[str, Any]:
    """What the parameters of a path are for the objects of a tenant."""
    kind = path.split("/")[3]
    keys = {"releases": tenant.release.pk, "gateway-keys": tenant.key.pk}
    names = {"models": tenant.model.name, "environments": tenant.environment.name, "people": "emma"}
    return {
        "pk": str(keys.get(kind, tenant.approval.pk)),
        "name": names.get(kind, tenant.endpoint.name),
        "environment": tenant.environment.name,
        "number": 1,
        "model": tenant.model.name,
        "version": 1,
        "endpoint": tenant.endpoint.name,
        "expects": str(tenant.release.pk),
    }


def operations() -> Iterator[Any]:
    document = json.loads(json.dumps(SchemaGenerator().get_schema(public=True), default=str))
    schema = schemathesis.openapi.from_dict(document)
    for found in schema.get_all_operations():
        yield found.ok()


def send(browser: Client, case: Any, own: dict[str, Any], rng: random.Random) -> tuple[str, Any]:
    """Send a case, about a thing that is there more often than not, and take back what it did."""
    for given_names in (case.path_parameters, case.body):
        for name in given_names if isinstance(given_names, dict) else ():
            if name in own and rng.random() < OWN_NAME_SHARE:
                given_names[name] = own[name]
    request = requests.Request(**case.as_transport_kwargs(base_url="http://testserver")).prepare()
    address = urlsplit(request.url or "")
    headers = {f"HTTP_{key.upper().replace('-', '_')}": value for key, value in request.headers.items()}
    # Who calls is the session's affair: a token that is made up would be refused before anything is looked at.
    for name in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH", "HTTP_COOKIE", "HTTP_HOST", "HTTP_AUTHORIZATION"):
        headers.pop(name, None)
    body = request.body or b""
    kind = request.headers.get("Content-Type", "application/json")
    with transaction.atomic():
        answer = browser.generic(
            str(request.method),
            address.path,
            body,
            content_type=kind,
            QUERY_STRING=address.query,
            **headers,
        )
        transaction.set_rollback(True)
    return f"{request.method} {request.url} {str(body)[:300]!r}", answer


@dataclass
class Caller:
    """Somebody who calls, and which statuses came back how often."""

    browser: Client
    statuses: Counter[int] = field(default_factory=Counter)

    def exercise(self, strategy: Any, own: dict[str, Any], rng: random.Random) -> None:
        """Call an operation with examples of a strategy; none may be an error of the server, or refuse in a shape of
        its own.
        """

        @seed(1)
        @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=strategy)
        def call(case: Any) -> None:
            said, answer = send(self.browser, case, own, rng)
            assert answer.status_code < SERVER_ERROR, said
            self.statuses[answer.status_code] += 1
            is_json = answer.headers.get("Content-Type", "").startswith("application/json")
            if answer.status_code >= REFUSED and is_json:
                assert set(answer.json()["error"]) >= {"code", "message", "request_id"}, said

        call()


@pytest.mark.parametrize("role", [NOBODY, *(role.value for role in Role)])
def test_every_operation__as_everybody__never_an_error_of_the_server(mine: Tenant, role: str) -> None:
    if role != NOBODY:
        make_person("schema-caller", [(Role(role), EVERYWHERE)])
    caller = Caller(Client() if role == NOBODY else signed_in("schema-caller"))
    caller.browser.raise_request_exception = False
    for operation in operations():
        own, rng = names_of(mine, operation.path), random.Random(operation.label)
        caller.exercise(operation.as_strategy(generation_mode=GenerationMode.POSITIVE), own, rng)
        if operation.body or operation.query or operation.path_parameters:
            caller.exercise(operation.as_strategy(generation_mode=GenerationMode.NEGATIVE), own, rng)
    assert (caller.statuses[200] > 0) == (role != NOBODY)
