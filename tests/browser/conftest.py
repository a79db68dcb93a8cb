"""A browser with an empty profile, and the running product."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.conftest import missing
from tests.e2e import conftest as e2e
from tests.e2e.client import Rest
from tests.support.product import Product

product, rest = e2e.product, e2e.rest  # the same fixtures, an instance of its own

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        missing("Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def served(product: Product, rest: Rest) -> str:
    """The address of an ended release, whose endpoint `development/followed` is served."""
    release = rest.request(1, {"kind": "immediate"}, environment="development", endpoint="followed").body["id"]
    rest.reach(release, {"succeeded"}, 90)
    return f"/releases/{release}/"


class Person:
    """Somebody at a browser of their own; everything the console says is kept."""

    def __init__(
        self, browser: Browser, web: str, people: dict[str, dict[str, str]], name: str, **context: object
    ) -> None:
        self.console: list[str] = []
        self._context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **context})  # type: ignore[arg-type]
        self.page: Page = self._context.new_page()
        self.page.on("console", lambda message: self.console.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.console.append(f"error: {error}"))
        self.web = web
        self.page.goto(f"{web}/sign-in/")
        self.page.get_by_label("Name").fill(people[name]["username"])
        self.page.get_by_label("Password").fill(people[name]["password"])
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(f"{web}/")

    def close(self) -> None:
        self._context.close()
