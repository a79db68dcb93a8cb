"""`tritonclient.grpc` against the gateway's gRPC port.

A program of its own: the client brings the protocol's messages in its own generated code.
"""

import json
import sys

import grpc
import numpy as np
import tritonclient.grpc as triton
from tensors import arrays, columns, same

ENVIRONMENT = "mlorch-environment"


def main(port, key, foreign_key):
    client = triton.InferenceServerClient(f"127.0.0.1:{port}")
    headers = {"authorization": f"Bearer {key}", ENVIRONMENT: "production"}
    seen = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "ready elsewhere": client.is_server_ready(headers={ENVIRONMENT: "nowhere"}),
        "server": client.get_server_metadata(headers, as_json=True),
        "model ready": client.is_model_ready("mirror", headers=headers),
        "other version ready": client.is_model_ready("mirror", "8", headers=headers),
        "model": client.get_model_metadata("describe", headers=headers, as_json=True),
        "round trip": round_trip(client, headers),
        "one output": one_output(client, headers),
        "typed contents": typed_contents(port, headers),
        "columns": describe(client, headers),
        "trailing": trailing(port, key),
        "refusals": refusals(client, port, key, foreign_key),
        "cancelled": cancelled(client, headers),
        "numbers": numbers(triton.service_pb2.DESCRIPTOR),
    }
    print(json.dumps(seen))


def inputs_of(named):
    made = []
    for name, (datatype, array) in named.items():
        made.append(triton.InferInput(name, array.shape, datatype))
        made[-1].set_data_from_numpy(array)
    return made


def mirror_inputs():
    return inputs_of({name: (name, array) for name, array in arrays().items()})


def round_trip(client, headers):
    result = client.infer("mirror", mirror_inputs(), request_id="42", headers=headers)
    response = result.get_response()
    return {
        "same": {name: same(result.as_numpy(name), array) for name, array in arrays().items()},
        "id": response.id,
        "model": [response.model_name, response.model_version],
    }


def one_output(client, headers):
    wanted = [triton.InferRequestedOutput("INT64")]
    result = client.infer("production/mirror", mirror_inputs(), "7", wanted, headers=headers)
    return [output.name for output in result.get_response().outputs]


def typed_contents(port, headers):
    """Send typed contents, which the client itself never does; FP16 has none, and raw contents exclude them."""
    stub = stub_of(port)
    request = describe_request()
    answer = stub.ModelInfer(request, metadata=list(headers.items()))
    request.raw_input_contents.extend([b""] * len(request.inputs))
    mixed = code_of(lambda: stub.ModelInfer(request, metadata=list(headers.items())))
    half = triton.service_pb2.ModelInferRequest(model_name="mirror")
    half.inputs.add(name="FP16", datatype="FP16", shape=[1])
    try:
        stub.ModelInfer(half, metadata=list(headers.items()))
    except grpc.RpcError as error:
        told = [error.code().name, error.details()]
    return {"FP16": told, "mixed": mixed, "outputs": [output.name for output in answer.outputs]}


def stub_of(port):
    return triton.service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(f"127.0.0.1:{port}"))


def describe_request():
    request = triton.service_pb2.ModelInferRequest(model_name="describe")
    lists = {"FP64": "fp64", "FP32": "fp32", "INT64": "int64", "INT32": "int", "BOOL": "bool", "BYTES": "bytes"}
    for name, (datatype, array) in columns().items():
        tensor = request.inputs.add(name=name, datatype=datatype, shape=array.shape)
        values = array.tolist()
        getattr(tensor.contents, f"{lists[datatype]}_contents").extend(
            v.encode() if isinstance(v, str) else v for v in values
        )
    return request


def describe(client, headers):
    result = client.infer("describe", inputs_of(columns()), headers=headers, parameters={"factor": 2.0})
    return {
        "scaled": result.as_numpy("scaled").tolist(),
        "kinds": [item.decode() for item in result.as_numpy("kinds")],
        "blob": same(result.as_numpy("blob"), columns()["blob"][1]),
        "day": [item.decode() for item in result.as_numpy("day")],
    }


def trailing(port, key):
    stub = stub_of(port)
    request = describe_request()
    request.model_name = "production/describe"
    metadata = [("authorization", f"Bearer {key}"), ("x-request-id", "my-request-1")]
    _, call = stub.ModelInfer.with_call(request, metadata=metadata)
    return dict(call.trailing_metadata())


def code_of(call):
    try:
        call()
    except grpc.RpcError as error:
        return error.code().name
    except triton.InferenceServerException as error:
        return str(error.status()).removeprefix("StatusCode.")
    return "OK"


def refusals(client, port, key, foreign_key):
    good = {"authorization": f"Bearer {key}", ENVIRONMENT: "production"}
    negative = columns() | {"number": ("FP64", np.array([-1.0, 1.0]))}
    strange = columns() | {"count": ("FP64", np.array([0.5, 1.5]))}
    large = {"number": ("FP64", np.zeros(200_000))}

    def infer(name, named=None, headers=good, version="", **more):
        return code_of(lambda: client.infer(name, inputs_of(named or columns()), version, headers=headers, **more))

    return {
        "no key": infer("describe", headers={ENVIRONMENT: "production"}),
        "wrong key": infer("describe", headers={"authorization": "Bearer mlk_wrong", ENVIRONMENT: "production"}),
        "foreign key": infer("describe", headers=good | {"authorization": f"Bearer {foreign_key}"}),
        "no environment": infer("describe", headers={"authorization": f"Bearer {key}"}),
        "other environment": infer("staging/describe", headers={"authorization": f"Bearer {key}"}),
        "two environments": infer("staging/describe"),
        "unknown endpoint": infer("zzz"),
        "unknown version": infer("describe", version="9"),
        "unknown output": infer("describe", outputs=[triton.InferRequestedOutput("zzz")]),
        "missing column": infer("describe", {"number": ("FP64", np.array([1.0]))}),
        "wrong type": infer("describe", strange),
        "model raised": infer("describe", negative),
        "too large": infer("describe", large),
        "no worker": infer("gone"),
        "deadline": infer("describe", client_timeout=0.000_001),
        "metadata without key": code_of(lambda: client.get_server_metadata()),
    }


def cancelled(client, headers):
    """Cancel a call that is under way; the client is told so, and the next call is answered."""
    told = []
    context = client.async_infer(
        "describe", inputs_of(columns()), lambda result, error: told.append(error), headers=headers
    )
    context.cancel()
    after = client.infer("describe", inputs_of(columns()), headers=headers)
    return after.as_numpy("scaled").tolist()


def numbers(file):
    """Number and kind of every field of every message, by their names."""
    pending, found = list(file.message_types_by_name.values()), {}
    while pending:
        message = pending.pop()
        pending += message.nested_types
        found |= {field.full_name: [field.number, field.type] for field in message.fields}
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
