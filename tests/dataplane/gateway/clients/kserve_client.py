"""KServe's own inference clients, REST and gRPC, against the gateway.

Run by an environment of KServe's, which needs other versions than ours.
"""

import asyncio
import json
import sys

import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput
from tensors import arrays, columns, same

TIMEOUT_S = 20


def inputs_of(named, binary_data):
    made = []
    for name, (datatype, array) in named.items():
        made.append(InferInput(name, list(array.shape), datatype))
        made[-1].set_data_from_numpy(array, binary_data=binary_data)
    return made


async def rest(port, key, foreign_key):
    url, headers = f"http://127.0.0.1:{port}/production", {"authorization": f"Bearer {key}"}
    async with InferenceRESTClient(RESTConfig(protocol="v2", timeout=TIMEOUT_S, retries=0)) as client:
        return {
            "live": await client.is_server_live(url),
            "ready": await client.is_server_ready(url),
            "model ready": await client.is_model_ready(url, "mirror", headers=headers),
            "binary": await round_trip(client, url, headers, True),
            "json": await round_trip(client, url, headers, False),
            "columns": await describe(client, url, headers),
            "refusals": await refusals(client, url, headers, foreign_key),
        }


async def round_trip(client, url, headers, binary_data):
    """Send and ask for every datatype, as JSON all but FP16, which has no JSON form."""
    named = {name: (name, array) for name, array in arrays().items()}
    inputs = inputs_of(named, binary_data)
    if not binary_data:
        inputs = [tensor for tensor in inputs if tensor.name != "FP16"]
        inputs += inputs_of({"FP16": named["FP16"]}, True)
    outputs = [RequestedOutput(name, parameters={"binary_data": binary_data or name == "FP16"}) for name in named]
    request = InferRequest("mirror", inputs, request_id="42", request_outputs=outputs)
    response = await client.infer(url, request, model_name="mirror", headers=dict(headers))
    return {
        "same": {tensor.name: same(tensor.as_numpy(), named[tensor.name][1]) for tensor in response.outputs},
        "id": response.id,
        "model": response.model_name,
    }


async def describe(client, url, headers):
    request = InferRequest("describe", inputs_of(columns(), True), parameters={"factor": 2.0})
    response = await client.infer(url, request, model_name="describe", headers=dict(headers))
    outputs = {tensor.name: tensor for tensor in response.outputs}
    return {"scaled": outputs["scaled"].as_numpy().tolist()}


async def refusals(client, url, headers, foreign_key):
    async def status(name, named, more=None):
        request = InferRequest(name, inputs_of(named, False))
        try:
            await client.infer(url, request, model_name=name, headers=headers | (more or {}))
        except httpx.HTTPStatusError as error:
            return [error.response.status_code, str(error)]
        return [200, ""]

    # Bytes that are no text have no form in this client's JSON.
    plain = columns() | {"blob": ("BYTES", np.array(["a", "b"], dtype=object))}
    return {
        "fine": await status("describe", plain),
        "foreign key": await status("describe", plain, {"authorization": f"Bearer {foreign_key}"}),
        "unknown endpoint": await status("zzz", plain),
        "missing column": await status("describe", {"number": plain["number"]}),
        "model raised": await status("describe", plain | {"number": ("FP64", np.array([-1.0, 1.0]))}),
    }


async def over_grpc(port, key):
    metadata = [("authorization", f"Bearer {key}"), ("mlorch-environment", "production")]
    named = {name: (name, array) for name, array in arrays().items()}
    async with InferenceGRPCClient(f"127.0.0.1:{port}", timeout=TIMEOUT_S, retries=0) as client:
        request = InferRequest("mirror", inputs_of(named, True), request_id="42")
        response = await client.infer(request, headers=metadata)
        return {
            "live": await client.is_server_live(),
            "ready": await client.is_server_ready(),
            "model ready": await client.is_model_ready("mirror", headers=metadata),
            "same": {tensor.name: same(tensor.as_numpy(), named[tensor.name][1]) for tensor in response.outputs},
            "id": response.id,
        }


async def main(port, grpc_port, key, foreign_key):
    print(json.dumps({"rest": await rest(port, key, foreign_key), "grpc": await over_grpc(grpc_port, key)}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
