"""Lists cost the same number of queries with few rows and with many."""

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from deployments.board import models_on_board
from deployments.models import Endpoint, Release, TrafficChange
from mlorch_site.lib import clock
from registry.models import Environment
from tests.deployments.world import World
from tests.support import crowd
from tests.support.live import signed_in

pytestmark = pytest.mark.usefixtures("data_dir")

FEW, MORE = 2, 18
PAGES = (
    "overview",
    "models",
    "approvals",
    "releases",
    "endpoints",
    "alerts",
    "alert-rules",
    "audit",
    "tokens",
    "system",
    "gateways",
    "environments",
)
API_LISTS = (
    "api-models",
    "api-releases",
    "api-endpoints",
    "api-gateway-keys",
    "api-tokens",
    "api-audit",
    "api-alerts",
    "api-alert-rules",
)
QUERIES_MAX = 40


@pytest.fixture
def environment(people: Any) -> Environment:
    return World(people).environment


def queries_of(browser: Client, address: str) -> list[str]:
    with CaptureQueriesContext(connection) as seen:
        answer = browser.get(address)
    assert answer.status_code == 200
    return [query["sql"] for query in seen]


def assert_constant(people: Any, environment: Environment, address: str, who: str) -> None:
    """Compare after a first visit: what is read once per process or session does not count."""
    browser = signed_in(who)
    crowd.add(people, environment, FEW)
    browser.get(address)
    few = queries_of(browser, address)
    crowd.add(people, environment, MORE)
    many = queries_of(browser, address)

    assert len(many) == len(few), "\n".join(sorted(set(many), key=many.count)[-3:])
    assert len(many) <= QUERIES_MAX


@pytest.mark.parametrize("page", PAGES)
def test_page__many_rows__no_more_queries(people: Any, environment: Environment, page: str) -> None:
    assert_constant(people, environment, reverse(page), "mona")


@pytest.mark.parametrize("surface", ["", "api-"])
@pytest.mark.parametrize("subject", ["environment", "model", "endpoint"])
def test_past__many_rows__no_more_queries(people: Any, environment: Environment, subject: str, surface: str) -> None:
    """With more endpoints, and more versions and changes of the one that is looked at."""
    browser = signed_in("mona")
    crowd.add(people, environment, FEW)
    endpoint = Endpoint.objects.order_by("name")[0]
    names = {"environment": [environment.name], "model": [endpoint.model.name]}
    where = reverse(f"{surface}{subject}-past", args=names.get(subject, [environment.name, endpoint.name]))

    def queries() -> list[str]:
        return queries_of(browser, f"{where}?at={quote(clock.now().isoformat())}")

    queries()
    few = queries()
    crowd.add(people, environment, MORE)
    crowd.add_changes(endpoint, MORE)
    many = queries()

    assert len(many) == len(few), "\n".join(sorted(set(many), key=many.count)[-3:])
    assert len(many) <= QUERIES_MAX


def test_past__of_endpoints_that_are_not_recorded__no_more_queries(people: Any, environment: Environment) -> None:
    browser, counts = signed_in("mona"), []
    for size in (FEW, FEW, MORE):
        crowd.add(people, environment, size)
        at = clock.now().isoformat()
        TrafficChange.objects.update(at=clock.now() + timedelta(days=1))
        where = reverse("environment-past", args=[environment.name])
        counts.append(len(queries_of(browser, f"{where}?at={quote(at)}")))

    assert counts[1] == counts[2]


@pytest.mark.parametrize("tab", ["mine", "open", "ended"])
def test_approvals__each_tab_of_a_reviewer__no_more_queries(people: Any, environment: Environment, tab: str) -> None:
    assert_constant(people, environment, f"{reverse('approvals')}?tab={tab}", "rita")


@pytest.mark.parametrize("page", API_LISTS)
def test_api_list__many_rows__no_more_queries(people: Any, environment: Environment, page: str) -> None:
    assert_constant(people, environment, reverse(page), "mona")


@pytest.mark.parametrize("where", ["people", "api-people", "access-review-json"])
def test_people__many_with_many_roles__no_more_queries(people: Any, environment: Environment, where: str) -> None:
    browser, address = signed_in("ada"), reverse(where)
    crowd.add_people(environment, FEW)
    browser.get(address)
    few = queries_of(browser, address)
    crowd.add_people(environment, MORE)
    many = queries_of(browser, address)

    assert len(many) == len(few), "\n".join(sorted(set(many), key=many.count)[-3:])


def test_access__many_roles_of_today_and_the_past__no_more_queries(people: Any, environment: Environment) -> None:
    crowd.add(people, environment, FEW)
    crowd.add_bindings(people.mona.user, FEW)
    browser, address = signed_in("mona"), reverse("access")
    browser.get(address)
    few = queries_of(browser, address)
    crowd.add(people, environment, MORE)
    crowd.add_bindings(people.mona.user, MORE)

    assert len(queries_of(browser, address)) == len(few)
    assert len(few) <= QUERIES_MAX


def test_endpoints__figures__are_each_endpoint_s_own(people: Any, environment: Environment) -> None:
    crowd.add(people, environment, FEW)
    rows = signed_in("vik").get(reverse("endpoints")).context["rows"]

    assert [row[-1].requests for row in rows] == [6] * FEW


def test_models__versions__are_counted_not_loaded(people: Any, environment: Environment) -> None:
    crowd.add(people, environment, FEW)
    vik = signed_in("vik")
    queries = queries_of(vik, reverse("models"))

    assert not any('FROM "registry_version" WHERE "registry_version"."model_id" IN' in query for query in queries)
    assert [model.version_count for model in vik.get(reverse("models")).context["page"]][:FEW] == [2] * FEW


def test_overview__many_rows__short_lists_say_how_many_are_left_out(people: Any, environment: Environment) -> None:
    crowd.add(people, environment, MORE)
    page = signed_in("mona").get(reverse("overview")).content.decode()

    for things in ("rollouts", "releases"):
        assert f"and {MORE - 10} more {things}" in page


def test_overview__more_than_a_page_moves__no_more_queries_and_no_more_releases_read(
    people: Any, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    from_db = Release.from_db
    monkeypatch.setattr(Release, "from_db", lambda *values: made.append(values) or from_db(*values))
    browser, address, counts = signed_in("mona"), reverse("overview"), []
    for more in (FEW, 2 * MORE, MORE):
        crowd.add(people, environment, more)
        crowd.approve_moving(people)
        browser.get(address)
        made.clear()
        counts.append((len(queries_of(browser, address)), len(made)))

    assert len({queries for queries, _ in counts}) == 1
    assert counts[1] == counts[2]


def test_board__models_in_order__what_moves_is_read_once_not_for_each_model(people: Any) -> None:
    assert str(models_on_board(people.mona.actor).query).count("EXISTS") == 1


def test_endpoints__more_than_a_page__paged_and_searched(people: Any, environment: Environment) -> None:
    crowd.add(people, environment, 27)
    browser = signed_in("vik")
    second = browser.get(reverse("endpoints"), {"page": 2})
    name = second.context["rows"][-1][0].name

    assert len(second.context["rows"]) == 2
    assert [row[0].name for row in browser.get(reverse("endpoints"), {"q": name}).context["rows"]] == [name]
    assert "Nothing matches" in browser.get(reverse("endpoints"), {"q": "nothing"}).content.decode()
