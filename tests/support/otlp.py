"""A receiver of OpenTelemetry traces that others wrote, for tests that are no coroutines."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.proto.trace.v1.trace_pb2 import Span
from oteltap import OtelTapHttpProtobufReceiver, OtelTapHttpProtobufReceiverSettings

from tests.support.ports import free_ports

END_S = 10


class SpanReceiver:
    """Listens on `url`; `spans` are all that have arrived."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.spans: list[Span] = []

    def of(self, trace: str) -> dict[str, Span]:
        """The spans of a trace by name."""
        return {span.name: span for span in list(self.spans) if span.trace_id.hex() == trace}


@contextmanager
def receiving() -> Iterator[SpanReceiver]:
    """A receiver that listens on loopback for as long as it is used."""
    (port,) = free_ports(1)
    receiver = SpanReceiver(f"http://127.0.0.1:{port}")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="spans")
    thread.start()
    listening = asyncio.run_coroutine_threadsafe(_listen(port, receiver), loop).result(END_S)
    try:
        yield receiver
    finally:
        asyncio.run_coroutine_threadsafe(listening.stop(), loop).result(END_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(END_S)
        loop.close()


async def _listen(port: int, receiver: SpanReceiver) -> OtelTapHttpProtobufReceiver:
    listening = await OtelTapHttpProtobufReceiver(OtelTapHttpProtobufReceiverSettings(http_port=port)).start()

    async def collect() -> None:
        async for span in listening.stream_traces():
            receiver.spans.append(span)

    listening.collecting = asyncio.create_task(collect())  # type: ignore[attr-defined] - it ends with the stream
    return listening
