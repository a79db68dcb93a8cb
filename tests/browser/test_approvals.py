"""A reviewer at the keyboard: looks through the inbox, is asked before anything is decided, talks, and takes back."""

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Person
from tests.browser.test_screens import AXE, SERIOUS
from tests.e2e.client import Rest
from tests.support.product import Product

pytestmark = pytest.mark.browser

TITLE = "breast-cancer version 3 to production/keyed"
LONG_MS = 20_000


def decide_by_keys(page: Page, web: str) -> None:
    """Select a row, be asked whether to reject it, leave that, and approve it."""
    page.goto(f"{web}/approvals/?q=keyed")
    page.keyboard.press("j")
    expect(page.locator("tr.selected")).to_contain_text(TITLE)
    page.keyboard.press("r")
    dialog = page.get_by_role("dialog", name="Reject this release?")
    expect(dialog.get_by_label("Comment")).to_be_focused()
    dialog.get_by_role("button", name="Reject").click()
    expect(dialog).to_be_visible()  # it needs a comment
    page.keyboard.press("Escape")
    expect(page.locator("tr.selected a")).to_be_focused()
    page.keyboard.press("a")
    dialog = page.get_by_role("dialog", name="Approve this release?")
    expect(dialog).to_contain_text("Needs 1 more Reviewer and 1 more Risk officer.")
    expect(dialog.get_by_role("button", name="Approve")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Approved.")).to_be_visible()


def answer_while_typing(page: Page, rest: Rest, approval: str) -> None:
    """Somebody else comments meanwhile; what is being typed stays, and becomes a reply."""
    expect(page.locator("#connection-state")).to_contain_text("Live", timeout=LONG_MS)
    page.get_by_label("Write a comment").fill("I am still typing")
    rest.call("engineer", "POST", f"/approvals/{approval}/comments", {"text": "[x](javascript:alert(1)) *look*"})
    expect(page.locator("#thread em")).to_have_text("look", timeout=LONG_MS)
    expect(page.locator("#comment-text")).to_have_value("I am still typing")
    page.get_by_role("link", name="Reply to engineer").click()
    expect(page.get_by_role("textbox", name="Reply to engineer")).to_have_value("I am still typing")
    page.get_by_role("button", name="Comment", exact=True).click()
    expect(page.locator(".thread-replies")).to_contain_text("I am still typing")


def set_shortcuts(page: Page, web: str, to: str) -> None:
    page.goto(f"{web}/preferences/")
    page.get_by_label("Single-key shortcuts").select_option(to)
    page.get_by_role("button", name="Save").click()


def test_inbox__by_keys_only__asked_before_and_nothing_typed_is_lost(
    product: Product, rest: Rest, browser: Browser
) -> None:
    release = rest.request(3, {"kind": "immediate"}, endpoint="keyed").body["id"]
    approval = rest.reach(release, {"awaiting_approval"})["approval"]["id"]
    reviewer = Person(browser, product.web, product.credentials["people"], "reviewer", bypass_csp=True)
    page = reviewer.page
    decide_by_keys(page, product.web)
    page.goto(f"{product.web}/approvals/{approval}/")
    answer_while_typing(page, rest, approval)
    page.add_script_tag(path=AXE)
    found = page.evaluate("async () => (await axe.run(document, {resultTypes: ['violations']})).violations")
    assert [violation["id"] for violation in found if violation["impact"] in SERIOUS] == []
    page.get_by_role("button", name="Take it back").click()
    expect(page.get_by_role("button", name="Approve")).to_be_enabled()

    rest.call("engineer", "POST", f"/approvals/{approval}/withdraw", {"reason": "seen enough"})
    set_shortcuts(page, product.web, "off")
    page.goto(f"{product.web}/approvals/?tab=ended")
    page.keyboard.press("j")
    expect(page.locator("tr.selected")).to_have_count(0)
    set_shortcuts(page, product.web, "on")
    assert reviewer.console == []
    reviewer.close()
