"""By clicking only: request a release, approve it, watch the charts move, roll it back. The console stays empty."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Person
from tests.e2e.client import Load, Rest
from tests.support.product import Product

pytestmark = pytest.mark.browser

LONG_MS = 90_000


def ask_for_canary(page: Page) -> None:
    page.get_by_role("link", name="Releases", exact=True).click()
    page.get_by_role("link", name="New release").click()
    page.get_by_label("Model").select_option("breast-cancer")
    expect(page.get_by_label("Version", exact=True)).to_contain_text("stable in production/cancer")
    page.get_by_label("Reason").fill("Better recall")
    page.get_by_label("Environment").select_option("production")
    expect(page.get_by_text("Filled in as production policy")).to_be_visible()
    expect(page.get_by_label("Endpoint")).not_to_have_value("")
    page.get_by_label("Endpoint").fill("cancer")
    page.get_by_label("Version", exact=True).select_option("2")
    expect(page.get_by_label("Reason")).to_have_value("Better recall")
    preview = page.locator("#preview")
    expect(preview).to_contain_text("1 Reviewer, 1 Risk officer")
    expect(preview).to_contain_text("A rollback returns to version 1.")
    page.get_by_role("button", name="Request the release").click()
    page.wait_for_url(re.compile("/releases/[0-9a-f-]{36}/"))


def approve(person: Person) -> None:
    page = person.page
    page.goto(f"{person.web}/approvals/")
    page.get_by_role("link", name="breast-cancer version 2").click()
    expect(page.get_by_role("heading", name="From version 1 to version 2")).to_be_visible()
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("Approved.")).to_be_visible()


def test_walk__request_approve_watch_roll_back__by_clicking(product: Product, rest: Rest, browser: Browser) -> None:
    first = rest.request(1, {"kind": "immediate"})
    rest.approve(first.body["id"])
    rest.reach(first.body["id"], {"succeeded"}, 90)
    people = product.credentials["people"]
    with Load(product, 25):
        engineer = Person(browser, product.web, people, "engineer")
        page = engineer.page
        ask_for_canary(page)
        status = page.locator("#release-top")
        expect(status).to_contain_text("Awaiting approval", timeout=LONG_MS)
        expect(page.locator("#connection-state")).to_contain_text("Live")
        for name in ("reviewer", "risk"):
            decider = Person(browser, product.web, people, name)
            approve(decider)
            assert decider.console == []
            decider.close()

        expect(status).to_contain_text("10 %", timeout=LONG_MS)
        expect(status).to_contain_text("Watching until", timeout=LONG_MS)
        page.reload()
        chart = page.locator('[data-chart="rate"]')
        expect(chart.locator("svg.main-svg").first).to_be_visible()
        before = int(chart.get_attribute("data-points") or 0)
        page.wait_for_function(
            "([box, before]) => Number(box.dataset.points) > before + 3",
            arg=[chart.element_handle(), before],
            timeout=15_000,
        )
        expect(chart).to_have_attribute("aria-label", re.compile("candidate"), timeout=LONG_MS)

        page.get_by_role("button", name="Roll back now").first.click()
        dialog = page.get_by_role("dialog", name="Roll back now")
        expect(dialog).to_contain_text("A rollback returns to version 1.")
        dialog.get_by_label("Reason").fill("seen enough")
        dialog.get_by_role("button", name="Roll back now").click()
        expect(page.locator("#release-top")).to_contain_text("Rolled back by engineer", timeout=LONG_MS)
        page.get_by_role("main").get_by_role("link", name="Report", exact=True).click()
        expect(page.get_by_role("heading", name="Release report")).to_be_visible()
        assert engineer.console == []
        engineer.close()


def test_live__websockets_blocked__page_is_right_by_polling(product: Product, rest: Rest, browser: Browser) -> None:
    person = Person(browser, product.web, product.credentials["people"], "engineer")
    page = person.page
    page.add_init_script("window.WebSocket = class { constructor() { throw new Error('blocked'); } };")
    page.goto(f"{product.web}/releases/")
    expect(page.locator("#connection-state")).to_contain_text("Polling", timeout=15_000)
    answer = rest.request(1, {"kind": "immediate"}, environment="development", endpoint="polled")
    assert answer.status == 201, answer
    expect(page.locator("#releases")).to_contain_text("development/polled", timeout=15_000)
    person.close()
