"""Moments on a page say on hover how long ago they were, in whichever zone the page is."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.contrib.staticfiles import finders
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.browser

SITE = "http://moments.test"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
KOLKATA = "Asia/Kolkata"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.clock.set_fixed_time(NOW)
    yield page
    context.close()
    assert problems == []


def show(page: Page, body: str, zone: str = "UTC") -> None:
    head = f'<!DOCTYPE html><html lang="en" data-time-zone="{zone}"><script src="/moments.js"></script>'
    html = f"{head}<body>{body}</body></html>"
    page.route(f"{SITE}/moments.js", lambda route: route.fulfill(path=str(finders.find("js/moments.js"))))
    page.route(f"{SITE}/", lambda route: route.fulfill(body=html, content_type="text/html; charset=utf-8"))
    page.goto(f"{SITE}/")


def written(away: timedelta, zone: str = "UTC", seconds: str = ":%S") -> str:
    return (NOW + away).astimezone(ZoneInfo(zone)).strftime(f"%Y-%m-%d %H:%M{seconds}")


@pytest.mark.parametrize(
    ("away", "said"),
    [
        (timedelta(seconds=-70), "70 seconds ago"),
        (timedelta(minutes=-5), "5 minutes ago"),
        (timedelta(minutes=-100), "100 minutes ago"),
        (timedelta(hours=3), "in 3 hours"),
        (timedelta(days=-40), "40 days ago"),
        (timedelta(days=-900), "2 years ago"),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", KOLKATA])
def test_moment__pointed_at__says_how_long_ago(page: Page, away: timedelta, said: str, zone: str) -> None:
    show(page, f"<p>Began {written(away, zone)} by mona</p>", zone)
    page.locator("p").hover()

    expect(page.locator("p")).to_have_attribute("title", said)


def test_moment__named_in_utc_on_a_page_of_another_zone__is_read_as_utc(page: Page) -> None:
    show(page, f"<p>Until {written(timedelta(hours=-2), seconds='')} UTC.</p>", KOLKATA)
    page.locator("p").hover()

    expect(page.locator("p")).to_have_attribute("title", "2 hours ago")


def test_moments__two_in_a_sentence__each_is_named(page: Page) -> None:
    show(page, "<p>From 2026-11-23 11:00 to 2026-11-23 11:30</p>")
    page.locator("p").hover()

    expect(page.locator("p")).to_have_attribute("title", "11:00: 60 minutes ago, 11:30: 30 minutes ago")


def test_moment__on_what_has_the_focus__is_told_as_well(page: Page) -> None:
    show(page, '<a href="#x">2026-11-23 11:00</a>')
    page.keyboard.press("Tab")

    expect(page.locator("a")).to_have_attribute("title", "60 minutes ago")


@pytest.mark.parametrize(
    "body",
    [
        "<p>2026-13-45 99:99</p>",
        "<p>nothing of the kind</p>",
        "<pre>2026-11-23 11:00</pre>",
        '<p title="its own">2026-11-23 11:00</p>',
    ],
)
def test_text__no_moment_or_not_ours__keeps_what_it_has(page: Page, body: str) -> None:
    show(page, body)
    element = page.locator("p, pre")
    before = element.get_attribute("title")
    element.hover()

    assert element.get_attribute("title") == before
