"""Ended requests as spans of the OpenTelemetry protocol.

A request is a server span of the gateway with up to two children: its time in the queue, and its time with the worker;
in that one lies a span of the worker's own, as long as the worker said that it was busy. The moment at which the worker
began is not known: its span ends with the answer, so only its length is a measurement.
"""

import random
import re
from collections.abc import Iterable, Sequence

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, Status

from dataplane.gateway.site.traced_request import FAILED, TracedRequest, parent_of

NANOSECONDS = 1_000_000_000
OWN_ID = re.compile(rb"^(?!0{32})[0-9a-f]{32}$")
GATEWAY, WORKER = "mlorch-gateway", "mlorch-worker"
SCOPE = "mlorch.inference"
type_Attribute = str | int


def request_of(requests: Sequence[TracedRequest], gateway: str) -> bytes:
    """The body of an export of these requests; spans of the gateway and of workers have a resource of their own."""
    message = ExportTraceServiceRequest()
    ours = _resource(message.resource_spans.add(), GATEWAY, gateway)
    workers: dict[str, ResourceSpans] = {}
    for request in requests:
        spans = _Spans(request)
        ours.scope_spans[0].spans.extend(spans.of_gateway())
        if (busy := spans.of_worker()) is not None:
            if request.replica not in workers:
                workers[request.replica] = _resource(message.resource_spans.add(), WORKER, request.replica)
            workers[request.replica].scope_spans[0].spans.append(busy)
    return bytes(message.SerializeToString())


def refused_of(answer: bytes) -> int:
    """How many spans the receiver says that it refused."""
    response = ExportTraceServiceResponse()
    try:
        response.ParseFromString(answer)
    except DecodeError:
        return 0
    return int(response.partial_success.rejected_spans)


def _resource(told: ResourceSpans, service: str, instance: str) -> ResourceSpans:
    told.resource.attributes.extend(_attributes({"service.name": service, "service.instance.id": instance}))
    told.scope_spans.add().scope.name = SCOPE
    return told


def _attributes(values: dict[str, type_Attribute]) -> Iterable[KeyValue]:
    for name, value in values.items():
        told = AnyValue(int_value=value) if isinstance(value, int) else AnyValue(string_value=value)
        yield KeyValue(key=name, value=told)


def _span_id() -> bytes:
    return random.randrange(1, 1 << 64).to_bytes(8, "big")  # noqa: S311 - an identifier, no secret; zero is none


class _Spans:
    """The spans of one request."""

    def __init__(self, request: TracedRequest) -> None:
        self._request = request
        parent = parent_of(request.traceparent)
        self._trace, self._parent = _trace_of(request, parent.trace if parent else ""), b""
        if parent is not None:
            self._parent = bytes.fromhex(parent.span)
        self._root, self._with_worker = _span_id(), _span_id()
        self._end = round(request.ended_at * NANOSECONDS)
        self._begin = self._end - round(request.seconds * NANOSECONDS)

    def of_gateway(self) -> list[Span]:
        """The request itself, its wait, and its time with the worker."""
        request = self._request
        root = self._span(f"{request.op} {request.environment}/{request.endpoint}", self._root, self._parent)
        root.kind = Span.SPAN_KIND_SERVER
        root.attributes.extend(_attributes(_facts(request)))
        if request.outcome in FAILED:
            root.status.code = Status.STATUS_CODE_ERROR
            root.status.message = request.outcome
        if request.sent_s is None:
            return [root]
        sent = self._begin + round(request.sent_s * NANOSECONDS)
        wait = self._span("queue", _span_id(), self._root, end=sent)
        asked = self._span("worker", self._with_worker, self._root, begin=sent)
        asked.kind = Span.SPAN_KIND_CLIENT
        told: dict[str, type_Attribute] = {"mlorch.replica": request.replica, "mlorch.batch_size": request.batch_size}
        asked.attributes.extend(_attributes(told))
        return [root, wait, asked]

    def of_worker(self) -> Span | None:
        """The time that the worker was busy with the batch, None when it did not say."""
        request = self._request
        if request.sent_s is None or request.took_us is None:
            return None
        room = self._end - self._begin - round(request.sent_s * NANOSECONDS)
        busy = self._span("predict", _span_id(), self._with_worker)
        busy.start_time_unix_nano = self._end - max(0, min(room, request.took_us * 1000))
        busy.kind = Span.SPAN_KIND_SERVER
        busy.attributes.extend(
            _attributes({"mlorch.version": request.version, "mlorch.batch_size": request.batch_size})
        )
        return busy

    def _span(self, name: str, own: bytes, parent: bytes, *, begin: int | None = None, end: int | None = None) -> Span:
        return Span(
            trace_id=self._trace,
            span_id=own,
            parent_span_id=parent,
            name=name,
            kind=Span.SPAN_KIND_INTERNAL,
            start_time_unix_nano=self._begin if begin is None else begin,
            end_time_unix_nano=self._end if end is None else end,
        )


def _trace_of(request: TracedRequest, parent: str) -> bytes:
    """The trace of a request: its client's; else its request id where that can be one, so that who has the id finds the
    trace.
    """
    if parent:
        return bytes.fromhex(parent)
    if OWN_ID.match(request.id):
        return bytes.fromhex(request.id.decode())
    return random.randrange(1, 1 << 128).to_bytes(16, "big")  # noqa: S311 - as above


def _facts(request: TracedRequest) -> dict[str, type_Attribute]:
    return {
        "http.request.method": "POST",
        "http.response.status_code": request.status,
        "mlorch.environment": request.environment,
        "mlorch.endpoint": request.endpoint,
        "mlorch.arm": request.arm,
        "mlorch.version": request.version,
        "mlorch.release": request.release,
        "mlorch.request_id": request.id.decode("ascii", "replace"),
        "mlorch.outcome": request.outcome,
        "mlorch.tries": request.tries,
        "mlorch.kept_because": request.reason,
    }
