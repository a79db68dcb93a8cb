"""A passkey in a real browser with a virtual authenticator: added, used alone, as second factor, and to approve."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, CDPSession, Page

from tests.browser.test_screens import AXE, SERIOUS
from tests.e2e.client import Rest
from tests.support.product import Product

pytestmark = pytest.mark.browser

DEVICE = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


class Holder:
    """Somebody at a browser on a device that makes passkeys. Passkeys need a name in the address, and no numbers."""

    def __init__(self, browser: Browser, product: Product, name: str) -> None:
        self.web = product.web.replace("127.0.0.1", "localhost")
        self.credentials = product.credentials["people"][name]
        self.context = browser.new_context(viewport={"width": 360, "height": 800})
        self.page: Page = self.context.new_page()
        self.console: list[str] = []
        self.page.on("console", lambda message: self.console.append(f"{message.type}: {message.text}"))
        self.devices: CDPSession = self.context.new_cdp_session(self.page)
        self.devices.send("WebAuthn.enable")
        self.device = self.devices.send("WebAuthn.addVirtualAuthenticator", {"options": DEVICE})["authenticatorId"]

    def sign_in(self) -> None:
        self.page.goto(f"{self.web}/sign-in/")
        self.page.get_by_label("Name").fill(self.credentials["username"])
        self.page.get_by_label("Password").fill(self.credentials["password"])
        self.page.get_by_role("button", name="Sign in", exact=True).click()

    def sign_out(self) -> None:
        self.page.get_by_role("button", name="Account of").click()
        self.page.get_by_role("button", name="Sign out").click()
        self.page.wait_for_url(re.compile("/sign-in/"))

    def looks_right(self) -> None:
        self.page.evaluate(AXE.read_text() + ";0")
        found = self.page.evaluate("async () => (await axe.run(document, {resultTypes: ['violations']})).violations")
        assert [(row["id"], row["impact"]) for row in found if row["impact"] in SERIOUS] == []
        assert self.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.fixture
def holder(product: Product, rest: Rest, browser: Browser) -> Iterator[Holder]:
    holder = Holder(browser, product, "risk")
    yield holder
    holder.context.close()


def test_passkey__added_used_alone_as_second_factor_and_removed(holder: Holder) -> None:
    page, home = holder.page, f"{holder.web}/"
    holder.sign_in()
    page.wait_for_url(home)
    page.goto(f"{home}security/")
    holder.looks_right()
    page.get_by_label("Name of the passkey").fill("Phone")
    page.get_by_role("button", name="Add a passkey").click()
    page.wait_for_selector("#recovery-codes")
    assert len(page.locator("#recovery-codes").inner_text().split()) == 10
    page.get_by_role("link", name="I have kept them").click()
    holder.looks_right()

    holder.sign_out()
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url(home)
    holder.sign_out()
    holder.sign_in()
    page.wait_for_url(re.compile("/sign-in/factor/"))
    holder.looks_right()
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url(home)

    page.goto(f"{home}security/")
    page.get_by_role("button", name="Remove Phone").click()
    page.wait_for_url(re.compile("/security/"))
    page.get_by_text("None. With one, a stolen password opens nothing.").wait_for()
    assert [line for line in holder.console if line.startswith(("error", "warning"))] == []


def test_passkey__of_a_device_without_any__says_so_and_signs_nobody_in(holder: Holder) -> None:
    page = holder.page
    page.goto(f"{holder.web}/sign-in/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.get_by_text("No passkey was used").wait_for()
    assert "/sign-in/" in page.url
