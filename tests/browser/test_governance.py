"""A release that begins in an emergency and is reviewed, and one that is approved with a fresh proof."""

import time

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Person
from tests.e2e.client import Rest
from tests.support.product import Product
from tests.support.waiting import until

pytestmark = pytest.mark.browser

PROOF_HOLDS_S = 60
LONG_MS = 60_000


def allow_emergencies(page: Page, web: str) -> None:
    """Staging asks for a proof that is not older than a minute, and allows emergencies; nobody else has to publish."""
    page.goto(f"{web}/environments/staging/")
    page.get_by_role("link", name="Write the policy").click()
    page.locator("[name=emergency_allowed]").check()
    page.locator("[name=reauthenticate_minutes]").fill("1")
    page.get_by_label("Why").fill("nobody is on call at night")
    page.get_by_role("button", name="Keep the draft").click()
    page.get_by_role("button", name="Put up for review").click()
    page.get_by_role("button", name="Publish: in force at once").click()
    expect(page.get_by_text("Revision 2 of staging is in force.").first).to_be_visible()


def begin(page: Page, web: str, release: str) -> None:
    """Begin it without its approvals; what is not filled in is said, and nothing that was typed is lost."""
    page.goto(f"{web}/releases/{release}/")
    page.get_by_role("link", name="Emergency").click()
    page.get_by_label("Why it cannot wait").fill("Wrong doses since noon")
    page.get_by_role("button", name="Begin without approvals").click()
    expect(page.get_by_label("Why it cannot wait")).to_have_value("Wrong doses since noon")
    page.get_by_label("Ticket").fill("INC-7")
    page.locator("[name=known]").check()
    page.get_by_role("button", name="Begin without approvals").click()
    expect(page.get_by_text("Its review is open").first).to_be_visible(timeout=LONG_MS)


def review(page: Page, web: str) -> None:
    page.goto(f"{web}/reviews/")
    page.get_by_role("link", name="staging/urgent").first.click()
    page.get_by_label("What you found").fill("It was one: the doses were wrong.")
    page.get_by_role("button", name="Close the review").click()
    expect(page.get_by_text("It was one: the doses were wrong.").first).to_be_visible()


def approve(page: Page, web: str, approval: str, password: str) -> None:
    """Approve with a proof in between: a wrong password is said, and the comment is kept."""
    page.goto(f"{web}/approvals/{approval}/")
    page.locator("#comment").fill("Looks right")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("heading", name="Prove who you are")).to_be_visible()
    expect(page.get_by_text("Looks right")).to_be_visible()
    page.locator("#proof_password").fill("not this one")
    page.locator("#proof-form button[type=submit]").click()
    expect(page.locator("#proof-problem")).to_be_visible()
    page.locator("#proof_password").fill(password)
    page.locator("#proof-form button[type=submit]").click()
    expect(page.get_by_text("Approved.")).to_be_visible()


def test_staging__emergency_reviewed_and_approval_with_a_fresh_proof(
    product: Product, rest: Rest, browser: Browser
) -> None:
    people = product.credentials["people"]
    reviewer, signed_in_at = Person(browser, product.web, people, "reviewer"), time.monotonic()
    admin = Person(browser, product.web, people, "admin")
    allow_emergencies(admin.page, product.web)
    plan = {"kind": "immediate"}
    urgent, proven = (
        rest.request(1, plan, environment="staging", endpoint=name).body["id"] for name in ("urgent", "proven")
    )
    rest.reach(urgent, {"awaiting_approval"})
    manager = Person(browser, product.web, people, "manager")
    begin(manager.page, product.web, urgent)
    rest.reach(urgent, {"succeeded"}, 90)
    review(reviewer.page, product.web)

    approval = rest.reach(proven, {"awaiting_approval"})["approval"]["id"]
    until(lambda: time.monotonic() - signed_in_at > PROOF_HOLDS_S, "the proof of the sign-in is old", within_s=90)
    approve(reviewer.page, product.web, approval, people["reviewer"]["password"])
    decision = rest.reach(proven, {"succeeded"}, 90)["approval"]["decisions"][0]
    assert (decision["comment"], decision["proven_by"]) == ("Looks right", "password")
    for person in (reviewer, admin, manager):
        # The dialog of a proof is an answer of 401, a refused form one of 400.
        assert [line for line in person.console if "Failed to load resource" not in line] == []
        person.close()
