"""The gRPC port: who is let in, what a cancelled call leaves behind, limits, refusals as codes."""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from dataplane.gateway.grpc import grpc_server, messages
from dataplane.gateway.grpc import inference_pb2 as pb
from dataplane.gateway.state import State
from tests.dataplane.gateway.conftest import FOREIGN_KEY, KEY, OLD_KEY, FrameWorker, table
from tests.support.waiting import auntil, patience

ROOT = Path(__file__).resolve().parents[3]
SLOW_S = 1.0
UNDER_WAY_S = 0.1
LINGER_S = 0.1
type_Start = Callable[..., Awaitable[FrameWorker]]
type_Ask = Callable[..., Any]


def metadata(key: str = KEY, **more: str) -> list[tuple[str, str]]:
    named = {"mlorch_environment": "production", **more} | ({"authorization": f"Bearer {key}"} if key else {})
    return [(name.replace("_", "-"), value) for name, value in named.items()]


@pytest.fixture
async def ask(state: State) -> AsyncIterator[type_Ask]:
    """Call the gateway's gRPC port by the name of the call."""
    server = await grpc_server.start(state, socket.create_server(("127.0.0.1", 0)))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:

        def call(name: str, request: Any, key: str = KEY, **more: str) -> Any:
            kind = getattr(pb, type(request).__name__.replace("Request", "Response"))
            method = channel.unary_unary(
                f"/{grpc_server.SERVICE}/{name}", lambda message: message.SerializeToString(), kind.FromString
            )
            return method(request, metadata=metadata(key, **more), timeout=patience())

        yield call
    await server.stop(0, 0)
    state.close()


async def serve(state: State, start: type_Start, behaviour: Any = None, **endpoint: Any) -> FrameWorker:
    worker = await start("1", *([behaviour] if behaviour else []))
    state.apply(table(sockets={"1": str(worker.path), "2": "/nowhere/2.sock"}, **endpoint))
    return worker


def request_for(name: str = "e", **fields: Any) -> Any:
    request = pb.ModelInferRequest(model_name=name, **fields)
    request.inputs.add(name="x", datatype="FP64", shape=[1]).contents.fp64_contents.append(1.5)
    return request


async def refusal(call: Any) -> tuple[str, str, dict[str, Any]]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code().name, caught.value.details() or "", dict(caught.value.trailing_metadata() or ())


async def test_infer__request_log__has_the_id_of_the_answer(
    ask: type_Ask, state: State, start_worker: type_Start
) -> None:
    await serve(state, start_worker, log={"share_pct": 100})
    _, _, told = await refusal(ask("ModelInfer", request_for(), **{"x-request-id": "my-own-id-1"}))
    await state.request_log.drain(None)
    (file,) = (state.config.folder / "requests" / "production" / "e").iterdir()

    assert told["x-request-id"] == "my-own-id-1"
    assert json.loads(file.read_text())["id"] == "my-own-id-1"


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("", "UNAUTHENTICATED"),
        ("mlk_wrong", "UNAUTHENTICATED"),
        (OLD_KEY, "UNAUTHENTICATED"),
        (FOREIGN_KEY, "PERMISSION_DENIED"),
    ],
)
@pytest.mark.parametrize("name", ["ModelInfer", "ModelReady", "ModelMetadata"])
async def test_call__no_right_key__refused(state: State, ask: type_Ask, name: str, key: str, code: str) -> None:
    state.apply(table())
    fields = {"model_name": "e"} if name == "ModelInfer" else {"name": "e"}
    told, _, trailing = await refusal(ask(name, getattr(pb, f"{name}Request")(**fields), key))

    assert told == code
    assert len(trailing["x-request-id"]) == 32


async def test_call__no_key__refused_before_its_message_is_read(state: State, ask: type_Ask) -> None:
    state.apply(table())
    request = request_for()
    request.raw_input_contents.append(b"x" * (grpc_server.BODY_MAX_BYTES + 1))

    assert (await refusal(ask("ModelInfer", request, "")))[0] == "UNAUTHENTICATED"
    assert (await refusal(ask("ModelInfer", request)))[0] == "RESOURCE_EXHAUSTED"


