"""Who is bound to a scope sees nothing of what lies outside it: every route, every role, what is in the answer."""

from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client
from django.urls import URLPattern

from mlorch_site.accounts.permission_matrix import permissions_of, routes
from mlorch_site.accounts.roles import EVERYWHERE, Action, Role
from mlorch_site.accounts.route_permission import SIGNED_IN
from mlorch_site.lib import clock
from mlorch_site.live.consumers import CLOSE_FORBIDDEN
from mlorch_site.live.topics import may_join
from registry.models import Environment
from tests.factories import make_person
from tests.support.live import async_publish, close_code, run, signed_in, socket
from tests.support.two_tenants import FOREIGN, MINE, ONLY_ELSEWHERE, Tenant, add_endpoint, make_tenant, scoped_people

LISTS = "releases,approvals,registry,gateways,overview"


@pytest.fixture
def tenants(people: Any) -> tuple[Tenant, Tenant]:
    mine, foreign = (make_tenant(word, people.emma.user) for word in (MINE, FOREIGN))
    add_endpoint(ONLY_ELSEWHERE, foreign.environment, mine.model, people.emma.user)
    return mine, foreign


def readable_routes() -> list[tuple[str, URLPattern]]:
    """The routes that people read."""
    return [
        (path, pattern)
        for path, pattern in routes()
        if any(isinstance(one, Action) or one == SIGNED_IN for one in permissions_of(pattern))
        or path.startswith("admin/")
    ]


def address(path: str, tenant: Tenant) -> str | None:
    """The address of a route for the objects of a tenant; None when it takes what no tenant has."""
    kind = path.partition("/")[0] if not path.startswith("api/") else path.split("/")[2]
    things = {"approvals": tenant.approval.pk, "releases": tenant.release.pk, "gateway-keys": tenant.key.pk}
    things["alerts"] = tenant.alert.pk
    names = {"models": tenant.model.name, "environments": tenant.environment.name}
    name = names.get(kind, tenant.endpoint.name)
    filled = path
    for wanted, value in {
        "<uuid:pk>": tenant.finding.pk if "findings" in path else things.get(kind, tenant.release.pk),
        "<str:environment>": tenant.environment.name,
        "<str:name>": name,
        "<str:endpoint>": tenant.endpoint.name,
        "<int:number>": 1,
        "<slug:action>": "pause",
    }.items():
        filled = filled.replace(wanted, quote(str(value)))
    if filled.rstrip("/").endswith("/past"):
        filled += f"?at={quote(clock.now().isoformat())}"
    return None if "<" in filled or "(" in filled else f"/{filled}"


def told(browser: Client, where: str) -> tuple[int, str]:
    answer = browser.get(where)
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return answer.status_code, content.decode(errors="replace")


@pytest.mark.slow
def test_every_route__to_every_scoped_person__shows_nothing_foreign(tenants):
    mine, foreign = tenants
    seen = 0
    for person in scoped_people(mine):
        browser = signed_in(person.name)
        for path, _ in readable_routes():
            if where := address(path, mine):
                _, body = told(browser, where)
                leaks = [word for word in person.hidden if word in body]
                assert leaks == [], f"{person.name} at {where}"
                seen += MINE in body
        assert not may_join(person.actor, f"release.{foreign.release.pk}")
    assert seen > 100  # what is in the scope is shown, or nothing would be proved


def test_every_object_that_is_foreign__to_every_scoped_person__is_not_there(tenants):
    mine, foreign = tenants
    for person in scoped_people(mine):
        browser = signed_in(person.name)
        for path, pattern in readable_routes():
            where = address(path, foreign)
            if where is None or "<" not in path:
                continue
            if person.name.endswith("-environment") and "models/<" in path:
                continue  # a person of an environment sees the models that could come there
            status, body = told(browser, where)
            if person.name.endswith("-model") and "environments/<" in path:
                # a person of a model sees the environments that it could come to, with its own endpoints there
                assert foreign.endpoint.name not in body
                continue
            assert status in (403, 404, 405), f"{person.name} at {where}: {status}"
            assert f"{FOREIGN}-reason" not in body
            answer = browser.post(where, {})
            assert answer.status_code in (303, 400, 401, 403, 404, 405, 415), f"{person.name} at {where}"
            assert pattern is not None


