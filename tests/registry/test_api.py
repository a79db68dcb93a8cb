"""The registry over REST: who sees what, a constant number of queries, and nothing to write."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from mlorch_site.accounts.models import RoleBinding
from registry.models import Model, Version
from registry.services.defaults import defaults_create
from tests.registry.test_policies import ENGINE


@pytest.fixture
def rest(client, people, registry, look):
    for name in ("tumours", "whales"):
        registry.add(name)
        registry.add(name)
        registry().set_alias(name, "champion", 2)
    look()
    defaults_create(actor=ENGINE)

    def get(path: str, person: str = "vik", status: int = 200):
        client.force_login(getattr(people, person).user)
        answer = client.get(f"/api/v1{path}")
        assert answer.status_code == status, answer.content
        return answer.json()

    return get


def test_models__listed_with_their_aliases(rest):
    rows = rest("/models")["results"]
    assert [(row["name"], row["aliases"]) for row in rows] == [
        ("tumours", {"champion": 2}),
        ("whales", {"champion": 2}),
    ]


def test_models__bound_to_one_model__sees_that_one(rest, people):
    RoleBinding.objects.create(user=people.noa.user, role="viewer", scope="model:whales")
    assert [row["name"] for row in rest("/models", "noa")["results"]] == ["whales"]


def test_model__hidden_and_missing__look_the_same(rest, people):
    RoleBinding.objects.create(user=people.noa.user, role="viewer", scope="model:whales")
    hidden, missing = rest("/models/tumours", "noa", 404)["error"], rest("/models/nothing", "noa", 404)["error"]
    assert hidden["code"] == missing["code"] == "not_found"
    assert hidden["message"].replace("tumours", "nothing") == missing["message"]


def test_version__tells_its_origin(rest):
    assert rest("/models/tumours/versions/1")["origin"] == {"params": {}}


def test_versions__newest_first_with_metrics(rest):
    rows = rest("/models/tumours/versions")["results"]
    assert [(row["version"], row["metrics"]["accuracy"]) for row in rows] == [(2, 0.92), (1, 0.91)]


@pytest.mark.parametrize("path", ["/models/tumours/versions/9", "/models/tumours/versions/999999999999999999999"])
def test_version__unknown__404(rest, path):
    assert rest(path, status=404)["error"]["code"] == "not_found"


def test_nobody__without_any_role__403_and_not_signed_in__401(rest, client):
    rest("/models", "noa", 403)
    client.logout()
    assert client.get("/api/v1/models").status_code == 401


def test_write__not_offered(rest, client, people):
    client.force_login(people.ada.user)
    assert client.post("/api/v1/models", {}, content_type="application/json").status_code in (403, 405)


def test_environments_and_policies__by_scope(rest):
    assert [row["name"] for row in rest("/environments")["results"]] == ["development", "staging", "production"]
    assert [row["environment"] for row in rest("/policies", "max")["results"]] == ["staging"]


@pytest.mark.parametrize("path", ["/models", "/models/tumours/versions", "/policies"])
def test_list__more_rows__takes_the_same_queries(rest, path):
    rest(path)  # the first request of a session also notes when it was last used
    with CaptureQueriesContext(connection) as few:
        rest(path)
    model = Model.objects.get(name="tumours")
    for number in range(3, 20):
        Model.objects.create(name=f"model-{number}", created_at=model.created_at, updated_at=model.updated_at)
        Version.objects.create(
            model=model, number=number, status="READY", created_at=model.created_at, updated_at=model.updated_at
        )
    with CaptureQueriesContext(connection) as many:
        rest(path)
    assert len(few) == len(many)