async def test_server__no_table_yet__live_and_not_ready(state: State, ask: type_Ask) -> None:
    assert (await ask("ServerLive", pb.ServerLiveRequest(), "")).live
    assert not (await ask("ServerReady", pb.ServerReadyRequest(), "")).ready
    state.apply(table())

    assert (await ask("ServerReady", pb.ServerReadyRequest(), "")).ready
    assert not (await ask("ServerReady", pb.ServerReadyRequest(), "", mlorch_environment="staging")).ready


async def test_infer__worker_gets_the_binary_form_and_units_stick(
    state: State, ask: type_Ask, start_worker: type_Start
) -> None:
    worker = await serve(state, start_worker)
    code, _, trailing = await refusal(ask("ModelInfer", request_for(), x_mlorch_unit="u", x_request_id="my-request"))

    assert (code, trailing["x-request-id"]) == ("INTERNAL", "my-request")
    assert worker.seen[0].op == "infer"
    assert worker.seen[0].header_length == messages.to_worker(request_for()).header_length
    assert [(w.requests, w.drawn) for w in state.windows.take(everything=True)] == [(1, 0)]


async def test_infer__metadata_was_chosen__counts_apart(ask: type_Ask, state: State, start_worker: type_Start) -> None:
    await serve(state, start_worker, targets={"arm": "candidate", "headers": {"x-tenant": ["acme"]}})
    for tenant in ("acme", "beta"):
        await refusal(ask("ModelInfer", request_for(), x_tenant=tenant))

    assert sorted(w.arm for w in state.windows.take(everything=True)) == ["stable", "targeted"]


async def test_infer__body_over_the_endpoints_limit__refused(state: State, ask: type_Ask) -> None:
    state.apply(table(max_body_bytes=10))
    code, sentence, _ = await refusal(ask("ModelInfer", request_for()))

    assert (code, "10 bytes" in sentence) == ("RESOURCE_EXHAUSTED", True)


async def test_infer__worker_too_slow__deadline_with_who_it_was(
    state: State, ask: type_Ask, start_worker: type_Start
) -> None:
    async def slow(header: Any, body: bytes) -> dict[str, Any]:
        await asyncio.sleep(SLOW_S)
        return {"status": 200}

    await serve(state, start_worker, slow, timeout_ms=30)
    code, _, trailing = await refusal(ask("ModelInfer", request_for()))

    assert (code, trailing["x-mlorch-arm"], trailing["x-mlorch-version"]) == ("DEADLINE_EXCEEDED", "stable", "1")


async def test_infer__no_worker__unavailable_with_retry_after(state: State, ask: type_Ask) -> None:
    state.apply(table())
    code, _, trailing = await refusal(ask("ModelInfer", request_for()))

    assert (code, trailing["retry-after"]) == ("UNAVAILABLE", "1")


async def test_infer__worker_refuses__its_sentence_reaches_the_client(
    state: State, ask: type_Ask, start_worker: type_Start
) -> None:
    async def refuse(header: Any, body: bytes) -> dict[str, Any]:
        return {"status": 501, "outcome": "server_error"}

    await serve(state, start_worker, refuse)
    code, sentence, trailing = await refusal(ask("ModelInfer", request_for()))

    assert (code, sentence) == ("UNIMPLEMENTED", "the model failed")
    assert trailing["x-mlorch-outcome"] == "server_error"


async def test_infer__client_cancels__the_call_ends_and_its_place_is_free(
    state: State, ask: type_Ask, start_worker: type_Start
) -> None:
    begun, gate = asyncio.Event(), asyncio.Event()

    async def wait(header: Any, body: bytes) -> dict[str, Any]:
        begun.set()
        await gate.wait()
        return {"status": 200}

    await serve(state, start_worker, wait, max_in_flight=1)
    call = ask("ModelInfer", request_for())
    await auntil(begun.is_set, "the worker has the request")
    assert state.open_requests[("production", "e")] == 1
    busy = await refusal(ask("ModelInfer", request_for()))
    call.cancel()
    await auntil(lambda: not state.open_requests[("production", "e")], "its place is free")
    gate.set()

    assert busy[0] == "RESOURCE_EXHAUSTED"


