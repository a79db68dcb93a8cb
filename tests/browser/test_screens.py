"""Every screen, light and dark, wide and narrow: axe finds nothing serious, nothing scrolls sideways, the console is
empty.
"""

from collections.abc import Iterable

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import Person, Staged
from tests.support.product import ROOT, Product

pytestmark = pytest.mark.browser

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
SERIOUS = {"serious", "critical"}
SETTLE_MS = 600
# All rules where the layout differs most; what a theme or a width can break, everywhere.
WHOLE = "{resultTypes: ['violations']}"
LOOKS = "{resultTypes: ['violations'], runOnly: ['color-contrast', 'target-size', 'link-in-text-block']}"
VIEWS = (
    ("light", 1440, WHOLE),
    ("dark", 1440, LOOKS),
    ("dark", 768, LOOKS),
    ("light", 768, LOOKS),
    ("light", 360, WHOLE),
    ("dark", 360, LOOKS),
)
# By whoever works there: addresses, and names of `staged_rows` for those that carry an id.
SCREENS = {
    "rita": (
        "/",
        "/approvals/",
        "/approvals/?tab=open&tier=high",
        "/approvals/?tab=decided",
        "/approvals/?tab=ended",
        "approval of talked",
        "approval of waived",
        "approval of urgent",
        "approval of rejected",
        "bulk",
        "/reviews/",
        "review",
        "/delegations/",
        "/absences/",
        "/security/",
        "/access/",
        "/tokens/",
        "/preferences/",
        "/password/",
        "/notices/",
        "/notices/settings/",
        "/policies/",
        "/policies/production/2/",
        "/policies/production/1/",
    ),
    "emma": (
        "/models/",
        "/models/tumours/",
        "/models/tumours/versions/2/",
        "/models/tumours/versions/4/",
        "/models/tumours/versions/5/lifecycle/",
        "/models/tumours/versions/2/card/",
        "/models/tumours/versions/2/card/edit/",
        "/models/tumours/versions/2/card/revisions/",
        "/models/tumours/versions/2/card/print/",
        "past models/tumours",
        "past endpoints/production/clinic",
        "past environments/production",
        "/environments/",
        "/environments/production/",
        "/environments/staging/",
        "/releases/",
        "/releases/new/",
        "/releases/new/?kind=shadow",
        "/release-groups/",
        "/plan-templates/",
        "refused",
        "waived",
        "gate",
        "/service-accounts/",
        "/service-accounts/ci/",
    ),
    "mona": (
        "emergency",
        "taken back",
        "report",
        "report on paper",
        "two reports",
        "restored",
        "report of promoted",
        "/reports/",
        "/reports/?q=nothing",
        "/reports/period/",
        "urgent",
        "/endpoints/",
        "/endpoints/?q=nothing",
        "retired",
        "/endpoints/production/clinic/retire/",
        "/endpoints/production/clinic/serving/",
        "/endpoints/production/clinic/objectives/",
        "/endpoints/production/clinic/outcomes/",
        "/endpoints/production/clinic/drift/",
        "/endpoints/production/clinic/drift/1/feature/?name=age",
        "/alerts/",
        "/alerts/rules/",
        "/system/",
        "/gateways/",
    ),
    "ada": (
        "/audit/",
        "/people/",
        "/people/rita/",
        "/people/rita/security/",
        "/people/rita/give/",
        "binding",
        "/groups/",
        "/groups/medical%20board/",
        "/issuers/",
        "/issuers/new/",
        "/issuers/house/",
        "/deliveries/",
        "delivery",
        "/subscriptions/",
        "subscription",
        "draft stale",
        "draft loosening",
        "draft in review",
        "draft scheduled",
        "draft returned",
        "draft withdrawn",
        "/policies/import/",
        "/models/tumours/is/a-model-with-a-rather-long-name-1/",
    ),
}


def problems_of(page: Page, path: str, views: Iterable[tuple[str, int, str]] = VIEWS) -> list[str]:
    """What axe and the width of the page that is open object to, in each view of it."""
    page.add_script_tag(path=AXE)
    problems = []
    for theme, width, rules in views:
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # type: ignore[arg-type]
        page.set_viewport_size({"width": width, "height": 900})
        sideways = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if sideways > 0:
            problems.append(f"{path} at {width} px scrolls sideways by {sideways} px")
        found = page.evaluate(f"async () => (await axe.run(document, {rules})).violations")
        problems += [
            f"{path} {theme} at {width} px: {violation['id']} at {[node['target'] for node in violation['nodes'][:3]]}"
            for violation in found
            if violation["impact"] in SERIOUS
        ]
    return problems


@pytest.mark.parametrize("name", SCREENS)
def test_screens_of_governance__themes_and_widths__are_accessible_and_fit(
    staged: Staged, browser: Browser, name: str
) -> None:
    code = staged.recovery_code if name == "rita" else ""
    person = Person(browser, staged.web, staged.people, name, code=code, bypass_csp=True)
    problems = []
    for screen in SCREENS[name]:
        answer = person.page.goto(f"{staged.web}{staged.paths.get(screen, screen)}")
        assert answer is not None
        assert answer.status == 200, screen
        problems += problems_of(person.page, screen)
    assert not problems, "\n".join(problems)
    assert person.console == []
    person.close()


def test_screens_with_charts__themes_and_widths__are_accessible_and_fit(
    product: Product, served: str, browser: Browser
) -> None:
    person = Person(browser, product.web, product.credentials["people"], "manager", bypass_csp=True)
    problems = []
    for path in (
        "/",
        "/models/breast-cancer/",
        "/models/breast-cancer/versions/2/",
        "/monitoring/",
        "/endpoints/development/followed/history/",
        "/system/",
        "/gateways/",
        served,
        f"{served}report/",
        "/endpoints/development/followed/",
        "/endpoints/development/followed/objectives/",
    ):
        person.page.goto(f"{product.web}{path}")
        person.page.wait_for_timeout(SETTLE_MS)
        problems += problems_of(person.page, path)
    assert not problems, "\n".join(problems)
    assert person.console == []
    person.close()


def test_new_release__strategy_chosen__only_its_fields_are_seen(product: Product, browser: Browser) -> None:
    person = Person(browser, product.web, product.credentials["people"], "engineer")
    person.page.goto(f"{product.web}/releases/new/")
    seen = {}
    for kind in ("canary", "linear", "shadow", "blue_green", "immediate"):
        person.page.select_option("#id_kind", kind)
        names = ("weight_0", "step_pct", "mirror", "bake_s", "hold")
        fields = {name: person.page.locator(f"#id_{name}") for name in names}
        seen[kind] = {name for name, field in fields.items() if field.is_visible()}
    person.close()

    assert seen == {
        "canary": {"weight_0", "hold"},
        "linear": {"step_pct", "bake_s", "hold"},
        "shadow": {"weight_0", "mirror", "bake_s", "hold"},
        "blue_green": {"bake_s", "hold"},
        "immediate": set(),
    }