def test_request__to_a_foreign_endpoint__does_not_say_what_it_serves(tenants):
    mine, foreign = tenants
    scoped_people(mine)
    wish = {
        "model": mine.model.name,
        "version": 1,
        "environment": foreign.environment.name,
        "endpoint": foreign.endpoint.name,
        "strategy": {"kind": "immediate"},
    }
    browser = signed_in("release_manager-model")
    answer = browser.post("/api/v1/releases", wish, content_type="application/json")

    assert answer.status_code == 400
    assert "is taken in" in answer.json()["error"]["details"]["endpoint"]
    preview = browser.post("/releases/preview/", {**wish, "kind": "immediate"}).content.decode()
    for body in (answer.content.decode(), preview):
        assert foreign.model.name not in body


@pytest.mark.parametrize("page", ["/audit/", "/releases/", "/endpoints/", "/system/", "/"])
def test_page__to_who_sees_everything__shows_both(tenants, page):
    _, body = told(signed_in("mona"), page)
    assert {MINE, FOREIGN} <= {word for word in (MINE, FOREIGN) if word in body}


def test_audit__of_one_s_own_acts__is_seen_whatever_the_scope(tenants):
    person = scoped_people(tenants[0])[0]
    browser = signed_in("engineer-environment")
    browser.post("/endpoints/nothing/nothing/rollback/")

    records = browser.get("/api/v1/audit/events", {"actor": "engineer-environment"}).json()["results"]
    assert person.actor is not None
    assert [row["action"] for row in records] == []
    browser.post("/models/zebra-model/edit/", {"owner": "x", "risk_tier": "low"})
    records = browser.get("/api/v1/audit/events", {"actor": "engineer-environment"}).json()["results"]
    assert [row["action"] for row in records] == ["act.refused", "page.read"]


@pytest.mark.parametrize("kind", ["environment", "model"])
@pytest.mark.parametrize("role", [role.value for role in Role])
def test_websocket__of_a_scoped_person__says_nothing_of_what_is_foreign(tenants, role, kind):
    person = next(person for person in scoped_people(tenants[0]) if person.name == f"{role}-{kind}")
    browser = signed_in(person.name)

    async def scenario():
        async with socket(f"/ws/live/?topics={LISTS}", browser) as ws:
            heard = [await ws.receive_json_from(timeout=5)]
            for topic in LISTS.split(","):
                await async_publish(
                    topic, "thing.changed", {"model": f"{FOREIGN}-model", "reason": f"{FOREIGN}-reason"}
                )
                heard.append(await ws.receive_json_from(timeout=5))
            return heard

    assert FOREIGN not in str(run(scenario))


@pytest.mark.parametrize("kind", ["environment", "model"])
def test_websocket__foreign_topics_and_charts__are_refused_and_own_ones_not(tenants, kind):
    mine, foreign = tenants
    scoped_people(mine)
    browser = signed_in(f"engineer-{kind}")

    def paths(tenant: Tenant) -> list[str]:
        place = (tenant.environment.name, tenant.endpoint.name)
        return [
            "/ws/live/?topics=endpoint.{}.{}".format(*place),
            f"/ws/live/?topics=release.{tenant.release.pk}",
            "/ws/charts/{}/{}/".format(*place),
        ]

    async def scenario(path):
        async with socket(path, browser) as ws:
            return await close_code(ws)

    async def own(path):
        async with socket(path, browser) as ws:
            return await ws.receive_nothing() or (await ws.receive_output())["type"]

    assert [run(lambda path=path: scenario(path)) for path in paths(foreign)] == [CLOSE_FORBIDDEN] * 3
    assert "websocket.close" not in [run(lambda path=path: own(path)) for path in paths(mine)]


def test_poll__of_a_scoped_person__says_what_the_websocket_says(tenants):
    scoped_people(tenants[0])
    since = 1
    said = signed_in("viewer-environment").get("/live/events.json", {"topics": LISTS, "since": since}).json()
    assert said["messages"]
    assert FOREIGN not in str(said)


def test_keys__that_open_more_than_one_may_manage__are_not_shown(tenants, people):
    mine, foreign = tenants
    make_person("kim", [(Role.RELEASE_MANAGER, mine.environment.scope)])
    names = [row["name"] for row in signed_in("kim").get("/api/v1/gateway-keys").json()["results"]]
    assert names == [f"{MINE}-key"]
    both = [mine.environment.name, foreign.environment.name]
    for environments in (both, [EVERYWHERE]):
        type(mine.key).objects.filter(pk=mine.key.pk).update(environments=environments)
        assert signed_in("kim").get("/api/v1/gateway-keys").json()["results"] == []
        assert signed_in("kim").post(f"/api/v1/gateway-keys/{mine.key.pk}/revoke").status_code == 404
    assert Environment.objects.count() == 2