async def test_infer__refused_and_the_client_is_gone__nothing_fails(
    state: State, ask: type_Ask, start_worker: type_Start
) -> None:
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: failures.append(context))
    gate = asyncio.Event()

    async def wait(header: Any, body: bytes) -> dict[str, Any]:
        await gate.wait()
        return {"status": 400}

    await serve(state, start_worker, wait, max_in_flight=1)
    named = await refusal(ask("ModelInfer", request_for(model_version="9")))
    first = ask("ModelInfer", request_for())
    await auntil(state.in_flight, "the worker has the request")
    full = [ask("ModelInfer", request_for()) for _ in range(2)]
    full[0].cancel()
    codes = named[0], (await refusal(full[1]))[0]
    first.cancel()
    await auntil(lambda: not state.open_requests[("production", "e")], "the cancelled request has ended")
    gate.set()

    assert codes == ("NOT_FOUND", "RESOURCE_EXHAUSTED")
    assert failures == []


async def test_infer__more_calls_than_the_port_takes__refused_at_once(
    state: State, start_worker: type_Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, gate = asyncio.Event(), asyncio.Event()

    async def wait(header: Any, body: bytes) -> dict[str, Any]:
        begun.set()
        await gate.wait()
        return {"status": 400}

    monkeypatch.setattr(grpc_server, "CALLS_MAX", 1)
    await serve(state, start_worker, wait)
    server = await grpc_server.start(state, socket.create_server(("127.0.0.1", 0)))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        infer = channel.unary_unary(f"/{grpc_server.SERVICE}/ModelInfer")
        first = infer(request_for().SerializeToString(), metadata=metadata(), timeout=patience())
        await auntil(begun.is_set, "the worker has the request")
        second = await refusal(infer(request_for().SerializeToString(), metadata=metadata(), timeout=patience()))
        gate.set()
        assert (await refusal(first))[0] == "INVALID_ARGUMENT"
    await server.stop(0, 0)
    state.close()

    assert second[0] == "RESOURCE_EXHAUSTED"


async def test_message__no_message_of_the_protocol__refused(state: State) -> None:
    state.apply(table())
    server = await grpc_server.start(state, socket.create_server(("127.0.0.1", 0)))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        infer = channel.unary_unary(f"/{grpc_server.SERVICE}/ModelInfer")
        code, sentence, _ = await refusal(infer(b"\xff\xff\xff", metadata=metadata()))
        unknown = channel.unary_unary(f"/{grpc_server.SERVICE}/ModelStreamInfer")
        unknown_code = (await refusal(unknown(b"", metadata=metadata())))[0]
    await server.stop(0, 0)
    state.close()

    assert (code, sentence) == ("INVALID_ARGUMENT", "The message is not a ModelInferRequest.")
    assert unknown_code == "UNIMPLEMENTED"


async def test_stop__call_under_way__is_finished_within_the_grace(state: State, start_worker: type_Start) -> None:
    begun = asyncio.Event()

    async def slow(header: Any, body: bytes) -> dict[str, Any]:
        begun.set()
        await asyncio.sleep(UNDER_WAY_S)
        return {"status": 400}

    await serve(state, start_worker, slow)
    server = await grpc_server.start(state, socket.create_server(("127.0.0.1", 0)))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        infer = channel.unary_unary(f"/{grpc_server.SERVICE}/ModelInfer")
        call = infer(request_for().SerializeToString(), metadata=metadata(), timeout=patience())
        await auntil(begun.is_set, "the worker has the request")
        await server.stop(patience(), 0)
        code = (await refusal(call))[0]
    state.close()

    assert code == "INVALID_ARGUMENT"


def test_gateway__started_without_the_port__does_not_import_grpc() -> None:
    program = "import dataplane.gateway.__main__, sys; print({'grpc', 'google.protobuf'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"
