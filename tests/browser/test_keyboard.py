"""By keys alone: the way past the navigation, where one stands in a list, and that nothing with the focus is hidden."""

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Person, Staged

pytestmark = pytest.mark.browser

TABS = 45
# What has the focus and lies under the bar at the thumb, or outside of what is seen; nothing while all is well.
HIDDEN = """() => {
  const one = document.activeElement, bar = document.querySelector(".decision-bar"), box = one.getBoundingClientRect();
  if (one === document.body || bar.contains(one)) return "";
  const over = bar.getBoundingClientRect(), under = box.top >= over.top && box.bottom <= over.bottom;
  return under || box.bottom <= 0 || box.top >= window.innerHeight ? one.outerHTML.slice(0, 120) : "";
}"""


def test_inbox__moved_in_by_keys__row_has_the_focus_and_keeps_it_over_a_swap(staged: Staged, browser: Browser) -> None:
    oscar = Person(browser, staged.web, staged.people, "oscar")
    page = oscar.page
    page.goto(f"{staged.web}/approvals/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()
    page.keyboard.press("j")
    chosen = page.locator("tr.selected a")
    expect(chosen).to_be_focused()
    page.evaluate("document.querySelector('tr.selected').dataset.swapped = 'not yet'")
    page.evaluate("document.body.dispatchEvent(new CustomEvent('live'))")
    expect(page.locator("[data-swapped]")).to_have_count(0)
    expect(chosen).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/approvals/[0-9a-f-]+/$"))
    assert oscar.console == []
    oscar.close()


def test_approval_on_a_phone__tabbed_through__what_has_the_focus_is_seen(staged: Staged, browser: Browser) -> None:
    size = {"width": 360, "height": 640}
    oscar = Person(browser, staged.web, staged.people, "oscar", viewport=size, reduced_motion="reduce")
    page = oscar.page
    page.goto(f"{staged.web}{staged.paths['approval of plain']}")
    hidden = set()
    for _ in range(TABS):
        page.keyboard.press("Tab")
        hidden.add(page.evaluate(HIDDEN))
    assert hidden == {""}
    oscar.close()
