"""The gRPC port: frames are told apart wherever bytes are cut, and a server drains without losing a call."""

import asyncio
import socket

import grpc
import pytest

from dataplane.gateway.grpc import grpc_server
from dataplane.gateway.grpc import inference_pb2 as pb
from dataplane.gateway.grpc.http2 import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE_BYTES,
    RST_STREAM,
    Http2Frames,
    OpenCalls,
    goaway,
)
from dataplane.gateway.state import State
from tests.support.waiting import auntil, patience

SETTINGS = 4
CALLERS = 8
LINGER_S = 2.0


def frame(kind: int, payload: bytes, flags: int = 0, stream: int = 1) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def frames() -> Http2Frames:
    return Http2Frames(lambda kind, flags, stream: None)


BYTES = (
    frame(SETTINGS, b"")
    + frame(HEADERS, b"half of them")
    + frame(CONTINUATION, b"and the rest", END_HEADERS)
    + frame(DATA, b"x" * 40)
)
# After each whole frame, but not between the two that are one block of headers.
PLACES = [9, 9 + 21 + 21, len(BYTES)]


def test_frames__bytes_one_by_one__the_places_between_frames_are_found() -> None:
    side = frames()
    assert [at + 1 for at in range(len(BYTES)) if side.feed(BYTES[at : at + 1]) == 1] == PLACES


@pytest.mark.parametrize("cut", range(1, len(BYTES)))
def test_frames__cut_anywhere__last_place_in_each_part(cut: int) -> None:
    side = frames()
    first, second = side.feed(BYTES[:cut]), side.feed(BYTES[cut:])

    assert first == max((place for place in PLACES if place <= cut), default=-1)
    assert second == len(BYTES) - cut


def test_frames__nothing_said_yet__is_no_place() -> None:
    # The first frame of a server has to be its settings.
    assert not frames().is_between
    assert frames().feed(goaway(0)[:5]) == -1


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_calls__opened_and_ended_by_either_side__those_still_open_are_known(step: int) -> None:
    calls = OpenCalls()
    client = Http2Frames(calls.client_began, PREFACE_BYTES)
    server = Http2Frames(calls.server_began)

    def say(side: Http2Frames, said: bytes) -> None:
        for at in range(0, len(said), step):
            side.feed(said[at : at + step])

    # The preface alone looks like the head of a frame.
    say(client, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, b"", stream=0))
    assert (calls.are_open, calls.newest) == (False, 0)
    say(client, frame(HEADERS, b"one", END_HEADERS) + frame(DATA, b"", END_STREAM))
    say(client, frame(HEADERS, b"two", END_HEADERS, 3) + frame(HEADERS, b"three", END_HEADERS, 5))
    say(
        server,
        frame(HEADERS, b"", END_HEADERS) + frame(DATA, b"answer") + frame(HEADERS, b"", END_HEADERS | END_STREAM),
    )
    say(client, frame(RST_STREAM, b"none", 0, 3) + frame(HEADERS, b"trailers", END_HEADERS | END_STREAM, 1))
    assert (calls.are_open, calls.newest) == (True, 5)
    say(server, frame(RST_STREAM, b"none", 0, 5))
    assert (calls.are_open, calls.newest) == (False, 5)


async def test_stop__calls_all_the_time__the_next_server_answers_and_none_is_lost(state: State) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)  # else `dup` would make all that share it block
    first = await grpc_server.start(state, listener.dup())
    counts = {"answered": 0}
    is_over = asyncio.Event()

    async def ask(*, is_fresh: bool) -> None:
        while not is_over.is_set():
            async with grpc.aio.insecure_channel(
                f"127.0.0.1:{first.port}", options=[("grpc.use_local_subchannel_pool", 1)]
            ) as channel:
                live = channel.unary_unary(
                    f"/{grpc_server.SERVICE}/ServerLive", lambda message: message.SerializeToString()
                )
                kept = live(
                    pb.ServerLiveRequest(), timeout=patience()
                )  # for as long as a call is kept, its connection is
                await kept
                counts["answered"] += 1
                while not is_fresh and not is_over.is_set():
                    await live(pb.ServerLiveRequest(), timeout=patience())
                    counts["answered"] += 1

    asking = [asyncio.create_task(ask(is_fresh=number % 4 == 0)) for number in range(CALLERS)]
    await auntil(lambda: counts["answered"] >= 100, "the first server has answered", seen=lambda: counts)
    second = await grpc_server.start(state, listener.dup())
    await first.stop(patience(), LINGER_S)
    then = counts["answered"]
    await auntil(
        lambda: counts["answered"] >= then + 100 or any(task.done() for task in asking),
        "the second server has answered",
        seen=lambda: counts,
    )
    is_over.set()
    await asyncio.gather(*asking)
    assert counts["answered"] >= then + 100
    await second.stop(patience(), 0)
    listener.close()
