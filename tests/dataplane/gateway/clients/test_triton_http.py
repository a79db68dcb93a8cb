"""`tritonclient.http` talks to the gateway: metadata, readiness, every datatype in JSON and binary, refusals."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from tests.dataplane.gateway.clients.tensors import arrays, columns, same
from tests.dataplane.gateway.clients.world import FOREIGN_KEY, Gateway
from tests.dataplane.gateway.conftest import KEY

AUTHORIZATION = {"authorization": f"Bearer {KEY}"}


@pytest.fixture
def client(gateway: Gateway) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(f"127.0.0.1:{gateway.port}/production") as client:
        yield client


def inputs_of(named: dict[str, tuple[str, np.ndarray]], as_binary: bool = True) -> list[triton.InferInput]:
    made = []
    for name, (datatype, array) in named.items():
        made.append(triton.InferInput(name, array.shape, datatype))
        # FP16 has no JSON form.
        made[-1].set_data_from_numpy(array, binary_data=as_binary or datatype == "FP16")
    return made


def mirror_inputs(as_binary: bool = True) -> list[triton.InferInput]:
    return inputs_of({name: (name, array) for name, array in arrays().items()}, as_binary)


def test_server__asked_for_state_and_metadata__names_the_binary_extension(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    metadata = client.get_server_metadata(headers=dict(AUTHORIZATION))

    assert metadata["name"] == "mlorch"
    assert "binary_tensor_data" in metadata["extensions"]


def test_model__asked_for_state_and_metadata__tells_its_tensors(client: Any) -> None:
    assert client.is_model_ready("mirror", headers=dict(AUTHORIZATION))
    assert client.is_model_ready("mirror", "7", headers=dict(AUTHORIZATION))
    assert not client.is_model_ready("mirror", "8", headers=dict(AUTHORIZATION))
    metadata = client.get_model_metadata("mirror", headers=dict(AUTHORIZATION))

    assert (metadata["name"], metadata["versions"]) == ("mirror", ["7"])
    assert metadata["inputs"] == metadata["outputs"]
    assert metadata["inputs"] == [{"name": name, "datatype": name, "shape": [-1, 2]} for name in arrays()]


@pytest.mark.parametrize("as_binary", [True, False])
def test_infer__every_datatype__comes_back_as_it_went(client: Any, as_binary: bool) -> None:
    outputs = [triton.InferRequestedOutput(name, binary_data=as_binary or name == "FP16") for name in arrays()]
    result = client.infer(
        "mirror", mirror_inputs(as_binary), outputs=outputs, request_id="42", headers=dict(AUTHORIZATION)
    )
    answer = result.get_response()

    assert {name: same(result.as_numpy(name), array) for name, array in arrays().items()} == dict.fromkeys(
        arrays(), True
    )
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("42", "mirror", "7")
    assert all(("data" in output) == (not as_binary and output["name"] != "FP16") for output in answer["outputs"])


def test_infer__no_outputs_named__all_come_as_binary(client: Any) -> None:
    result = client.infer("mirror", mirror_inputs(), headers=dict(AUTHORIZATION))

    assert [output["name"] for output in result.get_response()["outputs"]] == list(arrays())
    assert same(result.as_numpy("BYTES"), arrays()["BYTES"])


def test_infer__nothing_binary__plain_json_both_ways(client: Any) -> None:
    named = columns() | {"blob": ("BYTES", np.array(["a", "b"], dtype=object))}
    outputs = [triton.InferRequestedOutput(name, binary_data=False) for name in ("scaled", "blob")]
    result = client.infer("describe", inputs_of(named, False), outputs=outputs, headers=dict(AUTHORIZATION))

    assert result.as_numpy("scaled").tolist() == [1.5, 2.5]
    assert [output["data"] for output in result.get_response()["outputs"]] == [[1.5, 2.5], ["a", "b"]]


def test_infer__named_version_and_one_output__only_that(client: Any) -> None:
    outputs = [triton.InferRequestedOutput("FP64", binary_data=False)]
    result = client.infer("mirror", mirror_inputs(), "7", outputs, headers=dict(AUTHORIZATION))

    assert [output["name"] for output in result.get_response()["outputs"]] == ["FP64"]


def test_infer__columns_and_parameters__reach_the_model(client: Any) -> None:
    result = client.infer("describe", inputs_of(columns()), headers=dict(AUTHORIZATION), parameters={"factor": 2.0})

    assert result.as_numpy("scaled").tolist() == [3.0, 5.0]
    assert result.as_numpy("kinds")[0] == b"float float int int bool str Timestamp bytes"
    assert same(result.as_numpy("blob"), columns()["blob"][1])
    assert result.as_numpy("day").tolist() == [b"2026-01-02T00:00:00.000000000", b"2026-01-03T04:05:06.000000000"]


def test_infer__json_answer_of_bytes_that_are_no_text__is_base64(client: Any) -> None:
    outputs = [triton.InferRequestedOutput("blob", binary_data=False)]
    result = client.infer("describe", inputs_of(columns()), outputs=outputs, headers=dict(AUTHORIZATION))
    (output,) = result.get_response()["outputs"]

    assert (output["data"], output["parameters"]) == (["/wA=", "Yg=="], {"content_type": "base64"})


REFUSED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "no key": ("401", "gateway key", {"headers": {}}),
    "foreign key": ("403", "does not open", {"headers": {"authorization": f"Bearer {FOREIGN_KEY}"}}),
    "unknown endpoint": ("404", "no endpoint", {"model_name": "zzz"}),
    "unknown version": ("404", "does not serve version 9", {"model_version": "9"}),
    "unknown output": ("400", 'no output "zzz"', {"outputs": [triton.InferRequestedOutput("zzz")]}),
    "missing column": ("400", "missing", {"inputs": inputs_of({"number": ("FP64", np.array([1.0]))})}),
    "wrong size": ("413", "limit", {"inputs": inputs_of({"number": ("FP64", np.zeros(200_000))})}),
    "model raised": (
        "500",
        "negative",
        {"inputs": inputs_of(columns() | {"number": ("FP64", np.array([-1.0, 1.0]))})},
    ),
    "no worker": ("503", "No replica", {"model_name": "gone"}),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_infer__refused__status_and_sentence_reach_the_client(client: Any, case: str) -> None:
    status, sentence, changes = REFUSED[case]
    # The client adds to the headers that it is given.
    asked = {"model_name": "describe", "inputs": inputs_of(columns()), "headers": dict(AUTHORIZATION)} | changes
    with pytest.raises(InferenceServerException) as caught:
        client.infer(**asked)

    assert caught.value.status() == status
    assert sentence in caught.value.message()


def test_infer__sizes_that_do_not_fit__refused_with_the_tensors_name(client: Any) -> None:
    inputs = inputs_of(columns())
    inputs[0]._raw_data = b"1234"
    inputs[0]._parameters["binary_data_size"] = 4
    with pytest.raises(InferenceServerException) as caught:
        client.infer("describe", inputs, headers=dict(AUTHORIZATION))

    assert caught.value.status() == "400"
    assert 'tensor "number": 2 elements of FP64 are 16 bytes, not 4' in caught.value.message()
