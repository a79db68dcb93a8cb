"""A browser with an empty profile, the running product, and the site alone with something of everything."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.stage import WRITTEN
from tests.conftest import missing
from tests.e2e import conftest as e2e
from tests.e2e.client import Rest
from tests.factories import PASSWORD, PERSONAS
from tests.support.ports import free_ports
from tests.support.product import PASSED_ON, ROOT, Product, answers
from tests.support.waiting import PATIENCE_S, patience, until

product, receiver, rest = e2e.product, e2e.receiver, e2e.rest  # the same fixtures, an instance of its own

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


@dataclass(frozen=True)
class Staged:
    """The site of `tests.browser.stage`: its address, who can sign in, and the paths of pages by their names there."""

    web: str
    people: dict[str, dict[str, str]]
    paths: dict[str, str]
    recovery_code: str


@pytest.fixture(scope="package")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staged]:
    """The site alone, with something of everything that governance shows."""
    [port] = free_ports(1)
    data_dir, web = tmp_path_factory.mktemp("stage"), f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "tests.browser.stage", str(data_dir), str(port)]
    environment = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)

    def is_served() -> bool:
        assert process.poll() is None, "the staged site has ended"
        return answers(f"{web}/healthz")

    try:
        until(is_served, "the staged site answers", within_s=2 * PATIENCE_S)
        told = json.loads((data_dir / WRITTEN).read_text())
        people = {name: {"username": name, "password": PASSWORD} for name in PERSONAS}
        yield Staged(web, people, told["paths"], told["recovery_code"])
    finally:
        process.terminate()
        process.wait(patience())


class Person:
    """Somebody at a browser of their own; everything the console says is kept. `code` is a recovery code of whoever
    has a second factor.
    """

    def __init__(
        self,
        browser: Browser,
        web: str,
        people: dict[str, dict[str, str]],
        name: str,
        *,
        code: str = "",
        **context: object,
    ) -> None:
        self.console: list[str] = []
        size = {"width": 1440, "height": 900}
        self._context = browser.new_context(**{"viewport": size, **context})  # type: ignore[arg-type]
        self.page: Page = self._context.new_page()
        self.page.on("console", lambda message: self.console.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.console.append(f"error: {error}"))
        self.web = web
        self.page.goto(f"{web}/sign-in/")
        self.page.get_by_label("Name").fill(people[name]["username"])
        self.page.get_by_label("Password").fill(people[name]["password"])
        self.page.get_by_role("button", name="Sign in", exact=True).click()
        if code:
            self.page.get_by_label("code").fill(code)
            self.page.get_by_role("button", name="Go on").click()
        self.page.wait_for_url(f"{web}/")

    def close(self) -> None:
        self._context.close()
