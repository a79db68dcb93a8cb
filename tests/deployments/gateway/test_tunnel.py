"""The gRPC port: frames are told apart wherever bytes are cut, and a server leaves its clients without losing a call."""

import asyncio
import socket

import grpc
import pytest

from deployments.gateway.grpc import grpc_server
from deployments.gateway.grpc import inference_pb2 as pb
from deployments.gateway.grpc.tunnel import GOAWAY, Frames
from deployments.gateway.state import State

SETTINGS, DATA, HEADERS, CONTINUATION = 4, 0, 1, 9
END_HEADERS = 4
CALLERS = 8
TIMEOUT_S = 10


def frame(kind: int, payload: bytes, flags: int = 0) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + b"\0\0\0\1" + payload


BYTES = (
    frame(SETTINGS, b"")
    + frame(HEADERS, b"half of them")
    + frame(CONTINUATION, b"and the rest", END_HEADERS)
    + frame(DATA, b"x" * 40)
)
# After each whole frame, but not between the two that are one block of headers.
PLACES = [9, 9 + 21 + 21, len(BYTES)]


def test_frames__bytes_one_by_one__the_places_between_frames_are_found() -> None:
    frames = Frames()
    assert [at + 1 for at in range(len(BYTES)) if frames.feed(BYTES[at : at + 1]) == 1] == PLACES


@pytest.mark.parametrize("cut", range(1, len(BYTES)))
def test_frames__cut_anywhere__last_place_in_each_part(cut: int) -> None:
    frames = Frames()
    first, second = frames.feed(BYTES[:cut]), frames.feed(BYTES[cut:])

    assert first == max((place for place in PLACES if place <= cut), default=-1)
    assert second == len(BYTES) - cut


def test_frames__nothing_said_yet__is_no_place() -> None:
    # The first frame of a server has to be its settings.
    assert not Frames().is_between
    assert Frames().feed(GOAWAY[:5]) == -1


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
                await live(pb.ServerLiveRequest(), timeout=TIMEOUT_S)
                counts["answered"] += 1
                while not is_fresh and not is_over.is_set():
                    await live(pb.ServerLiveRequest(), timeout=TIMEOUT_S)
                    counts["answered"] += 1

    asking = [asyncio.create_task(ask(is_fresh=number % 4 == 0)) for number in range(CALLERS)]
    while counts["answered"] < 100:
        await asyncio.sleep(0.01)
    second = await grpc_server.start(state, listener.dup())
    await asyncio.wait_for(first.stop(TIMEOUT_S), TIMEOUT_S / 2)
    then = counts["answered"]
    while counts["answered"] < then + 100:
        assert not [task for task in asking if task.done()]
        await asyncio.sleep(0.01)
    is_over.set()
    await asyncio.gather(*asking)
    await second.stop(TIMEOUT_S)
    listener.close()
