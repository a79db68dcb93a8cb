"""Traces: which requests are kept, what their spans say, and what becomes of those that nobody takes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from dataplane.gateway.config import TraceConfig, traces_from
from dataplane.gateway.site import otlp_spans, traces
from dataplane.gateway.site.traced_request import TracedRequest, parent_of
from dataplane.gateway.site.traces import Traces
from dataplane.gateway.state import State
from tests.dataplane.gateway.conftest import FrameWorker, call, table

PATH = "/production/endpoints/e/invocations"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, NOT_SAMPLED = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"
KEPT_ALL = TraceConfig("http://127.0.0.1:1/v1/traces", share=1.0)
type_Start = Callable[..., Awaitable[FrameWorker]]


def request(**changes: Any) -> TracedRequest:
    fields: dict[str, Any] = {
        "reason": "drawn",
        "ended_at": 1790000000.5,
        "seconds": 0.010,
        "sent_s": 0.002,
        "took_us": 5000,
        "batch_size": 3,
        "replica": "r-1",
        "tries": 1,
        "id": b"a" * 32,
        "traceparent": b"",
        "environment": "production",
        "endpoint": "e",
        "arm": "stable",
        "version": "1",
        "release": "rel-1",
        "op": "invocations",
        "status": 200,
        "outcome": "ok",
    }
    return TracedRequest(**fields | changes)


def spans_of(body: bytes) -> dict[str, Span]:
    """The spans of one exported request by name, each with its service in front of its name."""
    message = ExportTraceServiceRequest.FromString(body)
    found = {}
    for told in message.resource_spans:
        service = next(one.value.string_value for one in told.resource.attributes if one.key == "service.name")
        for span in told.scope_spans[0].spans:
            found[f"{service}:{span.name}"] = span
    return found


def facts(span: Span) -> dict[str, Any]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


class Receiver:
    """Takes exports and answers what it is told to; the last answer is repeated."""

    def __init__(self, *answers: web.Response) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self._answers = list(answers) or [web.Response(body=b"")]

    async def __call__(self, asked: web.Request) -> web.Response:
        self.bodies.append(await asked.read())
        self.headers.append(dict(asked.headers))
        told = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return web.Response(status=told.status, body=told.body)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def sent(session: aiohttp.ClientSession, receiver: Receiver, *requests: TracedRequest, times: int = 1) -> Traces:
    """Traces that were offered these requests and sent so many times."""
    application = web.Application()
    application.router.add_post("/v1/traces", receiver)
    async with TestServer(application) as server:
        kept = Traces(TraceConfig(str(server.make_url("/v1/traces")), {"x-key": "k"}), "g1")
        for one in requests:
            kept.offer(one)
        for _ in range(times):
            await kept.send(session)
    return kept


@pytest.mark.parametrize(
    ("seconds", "outcome", "traceparent", "drawn", "reason"),
    [
        (0.001, "server_errors", NOT_SAMPLED, 0.9, "failed"),
        (0.001, "timeouts", "", 0.9, "failed"),
        (0.5, "ok", NOT_SAMPLED, 0.9, "slow"),
        (0.499, "ok", "", 0.9, ""),
        (0.001, "ok", SAMPLED, 0.9, "asked"),
        (0.001, "ok", NOT_SAMPLED, 0.0, ""),
        (0.001, "ok", "nonsense", 0.009, "drawn"),
        (0.001, "client_errors", "", 0.011, ""),
    ],
)
def test_wants__at_its_end__keeps_what_is_worth_it(
    seconds: float, outcome: str, traceparent: str, drawn: float, reason: str
) -> None:
    kept = Traces(TraceConfig("http://x"), "g1", draw=lambda: drawn)
    assert kept.wants(seconds, outcome, traceparent.encode()) == reason


@pytest.mark.parametrize(
    "header",
    [
        *("", "00", "junk", SAMPLED.upper(), f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01"),
        *(f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE}-{SPAN}-1", f"00-{TRACE}-{SPAN}-01x", f" {SAMPLED}"),
    ],
)
def test_parent__malformed__is_none(header: str) -> None:
    assert parent_of(header.encode()) is None


def test_parent__of_a_later_version__is_read_as_far_as_this_one_goes() -> None:
    parent = parent_of(f"01-{TRACE}-{SPAN}-03-more".encode())
    assert parent is not None
    assert (parent.trace, parent.span, parent.is_sampled) == (TRACE, SPAN, True)


@given(st.binary(max_size=80))
def test_parent__any_bytes__never_raises(header: bytes) -> None:
    assert parent_of(header) is None or len(header) >= len(SAMPLED)


def test_spans__of_a_request__lie_in_each_other_and_in_the_clients_trace() -> None:
    found = spans_of(otlp_spans.request_of([request(traceparent=SAMPLED.encode())], "g1"))
    root = found["mlorch-gateway:invocations production/e"]
    queue, asked = found["mlorch-gateway:queue"], found["mlorch-gateway:worker"]
    busy = found["mlorch-worker:predict"]

    assert {span.trace_id.hex() for span in found.values()} == {TRACE}
    assert root.parent_span_id.hex() == SPAN
    assert (queue.parent_span_id, asked.parent_span_id) == (root.span_id, root.span_id)
    assert busy.parent_span_id == asked.span_id
    assert root.end_time_unix_nano - root.start_time_unix_nano == 10_000_000
    assert queue.end_time_unix_nano == asked.start_time_unix_nano == root.start_time_unix_nano + 2_000_000
    assert (busy.end_time_unix_nano, busy.start_time_unix_nano) == (
        root.end_time_unix_nano,
        root.end_time_unix_nano - 5_000_000,
    )
    assert facts(root)["mlorch.release"] == "rel-1"
    assert facts(asked) == {"mlorch.replica": "r-1", "mlorch.batch_size": 3}


def test_spans__a_worker_that_claims_more_time_than_there_was__lie_in_each_other_all_the_same() -> None:
    found = spans_of(otlp_spans.request_of([request(took_us=10**12)], "g1"))
    assert found["mlorch-worker:predict"].start_time_unix_nano == found["mlorch-gateway:worker"].start_time_unix_nano


def test_spans__never_sent_to_a_worker__is_the_request_alone_and_says_that_it_failed() -> None:
    lost = request(sent_s=None, took_us=None, batch_size=0, replica="", status=503, outcome="server_errors")
    found = spans_of(otlp_spans.request_of([lost], "g1"))

    (root,) = found.values()
    assert (root.status.code, root.status.message) == (Status.STATUS_CODE_ERROR, "server_errors")


@pytest.mark.parametrize(("identity", "is_trace"), [(b"a" * 32, True), (b"0" * 32, False), (b"order-4711", False)])
def test_trace__without_a_client_of_its_own__is_the_request_id_where_that_can_be(
    identity: bytes, is_trace: bool
) -> None:
    found = spans_of(otlp_spans.request_of([request(id=identity)], "g1"))
    (trace,) = {span.trace_id for span in found.values()}

    assert (trace.hex() == identity.decode()) is is_trace
    assert len(trace) == 16
    assert any(trace)


async def test_request__answered__is_traced_with_who_answered_and_for_how_long(
    state: State, start_worker: type_Start
) -> None:
    state.traces = Traces(KEPT_ALL, "g1")
    worker = await start_worker("1", max_batch=8)
    state.apply(table(sockets={"1": str(worker.path), "2": "/nowhere/2.sock"}))
    await call(state, "POST", PATH, traceparent=SAMPLED, x_request_id="order-4711")
    state.close()

    (kept,) = state.traces._waiting
    assert (kept.reason, kept.id, kept.arm, kept.version, kept.status) == ("asked", b"order-4711", "stable", "1", 200)
    assert (kept.replica, kept.batch_size, kept.tries, kept.outcome) == ("r-1", 1, 1, "ok")
    assert kept.sent_s is not None
    assert 0 <= kept.sent_s <= kept.seconds


async def test_request__no_replica__is_traced_as_failed_and_as_never_sent(state: State) -> None:
    state.traces = Traces(replace(KEPT_ALL, share=0.0), "g1")
    state.apply(table())
    answer = await call(state, "POST", PATH)
    state.close()

    (kept,) = state.traces._waiting
    assert (kept.reason, kept.status, answer.status) == ("failed", 503, 503)
    assert (kept.sent_s, kept.replica) == (None, "")


async def test_request__nobody_wants_traces__none_is_made(state: State, start_worker: type_Start) -> None:
    worker = await start_worker("1")
    state.apply(table(sockets={"1": str(worker.path), "2": "/nowhere/2.sock"}))
    assert (await call(state, "POST", PATH, traceparent=SAMPLED)).status == 200
    assert state.traces is None
    assert b"traces_" not in state.metrics.render()
    state.close()


async def test_send__taken__once_with_our_headers(session: aiohttp.ClientSession) -> None:
    receiver = Receiver()
    kept = await sent(session, receiver, request(), request(reason="slow"), times=2)

    assert (len(receiver.bodies), kept.sent, dict(kept.lost)) == (1, 2, {})
    assert receiver.headers[0]["x-key"] == "k"
    assert receiver.headers[0]["Content-Type"] == "application/x-protobuf"
    assert kept.kept == {"drawn": 1, "slow": 1}


async def test_send__receiver_busy__sent_again_and_nothing_is_lost(session: aiohttp.ClientSession) -> None:
    receiver = Receiver(web.Response(status=503), web.Response(body=b""))
    kept = await sent(session, receiver, request(), request(), times=2)

    assert receiver.bodies[0] != b""
    assert (len(receiver.bodies), kept.sent, dict(kept.lost)) == (2, 2, {})


async def test_send__refused_for_good__is_counted_and_not_tried_again(session: aiohttp.ClientSession) -> None:
    receiver = Receiver(web.Response(status=400))
    kept = await sent(session, receiver, request(), times=3)

    assert (len(receiver.bodies), kept.sent, dict(kept.lost)) == (1, 0, {"refused": 1})


async def test_send__receiver_takes_a_part__the_rest_is_counted(session: aiohttp.ClientSession) -> None:
    told = ExportTraceServiceResponse()
    told.partial_success.rejected_spans = 1
    kept = await sent(session, Receiver(web.Response(body=told.SerializeToString())), request(), request())

    assert (kept.sent, dict(kept.lost)) == (1, {"refused": 1})


async def test_send__answer_is_no_protobuf__counts_as_taken(session: aiohttp.ClientSession) -> None:
    kept = await sent(session, Receiver(web.Response(body=b"\xff\xff\xff")), request())
    assert (kept.sent, dict(kept.lost)) == (1, {})


async def test_offer__nobody_takes_them__bounded_and_each_lost_one_is_counted(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "WAITING_MAX", 5)
    kept = Traces(KEPT_ALL, "g1")
    for _ in range(7):
        kept.offer(request())
    await kept.send(session)
    await kept.send(session)
    assert (len(kept._waiting), dict(kept.lost)) == (5, {"no_room": 2})

    await kept.send_last(session)
    assert kept.lost == {"no_room": 2, "not_sent": 5}


async def test_send_last__receiver_hangs__ends_and_counts(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "LAST_SEND_S", 0.05)

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    kept = Traces(TraceConfig(f"http://127.0.0.1:{port}/v1/traces"), "g1")
    kept.offer(request())
    await kept.send_last(session)
    server.close()

    assert kept.lost == {"not_sent": 1}


@pytest.mark.parametrize(
    ("env", "url"),
    [
        ({}, None),
        ({"MLORCH_GATEWAY_OTLP_URL": "http://c:4318"}, "http://c:4318/v1/traces"),
        ({"MLORCH_GATEWAY_OTLP_URL": "https://c/otlp/v1/traces"}, "https://c/otlp/v1/traces"),
    ],
)
def test_configuration__url__of_the_receiver_or_of_its_traces(env: dict[str, str], url: str | None) -> None:
    config = traces_from(env)
    assert (config.url if config else None) == url


@pytest.mark.parametrize(
    "env",
    [
        {"MLORCH_GATEWAY_OTLP_URL": "collector:4318"},
        {"MLORCH_GATEWAY_TRACE_SHARE_PCT": "101"},
        {"MLORCH_GATEWAY_TRACE_SHARE_PCT": "nan"},
        {"MLORCH_GATEWAY_TRACE_SLOW_MS": "0"},
        {"MLORCH_GATEWAY_OTLP_HEADERS": "authorization"},
    ],
)
def test_configuration__not_to_be_meant__is_refused(env: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="MLORCH_GATEWAY"):
        traces_from({"MLORCH_GATEWAY_OTLP_URL": "http://c", **env})


def test_configuration__headers__by_name() -> None:
    config = traces_from({"MLORCH_GATEWAY_OTLP_URL": "http://c", "MLORCH_GATEWAY_OTLP_HEADERS": "a=b=c, d=e"})
    assert config is not None
    assert config.headers == {"a": "b=c", "d": "e"}
