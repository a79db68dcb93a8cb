"""Open Inference Protocol v2, REST form with binary tensor data: what a request asks, and the answer to it."""

import json
from typing import Any

from dataplane.worker.answers import Answer, BadInput, json_answer
from dataplane.worker.oip import binary
from dataplane.worker.oip.model_tensors import metadata, model_input
from dataplane.worker.oip.output_tensors import named_arrays
from dataplane.worker.oip.tensors import decode_tensor, encode_tensor

__all__ = ["answer", "decode_tensor", "encode_outputs", "metadata", "model_input", "parse_request"]

OCTETS = "application/octet-stream"
BINARY_OUTPUT = "binary_data"
BINARY_OUTPUTS = "binary_data_output"
SHARED_MEMORY = "shared_memory_region"


def parse_request(body: bytes, header_length: "int | None" = None) -> "dict[str, Any]":
    """The request object; tensors that came as binary data carry their bytes under `raw`.

    `header_length` is the length of the JSON when raw tensors follow it. Raises BadInput when it is not a request.
    """
    text, raw = binary.split(body, header_length)
    try:
        request = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"the body is not JSON: {error}") from error
    if not isinstance(request, dict):
        raise BadInput("the body must be a JSON object")
    inputs = request.get("inputs")
    if not isinstance(inputs, list) or not inputs or not all(isinstance(tensor, dict) for tensor in inputs):
        raise BadInput('"inputs" must be a list with at least one tensor')
    if "id" in request and not isinstance(request["id"], str):
        raise BadInput('"id" must be a string')
    _check_outputs(request.get("outputs", []))
    _check_parameters("the request", request, BINARY_OUTPUTS)
    for tensor in inputs:
        _check_parameters(f'tensor "{tensor.get("name")}"', tensor)
    for output in request.get("outputs", []):
        _check_parameters(f'output "{output["name"]}"', output, BINARY_OUTPUT)
    binary.attach(inputs, raw, header_length is not None)
    return request


def _check_outputs(outputs: Any) -> None:
    if not isinstance(outputs, list) or not all(
        isinstance(output, dict) and isinstance(output.get("name"), str) for output in outputs
    ):
        raise BadInput('"outputs" must be a list of objects with a "name"')
    names = [output["name"] for output in outputs]
    if len(set(names)) != len(names):
        raise BadInput("an output is asked for twice")


def _check_parameters(owner: str, value: "dict[str, Any]", switch: str = "") -> None:
    parameters = value.get("parameters", {})
    if not isinstance(parameters, dict):
        raise BadInput(f'{owner}: "parameters" must be an object')
    if switch and type(parameters.get(switch, False)) is not bool:
        raise BadInput(f"{owner}: {switch} must be true or false")
    if SHARED_MEMORY in parameters:
        raise BadInput(f"{owner}: shared memory is not supported")


def answer(
    request: "dict[str, Any]", result: Any, model_name: str, version: str, output_schema: Any = None
) -> "Answer":
    """The answer to a request, in JSON or with binary tensors as it asks. Raises BadInput for an unknown output."""
    outputs, chunks = encode_outputs(request, result, output_schema)
    content = {"model_name": model_name, "model_version": version, "outputs": outputs}
    if "id" in request:
        content["id"] = request["id"]
    if not chunks:
        return json_answer(200, content)
    header = json.dumps(content).encode()
    return Answer(200, b"".join([header, *chunks]), OCTETS, None, len(header))


def encode_outputs(
    request: "dict[str, Any]", result: Any, output_schema: Any = None
) -> "tuple[list[dict[str, Any]], list[bytes]]":
    """The tensors that the request asks for (all when it names none) and the bytes of those that go as binary data."""
    arrays = dict(named_arrays(result, output_schema))
    by_default = request.get("parameters", {}).get(BINARY_OUTPUTS, False)
    wanted = {
        output["name"]: output.get("parameters", {}).get(BINARY_OUTPUT, by_default)
        for output in request.get("outputs", [])
    } or dict.fromkeys(arrays, by_default)
    unknown = [name for name in wanted if name not in arrays]
    if unknown:
        raise BadInput(f'the model has no output "{unknown[0]}"; it has {", ".join(arrays)}')
    encoded = [encode_tensor(name, arrays[name], as_binary) for name, as_binary in wanted.items()]
    return [tensor for tensor, _ in encoded], [raw for _, raw in encoded if raw is not None]
