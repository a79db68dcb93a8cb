"""Messages of the gRPC port to and from a worker, and the generated module."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.gateway.errors import Refusal
from dataplane.gateway.grpc import inference_pb2 as pb
from dataplane.gateway.grpc import messages
from dataplane.gateway.grpc.caller import caller_of
from dataplane.worker.answers import BadInput
from dataplane.worker.oip import binary, protocol

ROOT = Path(__file__).resolve().parents[3]
PROTO = "dataplane/gateway/grpc/inference.proto"


@pytest.mark.parametrize(
    ("datatype", "field", "values"),
    [
        ("BOOL", "bool_contents", [True, False]),
        ("INT8", "int_contents", [-128, 127]),
        ("INT16", "int_contents", [-(2**15), 2**15 - 1]),
        ("INT32", "int_contents", [-(2**31), 2**31 - 1]),
        ("INT64", "int64_contents", [-(2**63), 2**63 - 1]),
        ("UINT8", "uint_contents", [0, 255]),
        ("UINT16", "uint_contents", [0, 2**16 - 1]),
        ("UINT32", "uint_contents", [0, 2**32 - 1]),
        ("UINT64", "uint64_contents", [0, 2**64 - 1]),
        ("FP32", "fp32_contents", [0.5, -1.0]),
        ("FP64", "fp64_contents", [0.1, 1e300]),
        ("BYTES", "bytes_contents", [b"", "é".encode()]),
    ],
)
def test_to_worker__typed_contents__are_what_the_worker_decodes(datatype: str, field: str, values: list[Any]) -> None:
    request = pb.ModelInferRequest(model_name="e", id="42")
    request.parameters["factor"].double_param = 2.5
    tensor = request.inputs.add(name="x", datatype=datatype, shape=[2])
    getattr(tensor.contents, field).extend(values)
    request.outputs.add(name="y")
    parsed = protocol.parse_request(*messages.to_worker(request))
    _, array = protocol.decode_tensor(parsed["inputs"][0])

    assert [item.encode() if isinstance(item, str) else item for item in array.tolist()] == values
    assert (parsed["id"], parsed["parameters"]) == ("42", {"factor": 2.5, "binary_data_output": True})
    assert parsed["outputs"] == [{"name": "y", "parameters": {"binary_data": True}}]


def malformed() -> dict[str, tuple[Any, str]]:
    """Requests that are refused before any worker, with a part of the sentence."""

    def one(datatype: str, field: str = "", values: Any = (), raw: Any = ()) -> Any:
        request = pb.ModelInferRequest(model_name="e", raw_input_contents=raw)
        tensor = request.inputs.add(name="x", datatype=datatype, shape=[1])
        if field:
            getattr(tensor.contents, field).extend(values)
        return request

    return {
        "range": (one("INT8", "int_contents", [128]), '"x": an element is out of the range of INT8'),
        "list": (one("INT64", "fp64_contents", [1.0]), "belong into int64_contents, not fp64_contents"),
        "FP16": (one("FP16"), "FP16 has no typed contents"),
        "no datatype": (one(""), "no datatype has no typed contents"),
        "both": (one("INT64", "int64_contents", [1], [b"12345678"]), "exclude each other"),
        "number": (one("INT64", raw=[b"", b""]), "1 inputs and 2 raw_input_contents"),
    }


@pytest.mark.parametrize("case", list(malformed()))
def test_to_worker__malformed__refused_with_a_sentence(case: str) -> None:
    request, sentence = malformed()[case]
    with pytest.raises(Refusal) as caught:
        messages.to_worker(request)

    assert (caught.value.status, sentence in caught.value.message) == (400, True)


PARAMETER = st.fixed_dictionaries(
    {}, optional={"bool_param": st.booleans(), "int64_param": st.integers(-5, 50), "string_param": st.text(max_size=5)}
).map(lambda chosen: pb.InferParameter(**dict(list(chosen.items())[:1])))
PARAMETERS = st.dictionaries(
    st.sampled_from(["binary_data_size", "binary_data", "content_type", "shared_memory_region"]),
    PARAMETER,
    max_size=2,
)
CONTENTS = st.builds(
    pb.InferTensorContents,
    int_contents=st.lists(st.integers(-300, 300), max_size=3),
    fp32_contents=st.lists(st.floats(width=32), max_size=3),
    bytes_contents=st.lists(st.binary(max_size=4), max_size=3),
)
INPUTS = st.builds(
    pb.ModelInferRequest.InferInputTensor,
    name=st.text(max_size=3),
    datatype=st.sampled_from([*binary.NUMPY, "BYTES", "BF16", ""]),
    shape=st.lists(st.integers(-1, 4) | st.integers(-(2**63), 2**63 - 1), max_size=3),
    parameters=PARAMETERS,
    contents=st.none() | CONTENTS,
)
REQUESTS = st.builds(
    pb.ModelInferRequest,
    inputs=st.lists(INPUTS, max_size=3),
    outputs=st.lists(st.builds(pb.ModelInferRequest.InferRequestedOutputTensor, name=st.text(max_size=3)), max_size=2),
    parameters=PARAMETERS,
    raw_input_contents=st.lists(st.binary(max_size=20), max_size=3),
)


@settings(max_examples=300, deadline=None)
@given(REQUESTS)
def test_infer__any_message__understood_or_refused_by_gateway_or_worker(request_: Any) -> None:
    try:
        parsed = protocol.parse_request(*messages.to_worker(request_))
        protocol.model_input([protocol.decode_tensor(tensor) for tensor in parsed["inputs"]], None)
    except (Refusal, BadInput) as error:
        assert getattr(error, "status", 400) == 400  # noqa: PT017 - either is right, another error is not


def test_from_worker__binary_outputs__become_raw_contents_with_their_parameters() -> None:
    output = {
        "name": "y",
        "datatype": "INT32",
        "shape": [2],
        "parameters": {"binary_data_size": 8, "a": True, "b": 2.5},
    }
    header = json.dumps({"model_name": "e", "model_version": "7", "id": "42", "outputs": [output]}).encode()
    response = messages.from_worker(header + b"12345678", len(header))

    assert (response.model_name, response.model_version, response.id) == ("e", "7", "42")
    assert list(response.raw_output_contents) == [b"12345678"]
    assert response.outputs[0].parameters["b"].double_param == 2.5
    assert "binary_data_size" not in response.outputs[0].parameters


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"model_name": "e", "outputs": [{"name": "y"}]}'])
def test_from_worker__not_of_the_protocol__refused(body: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        messages.from_worker(body, None)

    assert caught.value.status == 500


def test_generated_module__made_again__says_the_same(tmp_path: Path) -> None:
    made = tmp_path / "inference.desc"
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", f"--descriptor_set_out={made}", PROTO]
    subprocess.run(command, cwd=ROOT, check=True)
    (wanted,) = descriptor_pb2.FileDescriptorSet.FromString(made.read_bytes()).file
    found = descriptor_pb2.FileDescriptorProto()
    pb.DESCRIPTOR.CopyToProto(found)
    for file in (wanted, found):
        strip_json_names(file)

    assert found == wanted


def strip_json_names(file: Any) -> None:
    """Remove what only the compiler fills in: the JSON names of fields."""
    pending = list(file.message_type)
    while pending:
        message = pending.pop()
        pending += message.nested_type
        for field in message.field:
            field.ClearField("json_name")


def test_caller__with_two_keys__is_refused():
    pairs = (("authorization", "Bearer a"), ("authorization", "Bearer b"))
    with pytest.raises(Refusal, match="once"):
        caller_of(pairs)
    assert caller_of(pairs[:1]).digest


DEEP = b'{"model_name": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.mark.parametrize("body", [DEEP, b"[]", b"7", b'{"name": "m", "platform": "p", "inputs": [7], "outputs": []}'])
def test_answer_of_a_worker__hostile__is_its_error(body):
    with pytest.raises(Refusal):
        messages.from_worker(body, None)
    with pytest.raises(Refusal):
        messages.metadata_from_worker(body, ["1"])
    assert messages.error_of(body) == "the model failed"
