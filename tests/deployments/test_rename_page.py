"""What the question says that is asked before a missing model is declared to be another one."""

import pytest
from django.urls import reverse

from deployments.models import GatewayKey
from mlorch_site.accounts.models import RoleBinding
from mlorch_site.lib import clock
from registry.models import Model, Version
from tests.deployments.world import World
from tests.support.live import signed_in

pytestmark = pytest.mark.usefixtures("data_dir")


@pytest.fixture
def serving(people):
    """A world whose model was deleted in MLflow while it serves, and a model that has the same files."""
    world = World(people)
    world.serve(1)
    now = clock.now()
    Model.objects.filter(pk=world.model.pk).update(deleted_at=now)
    other = Model.objects.create(name="growths", created_at=now, updated_at=now)
    first = world.model.versions.get(number=1)
    Version.objects.create(model=other, number=1, status="READY", digest=first.digest, created_at=now, updated_at=now)
    GatewayKey.objects.create(
        name="the clinic", prefix="mlk_", digest="d", environments=["production"], endpoints=["clinic"], created_at=now
    )
    return world


WHERE = "/models/tumours/is/growths/"


def page(who: str) -> str:
    return " ".join(signed_in(who).get(WHERE).content.decode().split())


def test_question__says_exactly_what_changes(serving):
    RoleBinding.objects.create(user=serving.people.noa.user, role="viewer", scope="model:tumours")
    text = page("mona")

    assert "production/clinic, version 1; keys that open it stay the same: the clinic" in text
    assert "From growths: 1." in text
    assert "tumours had 1 too, with the same files" in text
    assert "champion is written to version 1 of growths in MLflow." in text
    assert "1 person has a role for tumours alone; it does not follow." in text
    assert "This cannot be undone." in text


def test_answer__endpoint_serves_on_under_the_other_name(serving, people):
    browser = signed_in("emma")
    expects = browser.get(WHERE).context["effect"].expects
    answer = browser.post(WHERE, {"expects": expects, "reason": "renamed"})

    assert answer.headers["Location"] == reverse("model", args=["growths"])
    endpoint = serving.endpoint
    endpoint.refresh_from_db()
    assert endpoint.model.name == "growths"
    assert endpoint.stable_release.version.number == 1
    assert "production" in browser.get(reverse("model", args=["growths"])).content.decode()
    assert browser.get(reverse("endpoint", args=["production", "clinic"])).status_code == 200


def test_answer__from_a_page_that_is_out_of_date__asks_again_and_changes_nothing(serving):
    browser = signed_in("emma")
    answer = browser.post(WHERE, {"expects": "sha256:of-yesterday", "reason": "renamed"})
    assert answer.headers["Location"] == WHERE
    assert "has changed since you looked" in page_after(browser)
    assert Model.objects.filter(name="tumours").exists()


def page_after(browser) -> str:
    return browser.get(WHERE).content.decode()


def test_question__other_one_serves_itself__cannot_be(serving):
    other = Model.objects.get(name="growths")
    serving.endpoint.__class__.objects.create(
        environment=serving.environment, name="ward", model=other, created_at=clock.now()
    )
    text = page("emma")
    assert "This cannot be: growths has endpoints of its own" in text
    assert 'type="submit" disabled' in text


def test_models__gone_and_still_serving__are_named(serving):
    listed = signed_in("vik").get(reverse("models")).content.decode()
    assert "Deleted in MLflow, with endpoints that go on serving:" in listed
    assert "/models/tumours/" in listed


@pytest.mark.parametrize("who", ["vik", "rita", "oscar"])
def test_question__without_the_role__forbidden(serving, who):
    assert signed_in(who).get(WHERE).status_code == 403
