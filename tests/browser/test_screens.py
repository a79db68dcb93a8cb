"""Every screen, light and dark, wide and narrow: axe finds nothing serious, nothing scrolls sideways, the console is
empty.
"""

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import Person
from tests.support.product import ROOT, Product

pytestmark = pytest.mark.browser

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
SERIOUS = {"serious", "critical"}
PAGES = (
    "/",
    "/models/",
    "/models/breast-cancer/",
    "/models/breast-cancer/versions/2/",
    "/models/breast-cancer/versions/2/lifecycle/",
    "/models/breast-cancer/versions/2/card/",
    "/models/breast-cancer/versions/2/card/edit/",
    "/models/breast-cancer/versions/2/card/revisions/",
    "/approvals/",
    "/releases/",
    "/releases/new/",
    "/releases/new/?kind=shadow",
    "/endpoints/",
    "/endpoints/?q=nothing",
    "/alerts/",
    "/alerts/rules/",
    "/audit/",
    "/tokens/",
    "/access/",
    "/delegations/",
    "/preferences/",
    "/password/",
    "/system/",
    "/gateways/",
    "/environments/",
    "/environments/production/",
    "/policies/",
    "/policies/production/1/",
)
SETTLE_MS = 600


@pytest.mark.parametrize(("theme", "width"), [("light", 1440), ("dark", 1440), ("light", 360)])
def test_screens__theme_and_width__are_accessible_and_fit(
    product: Product, served: str, browser: Browser, theme: str, width: int
) -> None:
    size = {"width": width, "height": 900}
    person = Person(
        browser,
        product.web,
        product.credentials["people"],
        "manager",
        color_scheme=theme,
        viewport=size,
        bypass_csp=True,
    )
    charts = (
        served,
        f"{served}report/",
        f"{served}gates/digest_known/",
        "/endpoints/development/followed/",
        "/endpoints/development/followed/serving/",
        "/endpoints/development/followed/objectives/",
        "/endpoints/development/followed/retire/",
    )
    problems = []
    for path in (*PAGES, *charts):
        person.page.goto(f"{product.web}{path}")
        person.page.wait_for_timeout(SETTLE_MS)
        sideways = person.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if sideways > 0:
            problems.append(f"{path} scrolls sideways by {sideways} px")
        person.page.add_script_tag(path=AXE)
        found = person.page.evaluate("async () => (await axe.run(document, {resultTypes: ['violations']})).violations")
        for violation in found:
            if violation["impact"] in SERIOUS:
                problems.append(f"{path}: {violation['id']} at {[node['target'] for node in violation['nodes'][:3]]}")
    assert not problems, "\n".join(problems)
    assert person.console == []
    person.close()


def test_new_release__strategy_chosen__only_its_fields_are_seen(product: Product, browser: Browser) -> None:
    person = Person(browser, product.web, product.credentials["people"], "engineer")
    person.page.goto(f"{product.web}/releases/new/")
    seen = {}
    for kind in ("canary", "shadow", "blue_green", "immediate"):
        person.page.select_option("#id_kind", kind)
        fields = {name: person.page.locator(f"#id_{name}") for name in ("weight_0", "mirror", "bake_s", "hold")}
        seen[kind] = {name for name, field in fields.items() if field.is_visible()}
    person.close()

    assert seen == {
        "canary": {"weight_0", "hold"},
        "shadow": {"weight_0", "mirror", "bake_s", "hold"},
        "blue_green": {"bake_s", "hold"},
        "immediate": set(),
    }
