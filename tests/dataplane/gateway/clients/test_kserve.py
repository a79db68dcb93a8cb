"""KServe's own inference clients talk to the gateway, REST and gRPC, from an environment of their own."""

from typing import Any

import pytest

from tests.dataplane.gateway.clients.tensors import arrays
from tests.dataplane.gateway.clients.world import Gateway, seen_by

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def seen(gateway: Gateway, kserve_python: str) -> dict[str, Any]:
    return seen_by("kserve_client", gateway.port, gateway.grpc_port, python=kserve_python)


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_server_and_model__asked_for_their_state__ready(seen: dict[str, Any], protocol: str) -> None:
    assert [seen[protocol][name] for name in ("live", "ready", "model ready")] == [True, True, True]


@pytest.mark.parametrize("form", ["binary", "json"])
def test_rest__every_datatype__comes_back_as_it_went(seen: dict[str, Any], form: str) -> None:
    assert seen["rest"][form] == {"same": dict.fromkeys(arrays(), True), "id": "42", "model": "mirror"}


def test_rest__columns_and_parameters__reach_the_model(seen: dict[str, Any]) -> None:
    assert seen["rest"]["columns"] == {"scaled": [3.0, 5.0]}


def test_rest__refused__status_and_sentence_reach_the_client(seen: dict[str, Any]) -> None:
    refusals = seen["rest"]["refusals"]

    assert {name: status for name, (status, _) in refusals.items()} == {
        "fine": 200,
        "foreign key": 403,
        "unknown endpoint": 404,
        "missing column": 400,
        "model raised": 500,
    }
    assert "negative" in refusals["model raised"][1]


def test_grpc__every_datatype__comes_back_as_it_went(seen: dict[str, Any]) -> None:
    assert seen["grpc"]["same"] == dict.fromkeys(arrays(), True)
    assert seen["grpc"]["id"] == "42"
