"""Two gateway processes share the ports: each obeys the routes, one exposition tells of both, and gRPC answers like
REST.
"""

import secrets
import subprocess

import grpc
import pytest

from dataplane.gateway.grpc import inference_pb2
from tests.e2e.client import ROWS, Load, Rest, infer
from tests.support.otlp import SpanReceiver
from tests.support.product import Product
from tests.support.waiting import patience, until

pytestmark = pytest.mark.e2e

ENDPOINT = "shared"
SAMPLE = ROWS.iloc[:4]


@pytest.fixture(scope="module")
def endpoint(product: Product, rest: Rest) -> str:
    release = rest.request(1, {"kind": "immediate"}, endpoint=ENDPOINT)
    rest.approve(release.body["id"])
    rest.reach(release.body["id"], {"succeeded"})
    return ENDPOINT


def rest_answer(product: Product, endpoint: str) -> list[int]:
    form = {"dataframe_split": SAMPLE.to_dict(orient="split", index=False)}
    answer = infer(product, f"/production/endpoints/{endpoint}/invocations", form)
    assert answer.status == 200, answer
    return list(answer.body["predictions"])


def test_metrics__two_processes__both_have_the_same_routes_and_both_answer(product: Product, endpoint: str) -> None:
    def told() -> str:
        return product.text(f"{product.gateway}/metrics")

    def both_answered() -> bool:
        rest_answer(product, endpoint)
        answered = [
            line
            for line in told().splitlines()
            if line.startswith("mlorch_gateway_requests_total")
            and f'"{endpoint}"' in line
            and not line.endswith(" 0.0")
        ]
        return all(any(f'gateway="{name}"' in line for line in answered) for name in ("gateway-1", "gateway-2"))

    until(both_answered, "both processes have answered")
    revisions = {
        line.rsplit(" ", 1)[1]
        for line in told().splitlines()
        if line.startswith("mlorch_gateway_route_table_revision{") and 'environment="production"' in line
    }
    assert len(revisions) == 1


def test_trace__the_client_asks_for_one__its_spans_reach_a_receiver_that_others_wrote(
    product: Product, endpoint: str, receiver: SpanReceiver
) -> None:
    trace, span = secrets.token_hex(16), secrets.token_hex(8)
    form = {"dataframe_split": SAMPLE.to_dict(orient="split", index=False)}
    path = f"/production/endpoints/{endpoint}/invocations"
    answer = infer(product, path, form, traceparent=f"00-{trace}-{span}-01")
    until(lambda: len(receiver.of(trace)) == 4, "four spans arrive", seen=lambda: sorted(receiver.of(trace)))

    spans = receiver.of(trace)
    root, asked, busy = spans[f"invocations production/{endpoint}"], spans["worker"], spans["predict"]
    assert root.parent_span_id.hex() == span
    assert (asked.parent_span_id, busy.parent_span_id) == (root.span_id, asked.span_id)
    assert root.start_time_unix_nano <= asked.start_time_unix_nano <= busy.start_time_unix_nano
    assert busy.start_time_unix_nano < busy.end_time_unix_nano == root.end_time_unix_nano
    told = {one.key: one.value.string_value for one in root.attributes}
    assert told["mlorch.request_id"] == answer.headers["x-request-id"]
    assert told["mlorch.release"] == answer.headers["x-mlorch-release"]


def test_grpc__same_rows__same_predictions_and_who_answered(product: Product, endpoint: str) -> None:
    request = inference_pb2.ModelInferRequest(model_name=endpoint, id="a7")
    for name in SAMPLE:
        tensor = request.inputs.add(name=name, datatype="FP64", shape=[len(SAMPLE)])
        tensor.contents.fp64_contents.extend(SAMPLE[name].tolist())
    key = product.credentials["gateway_key"]
    metadata = (("authorization", f"Bearer {key}"), ("mlorch-environment", "production"))
    with grpc.insecure_channel(product.grpc) as channel:
        ask = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=inference_pb2.ModelInferRequest.SerializeToString,
            response_deserializer=inference_pb2.ModelInferResponse.FromString,
        )
        answer, call = ask.with_call(request, metadata=metadata, timeout=patience())
        with pytest.raises(grpc.RpcError) as refused:
            ask(request, timeout=patience())

    predictions = memoryview(answer.raw_output_contents[0]).cast("q").tolist()
    assert (answer.id, answer.model_version) == ("a7", "1")
    assert predictions == rest_answer(product, endpoint)
    assert dict(call.trailing_metadata())["x-mlorch-arm"] == "stable"
    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED


def test_reload__asked_for_under_load__both_processes_are_replaced_and_nothing_fails(
    product: Product, endpoint: str
) -> None:
    before = {name: product.process_named(name)["pid"] for name in ("gateway-1", "gateway-2")}
    with Load(product, 100, endpoint) as load:
        load.go_on()
        command = [product.command[0], "--data", str(product.data_dir), "--reload"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=patience(), check=False)
        load.go_on(2)
    after = {name: product.process_named(name)["pid"] for name in before}

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"{name} was replaced: process {after[name]} instead of {before[name]}" for name in before
    ]
    assert not set(before.values()) & set(after.values())
    assert {row.status for row in load.answers} == {200}
