"""What administrators do in a browser: policies, the record, a model that is gone."""

import re
from collections.abc import Iterator

import pytest
from mlflow import MlflowClient
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Person
from tests.e2e.client import Rest
from tests.support.product import Product
from tests.support.waiting import until

pytestmark = pytest.mark.browser

VERIFIED_WITHIN_MS = 60_000


@pytest.fixture
def admin(product: Product, browser: Browser) -> Iterator[Person]:
    person = Person(browser, product.web, product.credentials["people"], "admin")
    yield person
    # A conflict is no failure of the page, and the admin names no icon.
    assert [line for line in person.console if "Failed to load resource" not in line] == []
    person.close()


@pytest.fixture
def manager(product: Product, browser: Browser, rest: Rest) -> Iterator[Person]:
    """A second person who writes policies."""
    role = {"role": "administrator", "scope": "environment:production", "reason": "a second pair of eyes"}
    name = product.credentials["people"]["manager"]["username"]
    assert rest.call("admin", "POST", f"/people/{name}/bindings", {**role, "expires_at": None}).status == 201
    person = Person(browser, product.web, product.credentials["people"], "manager")
    yield person
    assert person.console == []
    person.close()


def test_policy__written_in_sentences__is_tried_reviewed_and_published_by_a_second_person(
    admin: Person, manager: Person, product: Product, served: str
) -> None:
    page = admin.page
    page.goto(f"{admin.web}/environments/production/")
    page.get_by_role("link", name="Write the policy").click()
    rules = page.locator("[data-rows=rules]")
    rules.get_by_role("group", name="Rule 2").get_by_label("Take away").check()
    rules.get_by_role("group", name="Rule 2").get_by_label("Take away").uncheck()  # others release here too
    page.locator("[name=emergency_allowed]").check()
    rules.get_by_role("button", name="Add one more").click()
    expect(rules.get_by_role("group")).to_have_count(5)
    page.get_by_label("An approval is waited for, and holds, so many days").fill("0")
    page.get_by_role("button", name="Keep the draft").click()
    expect(page.get_by_text("Please correct what is marked below.")).to_be_visible()
    page.get_by_label("An approval is waited for, and holds, so many days").fill("7")
    page.get_by_label("Why").fill("nobody is on call at night")
    page.get_by_role("button", name="Keep the draft").click()

    expect(page.get_by_text("A release could begin without its approvals, in an emergency.")).to_be_visible()
    expect(page.get_by_text("No release of before would have come under it")).to_be_visible()
    page.set_viewport_size({"width": 360, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.get_by_role("button", name="Put up for review").click()
    expect(page.get_by_role("button", name="Publish: in force at once")).to_be_disabled()
    expect(page.get_by_text("You wrote this, and production is protected").first).to_be_visible()

    manager.page.goto(page.url)
    manager.page.get_by_role("button", name="Publish: in force at once").click()
    expect(manager.page.get_by_text("Revision 2 of production is in force.").first).to_be_visible()
    page.goto(f"{admin.web}/policies/production/2/")
    expect(page.get_by_text("published by").first).to_be_visible()
    expect(page.get_by_text("holds, 7 days").first).to_be_visible()


def test_record__verified__result_comes_by_itself(admin: Person) -> None:
    page = admin.page
    page.goto(f"{admin.web}/audit/")
    page.get_by_role("button", name="Verify now").click()
    expect(page.get_by_text("The chain holds:")).to_be_visible(timeout=VERIFIED_WITHIN_MS)
    expect(page.get_by_role("button", name="Verify now")).to_be_enabled()


def test_model__gone_and_registered_anew__is_declared_the_same(admin: Person, product: Product, rest: Rest) -> None:
    registry = MlflowClient(tracking_uri=product.mlflow)
    first = registry.get_model_version("breast-cancer", "1")
    logged = first.source.removeprefix("models:/")

    def register(name: str) -> None:
        registry.create_registered_model(name)
        registry.create_model_version(name, first.source, first.run_id, model_id=logged)
        digest = f"/models/{name}/versions/1"
        until(lambda: rest.call("engineer", "GET", digest).body.get("digest"), f"the files of {name} are known")

    register("ward")
    registry.delete_registered_model("ward")
    register("clinic")
    page = admin.page
    page.goto(f"{admin.web}/models/ward/")
    expect(page.get_by_text("Deleted in MLflow. Was it renamed?")).to_be_visible()
    page.locator("a[href='/models/ward/is/clinic/']").click()
    page.get_by_label("How you know").fill("I registered it anew")
    page.get_by_role("button", name="This is the same model").click()

    expect(page).to_have_url(re.compile("/models/clinic/$"))
    expect(page.get_by_text("ward goes on as clinic")).to_be_visible()
    assert rest.call("engineer", "GET", "/models/ward").status == 404
