"""Who is told that the session is over, or that this may not be heard, asks no more."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, WebSocketRoute, expect

from tests.browser.conftest import Person
from tests.support.product import Product

pytestmark = pytest.mark.browser

MINUTES_MS = 5 * 60 * 1000
RELOADED_JUST_NOW = "sessionStorage.setItem('mlorch-reloaded-at', String(Date.now()))"
BLOCKED = "window.WebSocket = class { constructor() { throw new Error('blocked'); } };"


@pytest.fixture
def address(product: Product, served: str) -> str:
    """A page that hears news and follows charts, and fetches nothing by itself."""
    return f"{product.web}{served}"


@pytest.fixture
def engineer(product: Product, browser: Browser) -> Iterator[Person]:
    """Somebody whose page's clock can be turned on."""
    person = Person(browser, product.web, product.credentials["people"], "engineer")
    person.page.clock.install()
    yield person
    person.close()


class Asked:
    """What a page asks for news: websockets it opens, and polls."""

    def __init__(self, page: Page) -> None:
        self.addresses: list[str] = []
        page.on("websocket", lambda socket: self.addresses.append(socket.url))
        page.on("request", lambda request: "/live/" in request.url and self.addresses.append(request.url))

    def in_minutes(self, page: Page) -> list[str]:
        """What is asked in some minutes from now."""
        self.addresses.clear()
        page.clock.run_for(MINUTES_MS)
        page.wait_for_timeout(500)
        return self.addresses


def state(page: Page) -> object:
    return page.locator("#connection-state").get_attribute("data-state")


def sign_out_elsewhere(person: Person) -> None:
    other = person.page.context.new_page()
    other.goto(f"{person.web}/preferences/")
    other.get_by_role("button", name=re.compile("Account of")).click()
    other.get_by_role("button", name="Sign out").click()
    other.wait_for_url(re.compile("/sign-in/"))
    other.close()


def test_signed_out__while_the_page_is_open__goes_to_the_sign_in_page_and_asks_no_more(
    engineer: Person, address: str
) -> None:
    page = engineer.page
    page.goto(address)
    expect(page.locator("#connection-state")).to_have_attribute("data-state", "live")
    asked = Asked(page)
    sign_out_elsewhere(engineer)
    page.wait_for_url(re.compile("/sign-in/"), timeout=15_000)

    assert asked.in_minutes(page) == []


@pytest.mark.parametrize("websockets", ["open", "blocked"])
def test_signed_out__page_was_just_loaded_again__stays_says_so_and_asks_no_more(
    engineer: Person, address: str, websockets: str
) -> None:
    page = engineer.page
    if websockets == "blocked":
        page.add_init_script(BLOCKED)
    page.goto(address)
    page.evaluate(RELOADED_JUST_NOW)
    asked = Asked(page)
    sign_out_elsewhere(engineer)
    expect(page.locator("#connection-state")).to_contain_text("Signed out", timeout=15_000)

    assert asked.in_minutes(page) == []
    assert state(page) == "signed-out"


@pytest.mark.parametrize("code", [4400, 4403])
def test_refused__by_both_sockets__each_asked_once_and_nothing_polled(engineer: Person, served: str, code: int) -> None:
    page = engineer.page
    opened: list[str] = []

    def refuse(socket: WebSocketRoute) -> None:
        opened.append(socket.url)
        socket.close(code=code, reason="refused")

    page.route_web_socket(re.compile("/ws/"), refuse)
    page.goto(f"{engineer.web}/endpoints/development/followed/")  # its charts are followed
    expect(page.locator("#connection-state")).to_have_attribute("data-state", "refused")
    asked = Asked(page)
    page.wait_for_timeout(500)

    assert sorted(re.findall(r"/ws/(\w+)/", " ".join(opened))) == ["charts", "live"]
    assert asked.in_minutes(page) == []
    assert len(opened) == 2


def test_refused__by_polling__not_polled_again(engineer: Person, address: str) -> None:
    page = engineer.page
    page.add_init_script(BLOCKED)
    page.route("**/live/**", lambda route: route.fulfill(status=403, body="{}"))
    page.goto(address)
    expect(page.locator("#connection-state")).to_have_attribute("data-state", "refused", timeout=15_000)
    page.wait_for_timeout(500)

    assert Asked(page).in_minutes(page) == []


def test_server_away__for_a_while__is_asked_again_and_nothing_is_missed(engineer: Person, address: str) -> None:
    page = engineer.page
    opened: list[WebSocketRoute] = []

    def pass_on(socket: WebSocketRoute) -> None:
        opened.append(socket)
        socket.connect_to_server()

    page.route_web_socket(re.compile("/ws/live/"), pass_on)
    page.goto(address)
    expect(page.locator("#connection-state")).to_have_attribute("data-state", "live")
    opened[0].close(code=1012, reason="restarting")
    page.clock.run_for(5_000)
    expect(page.locator("#connection-state")).to_have_attribute("data-state", "live")

    assert len(opened) == 2
    since = page.locator("body").get_attribute("data-live-since")
    assert opened[1].url.endswith(f"&since={since}")
