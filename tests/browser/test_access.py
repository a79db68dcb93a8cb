"""A role given, seen and taken away by clicking; what may be done is clear on every screen, also on an open one."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Person
from tests.e2e.client import Rest
from tests.support.product import Product

pytestmark = pytest.mark.browser

LIVE_MS = 15_000


@pytest.fixture
def admin(product: Product, rest: Rest, browser: Browser) -> Iterator[Person]:
    person = Person(browser, product.web, product.credentials["people"], "admin")
    yield person
    person.close()


def give(page: Page, name: str, role: str, where: str) -> None:
    page.get_by_role("button", name="Account of").click()
    page.get_by_role("banner").get_by_role("link", name="People").click()
    page.get_by_role("link", name=name, exact=True).click()
    page.get_by_role("link", name="Give a role").click()
    page.get_by_label("Role", exact=True).select_option(label=role)
    page.get_by_label("Where").select_option(where)
    page.get_by_label("Expires after").select_option("7")
    page.get_by_label("Reason").fill("Stands in for a week")
    page.get_by_role("button", name="Give the role").click()
    page.wait_for_url(re.compile(f"/people/{name}/$"))


def end(page: Page, role: str) -> None:
    page.get_by_role("link", name=role, exact=True).first.click()
    page.get_by_label("Reason").last.fill("No longer needed")
    page.get_by_role("button", name="End the role").click()
    page.wait_for_url(re.compile("/people/[a-z]+/$"))


def test_role__given_and_ended_by_clicking__is_seen_on_the_person_s_open_page(
    product: Product, browser: Browser, admin: Person
) -> None:
    viewer = Person(browser, product.web, product.credentials["people"], "viewer")
    viewer.page.goto(f"{product.web}/access/#act-release-decide")
    expect(viewer.page.locator("#connection-state")).to_contain_text("Live", timeout=LIVE_MS)
    decide = viewer.page.locator("#act-release-decide")
    expect(decide).to_contain_text("Reviewer or Risk officer would allow it.")

    give(admin.page, "viewer", "Reviewer", "environment:production")
    row = admin.page.get_by_role("row", name="Reviewer").first
    expect(row).to_contain_text("environment production")
    expect(row).to_contain_text("6 days")
    expect(row).to_contain_text("admin")
    expect(decide).to_contain_text("environment production", timeout=LIVE_MS)

    end(admin.page, "Reviewer")
    expect(decide).to_contain_text("Not allowed.", timeout=LIVE_MS)
    expect(viewer.page.get_by_role("heading", name="Roles of the past")).to_be_visible()
    assert admin.console == viewer.console == []
    viewer.close()


def test_last_role__ended_while_a_page_is_open__its_socket_is_closed(
    product: Product, browser: Browser, admin: Person
) -> None:
    reviewer = Person(browser, product.web, product.credentials["people"], "reviewer")
    give(admin.page, "reviewer", "Viewer", "environment:staging")
    reviewer.page.goto(f"{product.web}/releases/")
    expect(reviewer.page.locator("#connection-state")).to_contain_text("Live", timeout=LIVE_MS)
    try:
        end(admin.page, "Reviewer")
        end(admin.page, "Viewer")
        expect(reviewer.page.locator("#connection-state")).to_have_attribute("data-state", "refused", timeout=LIVE_MS)
        reviewer.page.goto(f"{product.web}/releases/")
        expect(reviewer.page.locator("main")).to_contain_text("This needs the role Viewer")
        reviewer.page.get_by_role("link", name="My access").last.click()
        expect(reviewer.page.locator("main")).to_contain_text("Without a role nothing can be seen or done.")
    finally:
        give(admin.page, "reviewer", "Reviewer", "*")
        reviewer.close()


def test_everything__chosen__warns_and_is_never_the_default(product: Product, admin: Person) -> None:
    page = admin.page
    page.goto(f"{product.web}/people/viewer/give/")
    where, warning = page.get_by_label("Where"), page.locator(".everything")
    expect(where).to_have_value("")
    expect(warning).to_be_hidden()
    where.select_option("*")
    expect(warning).to_be_visible()
    page.get_by_label("Find an environment or a model").fill("breast")
    expect(where.locator("option[value='environment:production']")).to_have_count(0)
    where.select_option("model:breast-cancer")
    expect(warning).to_be_hidden()
    assert admin.console == []
