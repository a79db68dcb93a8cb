"""Bad input on the real product: each with a clear error, and nothing half done."""

import json
from typing import Any

import pytest

from tests.e2e.client import ROWS, Rest, send
from tests.support.product import Product
from tests.support.waiting import until

pytestmark = pytest.mark.e2e

IMMEDIATE = {"kind": "immediate"}
ENDPOINT = "refusals"


@pytest.fixture(scope="module")
def serving(product: Product, rest: Rest) -> Product:
    """An endpoint of its own that serves version 1."""
    answer = rest.request(1, IMMEDIATE, endpoint=ENDPOINT)
    assert answer.status == 201, answer
    rest.approve(answer.body["id"])
    rest.reach(answer.body["id"], {"succeeded"})
    return product


def canary(*weights: int) -> dict[str, Any]:
    return {"kind": "canary", "steps": [{"weight": weight, "bake_s": 5} for weight in weights]}


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"model": "nobody"}, "no model nobody"),
        ({"version": 99}, "no version 99"),
        ({"environment": "moon"}, "no environment moon"),
        ({"strategy": canary(10, 101)}, "weight"),
        ({"strategy": canary(50, 10)}, "rise"),
        ({"strategy": {"kind": "teleport"}}, "kind"),
        ({"guardrails": []}, "guardrail"),
        ({"guardrails": [{"metric": "error_rate", "margin": 7}]}, "margin"),
        ({"version": 1}, "already serves version 1"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_release__bad_wish__is_refused_with_the_reason(
    serving: Product, rest: Rest, changes: dict[str, Any], word: str
) -> None:
    wish = {"strategy": canary(10, 50), "endpoint": ENDPOINT} | changes
    answer = rest.request(changes.get("version", 2), **{k: v for k, v in wish.items() if k != "version"})

    assert answer.status == 400, answer
    assert word in json.dumps(answer.body["error"]), answer.body
    assert answer.body["error"]["request_id"]


def test_release__endpoint_is_busy__conflict_names_the_open_release(serving: Product, rest: Rest) -> None:
    first = rest.request(2, canary(10), endpoint=ENDPOINT)
    second = rest.request(3, canary(10), endpoint=ENDPOINT)

    assert (second.status, second.body["error"]["code"]) == (409, "endpoint_busy")
    assert second.body["error"]["details"]["release"] == first.body["id"]
    assert rest.call("engineer", "POST", f"/releases/{first.body['id']}/abort", {"reason": "done"}).status == 200
    rest.reach(first.body["id"], {"aborted"})


def test_release__same_idempotency_key__makes_one_release(serving: Product, rest: Rest) -> None:
    wish = {"model": "breast-cancer", "version": 2, "environment": "staging", "endpoint": "once", "strategy": IMMEDIATE}
    headers = {"Idempotency-Key": "test-key-1"}
    one = rest.call("engineer", "POST", "/releases", wish, **headers)
    two = rest.call("engineer", "POST", "/releases", wish, **headers)
    other = rest.call("engineer", "POST", "/releases", wish | {"reason": "x"}, **headers)

    assert one.status == 201
    assert (two.status, two.body["id"]) == (201, one.body["id"])
    assert (other.status, other.body["error"]["code"]) == (409, "idempotency_key_reused")


def test_rest__no_unknown_or_revoked_token__401_and_viewer_403(serving: Product, rest: Rest) -> None:
    url = f"{serving.web}/api/v1/releases"
    assert send("GET", url, "mlo_wrong", None).body["error"]["code"] == "unknown_token"
    made = rest.call("viewer", "POST", "/tokens", {"name": "t", "scopes": ["read"]})
    assert rest.call("viewer", "POST", f"/tokens/{made.body['id']}/revoke").status == 200
    assert send("GET", url, made.body["token"], None).body["error"]["code"] == "revoked_token"
    body = {"model": "breast-cancer", "version": 2, "environment": "staging", "endpoint": "x", "strategy": IMMEDIATE}
    refused = rest.call("viewer", "POST", "/releases", body)
    assert refused.status == 403
    assert "ML engineer" in refused.body["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b"{}", 400),
        (json.dumps({"dataframe_records": [{"mean radius": 1.0}]}).encode(), 400),
        (b"x" * (9 * 1024 * 1024), 413),
    ],
)
def test_inference__malformed__is_the_clients_error(serving: Product, body: bytes, status: int) -> None:
    url = f"{serving.gateway}/production/endpoints/{ENDPOINT}/invocations"
    answer = send("POST", url, serving.credentials["gateway_key"], body)

    assert answer.status == status
    assert answer.body["message"]


def test_inference__keys__foreign_is_403_and_revoked_is_401_within_seconds(serving: Product, rest: Rest) -> None:
    url = f"{serving.gateway}/production/endpoints/{ENDPOINT}/invocations"
    row = json.dumps({"dataframe_records": ROWS.iloc[:1].to_dict(orient="records")}).encode()
    foreign = rest.call("manager", "POST", "/gateway-keys", {"name": "foreign", "endpoints": ["somewhere-else"]}).body
    own = rest.call("manager", "POST", "/gateway-keys", {"name": "own", "endpoints": [ENDPOINT]}).body

    until(lambda: send("POST", url, own["key"], row).status == 200, "the new key opens")
    assert send("POST", url, foreign["key"], row).status == 403
    assert send("POST", url, "mlk_unknown", row).status == 401
    assert rest.call("manager", "POST", f"/gateway-keys/{own['id']}/revoke").status == 200
    until(lambda: send("POST", url, own["key"], row).status == 401, "the revoked key is refused")
