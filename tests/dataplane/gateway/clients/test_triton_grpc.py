"""`tritonclient.grpc` talks to the gateway's gRPC port. What the client program saw is looked at here."""

from typing import Any

import pytest

from dataplane.gateway.grpc import inference_pb2
from tests.dataplane.gateway.clients.tensors import arrays
from tests.dataplane.gateway.clients.world import Gateway, seen_by


@pytest.fixture(scope="module")
def seen(gateway: Gateway) -> dict[str, Any]:
    return seen_by("triton_grpc", gateway.grpc_port)


def test_server__asked_for_state_and_metadata__answers(seen: dict[str, Any]) -> None:
    assert (seen["live"], seen["ready"], seen["ready elsewhere"]) == (True, True, False)
    assert seen["server"] == {"name": "mlorch", "version": "1", "extensions": ["binary_tensor_data"]}


def test_model__asked_for_state_and_metadata__tells_its_tensors(seen: dict[str, Any]) -> None:
    assert (seen["model ready"], seen["other version ready"]) == (True, False)
    assert (seen["model"]["name"], seen["model"]["versions"]) == ("describe", ["7"])
    assert seen["model"]["inputs"][0] == {"name": "number", "datatype": "FP64", "shape": ["-1"]}
    assert [tensor["name"] for tensor in seen["model"]["outputs"]] == ["scaled", "kinds"]


def test_infer__every_datatype__comes_back_as_it_went(seen: dict[str, Any]) -> None:
    assert seen["round trip"]["same"] == dict.fromkeys(arrays(), True)
    assert seen["round trip"]["id"] == "42"
    assert seen["round trip"]["model"] == ["mirror", "7"]


def test_infer__environment_in_the_name_and_one_output__only_that(seen: dict[str, Any]) -> None:
    assert seen["one output"] == ["INT64"]


def test_infer__typed_contents__as_good_as_raw_ones(seen: dict[str, Any]) -> None:
    code, sentence = seen["typed contents"]["FP16"]

    assert (code, '"FP16"' in sentence) == ("INVALID_ARGUMENT", True)
    assert seen["typed contents"]["mixed"] == "INVALID_ARGUMENT"
    assert seen["typed contents"]["outputs"] == ["scaled", "kinds", "blob", "day"]


def test_infer__columns_and_parameters__reach_the_model(seen: dict[str, Any]) -> None:
    assert seen["columns"] == {
        "scaled": [3.0, 5.0],
        "kinds": ["float float int int bool str Timestamp bytes"] * 2,
        "blob": True,
        "day": ["2026-01-02T00:00:00.000000000", "2026-01-03T04:05:06.000000000"],
    }


def test_infer__answered__trailing_metadata_say_who_answered(seen: dict[str, Any]) -> None:
    assert seen["trailing"] == {
        "x-mlorch-version": "7",
        "x-mlorch-arm": "stable",
        "x-mlorch-release": "rel-describe",
        "x-request-id": "my-request-1",
    }


def test_infer__refused__each_reason_has_its_code(seen: dict[str, Any]) -> None:
    assert seen["refusals"] == {
        "no key": "UNAUTHENTICATED",
        "wrong key": "UNAUTHENTICATED",
        "foreign key": "PERMISSION_DENIED",
        "no environment": "INVALID_ARGUMENT",
        "other environment": "UNAUTHENTICATED",
        "two environments": "INVALID_ARGUMENT",
        "unknown endpoint": "NOT_FOUND",
        "unknown version": "NOT_FOUND",
        "unknown output": "INVALID_ARGUMENT",
        "missing column": "INVALID_ARGUMENT",
        "wrong type": "INVALID_ARGUMENT",
        "model raised": "INTERNAL",
        "too large": "RESOURCE_EXHAUSTED",
        "no worker": "UNAVAILABLE",
        "deadline": "DEADLINE_EXCEEDED",
        "metadata without key": "UNAUTHENTICATED",
    }


def test_infer__cancelled__the_next_call_is_answered(seen: dict[str, Any]) -> None:
    assert seen["cancelled"] == [1.5, 2.5]


def test_messages__ours_and_the_clients__have_the_same_fields(seen: dict[str, Any]) -> None:
    pending, ours = list(inference_pb2.DESCRIPTOR.message_types_by_name.values()), {}
    while pending:
        message = pending.pop()
        pending += message.nested_types
        ours |= {field.full_name: [field.number, field.type] for field in message.fields}

    assert len(ours) > 60
    assert {name: seen["numbers"].get(name) for name in ours} == ours
