"""How an endpoint is served: read and revised over REST and in the form, within bounds, by those who may."""

from typing import Any

import pytest
from django.urls import reverse

from deployments.models import Replica, ServingConfig
from deployments.platforms import local
from deployments.routes.build import build
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib import clock
from tests.deployments.test_api import client_of
from tests.deployments.world import World
from tests.support.live import signed_in


@pytest.fixture
def place(world: World) -> dict[str, str]:
    world.serve()
    return {"environment": world.endpoint.environment.name, "name": world.endpoint.name}


def form_of(config: ServingConfig, **changes: Any) -> dict[str, Any]:
    from deployments.forms import ServingForm

    values = {name: value for name, value in ServingForm.initial_of(config).items() if value is not False}
    return {**values, **changes}


def newest(world: World) -> ServingConfig:
    return world.endpoint.configs.order_by("-revision")[0]


def test_patch__some_fields__next_revision_with_the_rest_as_it_was(world: World, place: dict[str, str]) -> None:
    url = reverse("api-endpoint-serving", kwargs=place)
    body = {"max_batch_rows": 1, "log_share_pct": "2.5", "log_redacted": ["ssn"], "retry_on_stable": True}
    body["network"] = True
    answer = client_of(world.people.mona).patch(url, body, content_type="application/json")

    assert answer.status_code == 200, answer.content
    assert (answer.json()["revision"], answer.json()["max_batch_rows"], answer.json()["timeout_ms"]) == (2, 1, 10_000)
    assert (newest(world).log_redacted, newest(world).retry_on_stable) == (["ssn"], True)
    assert newest(world).network is True


@pytest.mark.parametrize(
    "body",
    [
        {"max_batch_rows": 0},
        {"log_share_pct": 101},
        {"log_redacted": "ssn"},
        {"timeout": 5},
        {"replicas": 65},
        {"network": 2},
    ],
)
def test_patch__out_of_bounds_or_unknown__400_and_nothing_changes(
    world: World, place: dict[str, str], body: dict[str, Any]
) -> None:
    url = reverse("api-endpoint-serving", kwargs=place)
    answer = client_of(world.people.mona).patch(url, body, content_type="application/json")

    assert answer.status_code == 400
    assert next(iter(body)) in str(answer.json()["error"]["details"])
    assert newest(world).revision == 1


def test_patch__viewer__403_names_the_role(world: World, place: dict[str, str]) -> None:
    url = reverse("api-endpoint-serving", kwargs=place)

    assert client_of(world.people.vik).patch(url, {"replicas": 2}, content_type="application/json").status_code == 403
    assert client_of(world.people.vik).get(url).json()["replicas"] == 1


def test_rows_independent__declared__in_the_record_and_in_the_goal_of_the_next_release(
    world: World, place: dict[str, str]
) -> None:
    url = reverse("endpoint-serving", kwargs=place)
    assert b"Rows are independent" in signed_in("vik").get(url).content
    signed_in("mona").post(url, form_of(newest(world), rows_independent="on"))
    config = newest(world)

    assert (config.revision, config.rows_independent) == (2, True)
    record = AuditRecord.objects.filter(action="serving_config.revised").latest("pk")
    assert record.data["changes"]["rows_independent"] == "True"
    replica = Replica.objects.get()
    assert not local.goal_of([replica]).replicas[0].rows_independent
    replica.serving_config = config
    assert local.goal_of([replica]).replicas[0].rows_independent


def test_form__changed__saved_and_used_by_the_next_release_only(world: World, place: dict[str, str]) -> None:
    url = reverse("endpoint-serving", kwargs=place)
    before = build(world.endpoint.environment, clock.now())["endpoints"][world.endpoint.name]
    answer = signed_in("mona").post(url, form_of(newest(world), max_batch_rows=8, log_redacted="ssn, age,"))

    assert answer.status_code == 303
    assert (newest(world).revision, newest(world).max_batch_rows) == (2, 8)
    assert newest(world).log_redacted == ["ssn", "age"]
    after = build(world.endpoint.environment, clock.now())["endpoints"][world.endpoint.name]
    assert after["max_batch_rows"] == before["max_batch_rows"] == 64


def test_form__out_of_bounds__says_where_and_keeps_what_was_typed(world: World, place: dict[str, str]) -> None:
    url = reverse("endpoint-serving", kwargs=place)
    answer = signed_in("mona").post(url, form_of(newest(world), max_batch_rows=5000, reason="why not"))
    html = answer.content.decode()

    assert answer.status_code == 422
    assert "from 1 to 4096" in html
    assert 'value="5000"' in html
    assert "why not" in html
    assert newest(world).revision == 1


def test_form__nothing_changed__no_revision(world: World, place: dict[str, str]) -> None:
    signed_in("mona").post(reverse("endpoint-serving", kwargs=place), form_of(newest(world)))

    assert newest(world).revision == 1


def test_form__viewer__sees_it_and_cannot_save(world: World, place: dict[str, str]) -> None:
    url = reverse("endpoint-serving", kwargs=place)
    client = signed_in("vik")

    assert b"disabled" in client.get(url).content
    assert client.post(url, form_of(newest(world), replicas=2)).status_code == 403
    assert newest(world).revision == 1


def test_form__somebody_wrote_a_revision_meanwhile__nothing_is_overwritten(world: World, place: dict[str, str]) -> None:
    url = reverse("endpoint-serving", kwargs=place)
    opened = form_of(newest(world), timeout_ms=700)
    signed_in("mona").post(url, form_of(newest(world), timeout_ms=900))
    answer = signed_in("mona").post(url, opened)

    assert answer.status_code == 422
    assert "mona wrote serving config 2 meanwhile" in answer.content.decode()
    assert newest(world).timeout_ms == 900
