"""The past by hand: the field, steps from change to change, an address that was pasted, in every theme and width."""

from datetime import datetime, timedelta

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Person
from tests.browser.test_screens import AXE, SERIOUS
from tests.e2e.client import Rest
from tests.support.product import Product

pytestmark = pytest.mark.browser

ENDPOINT = "/endpoints/development/followed/"
STEPS_MAX = 40


@pytest.fixture
def ended_at(served: str, rest: Rest) -> str:
    """When the endpoint's release had ended."""
    return str(rest.get(served.rstrip("/"))["ended_at"])


def sideways(person: Person) -> int:
    return int(person.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def follow(page: Page, name: str) -> None:
    """Follow a step, and wait until the page of its moment is there."""
    link = page.get_by_role("link", name=name)
    target = str(link.get_attribute("href"))
    link.click()
    page.wait_for_url(lambda url: url.endswith(target))
    expect(page.get_by_text("As it was at 20")).to_be_visible()


def serious(person: Person) -> list[str]:
    person.page.add_script_tag(path=AXE)
    found = person.page.evaluate("async () => (await axe.run(document, {resultTypes: ['violations']})).violations")
    return [f"{one['id']} at {one['nodes'][0]['target']}" for one in found if one["impact"] in SERIOUS]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_past__of_each_kind__is_accessible_and_fits(
    product: Product, browser: Browser, ended_at: str, theme: str, width: int
) -> None:
    size = {"width": width, "height": 900}
    people = product.credentials["people"]
    person = Person(browser, product.web, people, "manager", color_scheme=theme, viewport=size, bypass_csp=True)
    problems = []
    for path in (ENDPOINT, "/models/breast-cancer/", "/environments/development/"):
        for at in (ended_at, "nonsense"):
            person.page.goto(f"{product.web}{path}?at={at}")
            problems += [f"{path} {at}: {one}" for one in serious(person)]
            problems += [f"{path} {at} scrolls sideways"] if sideways(person) > 0 else []
    said = [line for line in person.console if "400 (Bad Request)" not in line]
    person.close()

    assert problems == []
    assert said == []


def test_past__field_steps_and_pasted_address__lead_through_what_happened(
    product: Product, browser: Browser, ended_at: str
) -> None:
    person = Person(browser, product.web, product.credentials["people"], "manager")
    page = person.page
    page.goto(f"{product.web}{ENDPOINT}")
    expect(page.get_by_role("button", name="Roll back").first).to_be_visible()
    page.get_by_label("As it was at").fill(_next_second(ended_at))
    page.get_by_role("button", name="Show").focus()
    page.keyboard.press("Enter")

    banner = page.get_by_text("As it was at 20")
    expect(banner).to_be_visible()
    expect(page.locator("#traffic-title + *, .arm-stable").first).to_be_visible()
    expect(page.get_by_role("button", name="Roll back")).to_have_count(0)
    expect(page.locator("#connection-state")).to_contain_text("Static page")

    steps = 0
    while page.get_by_role("link", name="Earlier change").count() and steps < STEPS_MAX:
        follow(page, "Earlier change")
        steps += 1
    expect(page.get_by_text("Nothing was served.")).to_be_visible()
    assert 3 < steps < STEPS_MAX
    while page.get_by_role("link", name="Later change").count():
        follow(page, "Later change")
    expect(page.get_by_role("cell", name="100 %")).to_be_visible()

    page.goto(f"{product.web}{ENDPOINT}?at={ended_at.replace('Z', '+00:00')}")
    expect(page.get_by_role("cell", name="100 %")).to_be_visible()
    page.get_by_role("link", name="Now", exact=True).click()
    page.wait_for_url(f"{product.web}{ENDPOINT}")
    assert person.console == []
    person.close()


def _next_second(moment: str) -> str:
    """The first whole second after a moment, as the field takes it; people of a new installation are in UTC."""
    return f"{datetime.fromisoformat(moment) + timedelta(seconds=1):%Y-%m-%dT%H:%M:%S}"
