"""A model card is written with its preview beside it, and of two who write at once nobody loses anything."""

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Person
from tests.support.product import Product

pytestmark = pytest.mark.browser

CARD = "/models/breast-cancer/versions/1/card/"


def test_card__two_editors__preview_conflict_and_nothing_lost(product: Product, browser: Browser) -> None:
    people = product.credentials["people"]
    first, second = (Person(browser, product.web, people, name) for name in ("engineer", "manager"))
    for person in (first, second):
        person.page.goto(f"{product.web}{CARD}edit/")

    first.page.get_by_label("Limits").fill("Not for **children**. <script>alert(1)</script>")
    preview = first.page.locator("#card-preview")
    expect(preview.locator("strong", has_text="children")).to_be_visible()
    expect(preview).to_contain_text("<script>alert(1)</script>")
    first.page.get_by_role("button", name="Save", exact=True).click()
    first.page.wait_for_url(f"{product.web}{CARD}")

    second.page.get_by_label("Contact").fill("desk 7")
    second.page.get_by_role("button", name="Save", exact=True).click()
    expect(second.page.get_by_role("alert").first).to_contain_text("yours started from revision 0")
    expect(second.page.get_by_label("Contact")).to_have_value("desk 7")
    expect(second.page.get_by_label("Limits")).to_have_value("Not for **children**. <script>alert(1)</script>")
    second.page.get_by_role("button", name="Save", exact=True).click()
    second.page.wait_for_url(f"{product.web}{CARD}")

    expect(second.page.get_by_text("desk 7")).to_be_visible()
    expect(first.page.get_by_text("This is revision")).to_have_count(0)
    assert first.console == []
    assert [line for line in second.console if "409" not in line] == []
    for person in (first, second):
        person.close()
