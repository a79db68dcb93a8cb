"""Frames: cut as they come, refused when they are malformed; nothing else gets through."""

import asyncio
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.wire.frames import (
    BODY_MAX_BYTES,
    AnswerHeader,
    AnswerRow,
    FrameBuffer,
    FrameError,
    RequestHeader,
    encode_frame,
    read_frame,
)

REQUESTS = [
    (RequestHeader("hello"), b""),
    (RequestHeader("invocations", 1, content_type="text/csv", sizes=[3, 2]), b"abcde"),
    (RequestHeader("cancel", target=1, item=0), b""),
]


def raw_frame(header: Any, body: bytes = b"") -> bytes:
    raw = json.dumps(header).encode()
    return struct.pack(">II", len(raw), len(body)) + raw + body


@given(st.lists(st.integers(1, 40), max_size=60))
def test_feed__bytes_in_any_pieces__the_same_frames(cuts: list[int]) -> None:
    stream, buffer, found = b"".join(encode_frame(*frame) for frame in REQUESTS), FrameBuffer(RequestHeader), []
    for cut in cuts:
        found += buffer.feed(stream[:cut])
        stream = stream[cut:]
    assert [*found, *buffer.feed(stream)] == REQUESTS


@pytest.mark.parametrize(
    "header",
    [
        [],
        {"id": "7"},
        {"id": -1},
        {"id": 1, "status": 700},
        {"id": 1, "status": 101},
        {"id": 1, "status": 204},
        {"id": 1, "status": 304},
        {"id": 1, "answers": [[204, 5]]},
        {"id": 1, "content_type": "text/plain\r\nset-cookie: a=b"},
        {"id": 1, "content_type": "x" * 301},
        {"id": 1, "outcome": "nobody"},
        {"id": 1, "answers": [[200]]},
        {"id": 1, "answers": [[200, 5, "text/plain\n"]]},
    ],
)
def test_feed__answer_of_another_shape__is_refused(header: Any) -> None:
    with pytest.raises(FrameError):
        FrameBuffer(AnswerHeader).feed(raw_frame(header))


def test_feed__rows_of_a_batch__may_leave_out_what_is_usual() -> None:
    ((header, body),) = FrameBuffer(AnswerHeader).feed(raw_frame({"id": 1, "answers": [[200, 2], [0, 0]]}, b"ok"))
    assert (header.answers, body) == ([AnswerRow(200, 2), AnswerRow(0, 0)], b"ok")


def test_lengths__over_the_limit__are_refused_before_anything_is_kept() -> None:
    with pytest.raises(FrameError):
        FrameBuffer(RequestHeader).feed(struct.pack(">II", 10, BODY_MAX_BYTES + 1))
    with pytest.raises(FrameError):
        encode_frame(RequestHeader("infer", model_name="m" * 70_000))


async def test_read_frame__from_a_stream__one_after_the_other() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(b"".join(encode_frame(*frame) for frame in REQUESTS))
    reader.feed_eof()
    assert [await read_frame(reader, RequestHeader) for _ in REQUESTS] == REQUESTS
    with pytest.raises(asyncio.IncompleteReadError):
        await read_frame(reader, RequestHeader)
