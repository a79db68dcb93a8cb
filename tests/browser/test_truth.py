"""A page that lost a message, or whose fetch was overtaken, is right again by itself; one that cannot be says so."""

import json
import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, WebSocketRoute, expect

from tests.browser.conftest import Person
from tests.e2e.client import Rest
from tests.support.product import Product

pytestmark = pytest.mark.browser

RIGHT_WITHIN_MS = 15_000
SLACK_MS = 5_000
ENDPOINT = "/endpoints/development/followed/"
AS_OF = re.compile(r", as of \d\d:\d\d:\d\d")
BLOCKED = "window.WebSocket = class { constructor() { throw new Error('blocked'); } };"
NEWS = "document.body.dispatchEvent(new CustomEvent('live'))"


@pytest.fixture
def engineer(product: Product, served: str, browser: Browser) -> Iterator[Person]:
    person = Person(browser, product.web, product.credentials["people"], "manager")
    yield person
    person.close()


def fragments(page: Page, path: str) -> list[str]:
    """The requests of the page for its own parts, from now on."""
    asked: list[str] = []
    page.on("request", lambda request: path in request.url and "hx-request" in request.headers and asked.append(path))
    return asked


def drop(page: Page, *kinds: str) -> list[str]:
    """Let the page's websocket live, and lose every message of these kinds that comes over it."""
    lost: list[str] = []

    def between(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def pass_on(message: str | bytes) -> None:
            if json.loads(message)["type"] in kinds:
                lost.append(str(message))
            else:
                socket.send(message)

        server.on_message(pass_on)

    page.route_web_socket(re.compile("/ws/live/"), between)
    return lost


def test_message_lost__page_is_right_within_15_s(product: Product, rest: Rest, engineer: Person) -> None:
    page = engineer.page
    lost = drop(page, "event")
    page.goto(f"{product.web}{ENDPOINT}")
    expect(page.locator("#connection-state")).to_have_attribute("data-state", "live")
    revision = rest.get("/endpoints/development/followed/serving-config")["revision"]
    changed = rest.call(
        "manager", "PATCH", "/endpoints/development/followed/serving-config", {"timeout_ms": 9000 + revision}
    )
    assert changed.status == 200
    text = f"Serving config {changed.body['revision']} is written and not in force."

    expect(page.locator("#endpoint")).to_contain_text(text, timeout=RIGHT_WITHIN_MS)
    assert lost
    assert engineer.console == []


@pytest.fixture
def asked_for(rest: Rest) -> Iterator[Callable[[str], None]]:
    """Requests a release to an endpoint of that name, which nobody approves; ended in the end."""
    made: list[str] = []

    def request(endpoint: str) -> None:
        answer = rest.request(1, {"kind": "immediate"}, endpoint=endpoint)
        assert answer.status == 201, answer
        made.append(answer.body["id"])

    yield request
    for release in made:
        rest.call("manager", "POST", f"/releases/{release}/abort", {"reason": "only asked for"})


@pytest.mark.parametrize("kinds", [["event"], ["event", "pong"]], ids=["an event", "everything"])
def test_message_lost__on_a_page_that_fetches_seldom__is_right_within_15_s(
    product: Product, engineer: Person, asked_for: Callable[[str], None], kinds: list[str]
) -> None:
    page, name = engineer.page, f"unheard-{len(kinds)}"
    lost = drop(page, *kinds)
    page.goto(f"{product.web}/releases/")
    expect(page.locator("#connection-state")).to_have_attribute("data-state", "live")
    asked_for(name)

    expect(page.locator("#releases")).to_contain_text(name, timeout=RIGHT_WITHIN_MS)
    assert lost
    assert engineer.console == []


def test_websockets_blocked__page_that_fetches_seldom__is_right_within_15_s(
    product: Product, engineer: Person, asked_for: Callable[[str], None]
) -> None:
    page = engineer.page
    page.add_init_script(BLOCKED)
    page.goto(f"{product.web}/releases/")
    expect(page.locator("#connection-state")).to_have_attribute("data-state", "polling", timeout=RIGHT_WITHIN_MS)
    asked_for("polled")

    expect(page.locator("#releases")).to_contain_text("polled", timeout=RIGHT_WITHIN_MS)


@pytest.mark.parametrize("websockets", ["open", "blocked"])
def test_nothing_new__page_is_known_to_be_right_without_fetching_anything(
    product: Product, engineer: Person, websockets: str
) -> None:
    page = engineer.page
    if websockets == "blocked":
        page.add_init_script(BLOCKED)
    page.goto(f"{product.web}/approvals/")
    state = page.locator("#connection-state")
    expect(state).to_contain_text(AS_OF, timeout=RIGHT_WITHIN_MS)
    asked = fragments(page, "/approvals/")
    for _ in range(2):
        before = state.inner_text()
        expect(state).not_to_have_text(before, timeout=RIGHT_WITHIN_MS)

    expect(page.locator("#stale")).to_be_hidden()
    assert asked == []


def show(page: Page, is_hidden: bool) -> None:
    page.evaluate(
        "hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });"
        " document.dispatchEvent(new Event('visibilitychange')); }",
        is_hidden,
    )


def test_page_that_nobody_looks_at__asks_nothing_and_is_right_at_once_when_somebody_does(
    product: Product, engineer: Person, asked_for: Callable[[str], None]
) -> None:
    page = engineer.page
    page.goto(f"{product.web}/releases/")
    expect(page.locator("#connection-state")).to_have_attribute("data-state", "live")
    show(page, True)
    asked = fragments(page, "/releases/")
    asked_for("unseen")
    page.wait_for_function("document.getElementById('announcer').textContent !== ''")  # it was told
    page.wait_for_timeout(1_000)
    assert asked == []
    with page.expect_request(lambda request: "/releases/" in request.url, timeout=2_000):
        show(page, False)

    expect(page.locator("#releases")).to_contain_text("unseen", timeout=SLACK_MS)


@pytest.mark.parametrize("path", ["release", "endpoint"])
def test_news_while_parts_are_fetched__are_fetched_once_more(
    product: Product, served: str, engineer: Person, path: str
) -> None:
    page, address = engineer.page, served if path == "release" else ENDPOINT
    page.goto(f"{product.web}{address}")
    held: list[Route] = []
    page.route(f"**{address}", lambda route: held.append(route) if not held else route.continue_())
    asked = fragments(page, address)
    page.evaluate(NEWS)
    page.wait_for_timeout(200)
    page.evaluate(NEWS)
    page.evaluate(NEWS)
    assert len(asked) == 1
    with page.expect_request(lambda request: address in request.url, timeout=2_000):
        held[0].continue_()
    page.wait_for_timeout(500)

    assert len(asked) == 2


def test_server_away__page_says_since_when_and_its_acts_are_off_until_it_is_right_again(
    product: Product, engineer: Person
) -> None:
    page = engineer.page
    page.goto(f"{product.web}{ENDPOINT}")
    acts = page.locator(".page-actions")
    expect(page.locator("#connection-state")).to_contain_text(re.compile(r"Live, as of \d\d:\d\d:\d\d"))
    expect(page.locator("#stale")).to_be_hidden()
    page.route(f"**{ENDPOINT}", lambda route: route.fulfill(status=503, body="away"))

    stale = re.compile(r"not known to be right since \d\d:\d\d:\d\d")
    expect(page.locator("#stale")).to_contain_text(stale, timeout=RIGHT_WITHIN_MS + SLACK_MS)
    assert acts.evaluate("element => element.inert")
    assert "Replicas" in page.locator("#endpoint").inner_text()
    page.unroute(f"**{ENDPOINT}")
    expect(page.locator("#stale")).to_be_hidden(timeout=SLACK_MS)
    assert not acts.evaluate("element => element.inert")


def test_session_over__parts_are_not_replaced_by_the_sign_in_page(product: Product, engineer: Person) -> None:
    page = engineer.page
    page.goto(f"{product.web}{ENDPOINT}")
    page.route(f"**{ENDPOINT}", lambda route: route.fulfill(status=302, headers={"Location": "/sign-in/"}))
    page.evaluate(NEWS)
    page.wait_for_timeout(1_000)

    assert "Replicas" in page.locator("#endpoint").inner_text()


def test_dialog__somebody_writes_in_it__news_leave_it_alone(product: Product, served: str, engineer: Person) -> None:
    page = engineer.page
    page.goto(f"{product.web}{served}")
    dialog = page.locator("#rollback-dialog")
    page.locator("#button-rollback").evaluate("button => { button.disabled = false; button.click(); }")
    expect(dialog).to_be_visible()
    page.locator("#rollback-reason").fill("it is slow at night")
    with page.expect_response(lambda answer: served in answer.url):
        page.evaluate(NEWS)
    page.wait_for_timeout(300)

    expect(dialog).to_be_visible()
    assert page.locator("#rollback-reason").input_value() == "it is slow at night"
