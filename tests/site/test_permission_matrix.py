"""Every route, asked by every role in every kind of scope, for what lies in it and what does not."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.test import Client

from mlorch_site.accounts.permission_matrix import PAGE, Demand, demands, document
from mlorch_site.accounts.roles import EVERYWHERE, Action, Role, roles_that_allow
from mlorch_site.audit.models import AuditRecord
from tests.factories import make_person
from tests.site.test_scopes import address
from tests.support.live import signed_in
from tests.support.two_tenants import FOREIGN, MINE, Tenant, make_tenant

ACTIONS = {str(action) for action in Action}
REFUSED = 403
SERVER_ERROR = 500
ASKS_FOR_EACH = {"releases/<uuid:pk>/<slug:action>/"}  # one address for acts of which each asks for its own
SCOPES = ("everywhere", "environment", "model", "elsewhere")


def test_document__is_what_the_routes_say() -> None:
    """Written anew by `manage.py permission_matrix > docs/permissions.md`."""
    assert (Path(settings.BASE_DIR) / "docs" / "permissions.md").read_text() == document()


def test_demands__each_action_of_the_table__is_asked_for_somewhere() -> None:
    asked = {demand.permission for demand in demands()}
    asked_by_services = {str(Action.POLICY_EDIT), str(Action.VERSION_BLOCK)}
    assert ACTIONS - asked <= asked_by_services


def scope_of(word: str, mine: Tenant, foreign: Tenant) -> str:
    return {
        "everywhere": EVERYWHERE,
        "environment": mine.environment.scope,
        "model": mine.model.scope,
        "elsewhere": foreign.environment.scope,
    }[word]


@dataclass(frozen=True)
class Answer:
    """What came back, and whether something was done: acts leave a record, reading and refusals one of their own."""

    status: int
    body: str
    is_done: bool


def ask(browser: Client, method: str, where: str) -> Answer:
    """Ask, and take back what it did."""
    with transaction.atomic():
        before = _acts()
        kind: dict[str, Any] = {} if method == "GET" else {"content_type": "application/json"}
        answer = browser.generic(method, where, "" if method == "GET" else "{}", **kind)
        content = b"".join(answer.streaming_content) if answer.streaming else answer.content
        is_done = _acts() > before
        transaction.set_rollback(True)
    return Answer(answer.status_code, content.decode(errors="replace"), is_done)


def _acts() -> int:
    return AuditRecord.objects.exclude(action__in=["act.refused", "page.read"]).count()


def lies_in(scope: str, path: str) -> bool:
    """Whether the roles of a kind of scope count for the objects of a route."""
    return {
        "everywhere": True,
        "environment": "<str:environment>" in path,
        "model": "models/<str:name>" in path,
        "elsewhere": False,
    }[scope]


def wrong_about(role: Role, scope: str, demand: Demand, own: Answer, other: Answer) -> str:
    """What is wrong with the answers about one's own and about a foreign object; empty when nothing is."""
    # A page may say besides what else of it needs which role.
    missing = " or ".join(role.label for role in roles_that_allow(Action(demand.permission)))
    is_refused = own.status == REFUSED and f"This needs the role {missing}" in own.body
    if max(own.status, other.status) >= SERVER_ERROR:
        return f"{own.status}, {other.status}"
    if role not in demand.roles:
        return "" if is_refused and other.status == REFUSED else f"{own.status}, {other.status} without the role"
    if is_refused and lies_in(scope, demand.path) and demand.path not in ASKS_FOR_EACH:
        return "refused with the role"
    if "<" in demand.path and (own.is_done if scope == "elsewhere" else other.is_done and scope != "everywhere"):
        return "done outside of the scope"
    if scope in ("environment", "model") and f"{FOREIGN}-reason" in own.body + other.body:
        return "shows what is foreign"
    return ""


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.parametrize("role", list(Role))
def test_every_route__each_role_and_scope__as_the_matrix_says(role: Role, people: Any) -> None:
    mine, foreign = (make_tenant(word, people.emma.user) for word in (MINE, FOREIGN))
    browsers = {}
    for word in SCOPES:
        make_person(f"matrix-{word}", [(role, scope_of(word, mine, foreign))])
        browsers[word] = signed_in(f"matrix-{word}")
        browsers[word].raise_request_exception = False
    wrong, looked_at, done = [], 0, 0
    for demand in (one for one in demands() if one.permission in ACTIONS):
        places = address(demand.path, mine), address(demand.path, foreign)
        if None in places:
            continue
        for method in ("GET", "POST") if demand.method == PAGE else (demand.method,):
            for word in SCOPES if role in demand.roles and "<" in demand.path else SCOPES[:1]:
                browser = browsers[word]
                own, other = (ask(browser, method, str(place)) for place in places)
                looked_at, done = looked_at + 1, done + own.is_done
                if problem := wrong_about(role, word, demand, own, other):
                    wrong.append(f"{role} ({word}) {method} {demand.path}: {problem}")
    assert not wrong, "\n".join(wrong)
    assert looked_at > len(list(demands()))
    assert (done > 0) == (role is not Role.VIEWER)  # acts succeed where they may, or nothing would be proved
