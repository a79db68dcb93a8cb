"""Messages of the protocol ↔ what a worker takes and gives.

That is a JSON header followed by raw tensors (the binary tensor data extension).
"""

import json
from typing import Any, NamedTuple

from dataplane.gateway.errors import Refusal
from dataplane.gateway.grpc import inference_pb2 as pb
from dataplane.gateway.grpc.typed_contents import Unfit, raw_of

SIZE = "binary_data_size"
INT64_MAX = 2**63 - 1


class WorkerRequest(NamedTuple):
    """The body for a worker, the first `header_length` bytes of which are JSON."""

    body: bytes
    header_length: int


def invalid(message: str) -> Refusal:
    """The refusal of a malformed message."""
    return Refusal(400, "INVALID_PARAMETER_VALUE", message)


def unreadable() -> Refusal:
    """The refusal for an answer of a worker that cannot be put into a message."""
    return Refusal(500, "INTERNAL_ERROR", "The worker's answer is not one of the protocol.")


def to_worker(request: Any) -> WorkerRequest:
    """A ModelInferRequest as a worker takes it; every output is asked for as binary data.

    Raises Refusal (400).
    """
    raw = list(request.raw_input_contents)
    if raw and len(raw) != len(request.inputs):
        raise invalid(f"the request has {len(request.inputs)} inputs and {len(raw)} raw_input_contents")
    inputs = []
    for number, tensor in enumerate(request.inputs):
        content = raw[number] if raw and not tensor.HasField("contents") else _typed(tensor, bool(raw))
        inputs.append((_input(tensor, len(content)), content))
    header: dict[str, Any] = {"inputs": [tensor for tensor, _ in inputs]}
    header["parameters"] = _parameters(request.parameters) | {"binary_data_output": True}
    if request.id:
        header["id"] = request.id
    if request.outputs:
        header["outputs"] = [
            {"name": output.name, "parameters": _parameters(output.parameters) | {"binary_data": True}}
            for output in request.outputs
        ]
    text = json.dumps(header, separators=(",", ":")).encode()
    return WorkerRequest(b"".join([text, *(content for _, content in inputs)]), len(text))


def _typed(tensor: Any, has_raw: bool) -> bytes:
    if has_raw:
        raise invalid(f'tensor "{tensor.name}": contents and raw_input_contents exclude each other')
    try:
        return raw_of(tensor.datatype, tensor.contents)
    except Unfit as error:
        raise invalid(f'tensor "{tensor.name}": {error}') from error


def _input(tensor: Any, size: int) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "datatype": tensor.datatype,
        "shape": list(tensor.shape),
        "parameters": _parameters(tensor.parameters) | {SIZE: size},
    }


def _parameters(parameters: Any) -> dict[str, Any]:
    """InferParameters as JSON values; one without a choice is left out."""
    chosen = ((name, value, value.WhichOneof("parameter_choice")) for name, value in parameters.items())
    return {name: getattr(value, choice) for name, value, choice in chosen if choice}


def from_worker(body: bytes, header_length: int | None) -> Any:
    """A worker's answer as ModelInferResponse with raw_output_contents.

    Raises Refusal (500) when it is not one.
    """
    length = len(body) if header_length is None else header_length
    try:
        answer = json.loads(body[:length])
        response = pb.ModelInferResponse(
            model_name=answer["model_name"], model_version=answer.get("model_version", ""), id=answer.get("id", "")
        )
        offset = length
        for output in answer["outputs"]:
            size = output.get("parameters", {})[SIZE]
            tensor = response.outputs.add(name=output["name"], datatype=output["datatype"], shape=output["shape"])
            _set_parameters(tensor.parameters, output["parameters"])
            response.raw_output_contents.append(body[offset : offset + size])
            offset += size
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise unreadable() from error
    if offset != len(body):
        raise unreadable()
    return response


def _set_parameters(target: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        if name == SIZE:
            continue
        if isinstance(value, bool):
            target[name].bool_param = value
        elif isinstance(value, int):
            kind = "uint64_param" if value > INT64_MAX else "int64_param"
            setattr(target[name], kind, value)
        elif isinstance(value, float):
            target[name].double_param = value
        else:
            target[name].string_param = str(value)


def metadata_from_worker(body: bytes, versions: list[str]) -> Any:
    """A worker's model metadata as ModelMetadataResponse that lists `versions`. Raises Refusal (500)."""
    try:
        document = json.loads(body)
        response = pb.ModelMetadataResponse(name=document["name"], versions=versions, platform=document["platform"])
        for kind in ("inputs", "outputs"):
            for tensor in document[kind]:
                getattr(response, kind).add(name=tensor["name"], datatype=tensor["datatype"], shape=tensor["shape"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise unreadable() from error
    return response


def error_of(body: bytes) -> str:
    """The sentence in a worker's error answer."""
    try:
        document = json.loads(body)
        return str(document.get("error") or document.get("message") or "the model failed")
    except (ValueError, AttributeError, RecursionError):
        return "the model failed"
