"""What administrators do in a browser: policies, the record, a model that is gone."""

import re
from collections.abc import Iterator

import pytest
from mlflow import MlflowClient
from playwright.sync_api import Browser, Page, expect

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


def open_policy(person: Person, environment: str) -> Page:
    """Open the policy in force of an environment, from its page."""
    person.page.goto(f"{person.web}/environments/{environment}/")
    person.page.get_by_role("link", name="Edit the policy").click()
    return person.page


def test_production__last_approval_rule_removed__waits_for_another_administrator(admin: Person) -> None:
    page = open_policy(admin, "production")
    page.get_by_label("Approval rules").fill("[]")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Nobody would have to approve. Say why")).to_be_visible()
    page.get_by_label("Note").fill("the last reviewer left")
    page.get_by_role("button", name="Save").click()

    expect(page).to_have_url(re.compile("/environments/production/$"))
    expect(page.get_by_text("Waits for a second administrator")).to_be_visible()
    expect(page.get_by_role("button", name="Confirm the change")).to_be_disabled()
    page.set_viewport_size({"width": 360, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.get_by_role("button", name="Withdraw").click()
    expect(page.get_by_text("The proposal is withdrawn")).to_be_visible()
    expect(page.get_by_role("heading", name="Policy in force: revision 1")).to_be_visible()


def test_policy__revised_by_another_meanwhile__conflict_keeps_what_was_written(admin: Person, browser: Browser) -> None:
    page = open_policy(admin, "development")
    page.get_by_label("Approval days").fill("11")
    other = admin.page.context.new_page()
    other.goto(page.url)
    other.get_by_label("Approval days").fill("12")
    other.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_text("published revision 2 at")).to_be_visible()
    expect(page.get_by_label("Approval days")).to_have_value("11")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved as revision 3.")).to_be_visible()


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
