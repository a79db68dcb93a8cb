"""Lists of pages: one component for tables, and filters that pages and REST share."""

from typing import Any

import pytest
from django.template import engines
from django.urls import reverse

from registry.models import Environment
from tests.deployments.world import World
from tests.support import crowd
from tests.support.live import signed_in

pytestmark = pytest.mark.usefixtures("data_dir")

TABLE = """{% when_empty "No fruit yet" "Plant some." url="/plant/" action="Plant" as empty %}
{% table "Fruit" "Name|Weight" filtered=filtered empty=empty %}{% for name in names %}<tr><td>{{ name }}</td></tr>{% endfor %}{% endtable %}"""


def rendered(**context: Any) -> str:
    return engines["django"].from_string(TABLE).render(context)


@pytest.fixture
def environment(people: Any) -> Environment:
    return World(people).environment


def test_table__rows__with_caption_and_head() -> None:
    html = rendered(names=["fig", "<b>"])

    assert '<caption class="visually-hidden">Fruit</caption>' in html
    assert html.count('<th scope="col">') == 2
    assert "<td>fig</td>" in html
    assert "&lt;b&gt;" in html
    assert "No fruit yet" not in html


def test_table__cells__say_their_heading_for_the_cards_of_a_phone() -> None:
    rows = '<tr class="x"><th scope="row">fig</th><td class="n">3</td><td> </td><td>-</td></tr><tr><td colspan="4">.</td></tr>'
    table = '{% table "Fruit" heads look=look %}' + rows * 2 + "{% endtable %}"
    heads = ["Name", "A & <b>", "Empty", ""]
    html = engines["django"].from_string(table).render({"heads": heads, "look": "card-table"})

    assert html.count('<td data-head="A &amp; &lt;b&gt;" class="n">3</td>') == 2
    assert html.count("data-head") == 2, "neither the first cell, nor an empty one, nor one over several columns"
    board = engines["django"].from_string(table).render({"heads": heads, "look": "card-table board"})
    assert "data-head" not in board


@pytest.mark.parametrize(("filtered", "said"), [(False, "No fruit yet"), (True, "Nothing matches")])
def test_table__no_rows__says_why_and_what_to_do(filtered: bool, said: str) -> None:
    html = rendered(names=[], filtered=filtered)

    assert said in html
    assert ("/plant/" in html) is not filtered
    assert "<table" not in html


def names_of(answer: Any) -> list[str]:
    return [str(row[0].endpoint.name) for row in answer.context["rows"]]


def test_releases__filtered_on_the_page_and_in_rest__say_the_same(people: Any, environment: Environment) -> None:
    crowd.add(people, environment, 3)
    browser = signed_in("vik")
    first = browser.get(reverse("releases")).context["rows"][0][0]
    wanted = {"status": "paused", "environment": "production", "model": first.version.model.name}
    page = browser.get(reverse("releases"), wanted)
    rest = browser.get(reverse("api-releases"), wanted).json()

    assert names_of(page) == [row["endpoint"] for row in rest["results"]] == [first.endpoint.name]
    assert f'name="model" value="{first.version.model.name}"' in page.content.decode()


def test_releases__a_status_that_does_not_exist__matches_nothing(people: Any, environment: Environment) -> None:
    crowd.add(people, environment, 1)
    browser = signed_in("vik")

    assert "Nothing matches" in browser.get(reverse("releases"), {"status": "lost"}).content.decode()
    assert browser.get(reverse("api-releases"), {"status": "lost"}).json()["count"] == 0


@pytest.mark.parametrize("wrong", [{"since": "yesterday"}, {"actor": "x" * 101}, {"subject": "a\x00"}])
def test_audit__filter_that_cannot_be_read__is_left_out_and_said(
    people: Any, environment: Environment, wrong: dict[str, str]
) -> None:
    crowd.add(people, environment, 2)
    answer = signed_in("mona").get(reverse("audit"), wrong)

    assert len(answer.context["page"]) >= 2
    assert 'class="text-danger' in answer.content.decode()


def test_audit__people_search_parts__programs_ask_exactly(people: Any, environment: Environment) -> None:
    crowd.add(people, environment, 1)
    browser = signed_in("mona")

    assert len(browser.get(reverse("audit"), {"actor": "MON", "action": "release."}).context["page"]) == 1
    assert browser.get(reverse("api-audit"), {"actor": "mon"}).json()["count"] == 0
    assert browser.get(reverse("api-audit"), {"actor": "mona", "action": "release.requested"}).json()["count"] == 1


def test_models__searched_on_the_page_and_in_rest__say_the_same(people: Any, environment: Environment) -> None:
    crowd.add(people, environment, 3)
    browser = signed_in("vik")
    name = browser.get(reverse("models")).context["page"][0].name
    page = browser.get(reverse("models"), {"q": name}).context["page"]

    assert [model.name for model in page] == [name]
    assert [row["name"] for row in browser.get(reverse("api-models"), {"q": name}).json()["results"]] == [name]
