"""Compressed bodies reach the worker as they were; bombs, torn ones and other encodings are refused."""

import gzip
import json
import zlib

import pytest

from dataplane.gateway.errors import Refusal
from dataplane.gateway.http import content_encoding
from dataplane.gateway.state import State
from tests.dataplane.gateway.test_http import connect, request, serve, server, type_Connect, type_Start  # noqa: F401

BODY = b'{"inputs": {"x": [1.0, 2.0]}}' * 50


def bare(body: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(body) + deflater.flush()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(BODY)),
        ("GZIP", gzip.compress(BODY)),
        ("x-gzip", gzip.compress(BODY)),
        ("gzip", gzip.compress(BODY[:100]) + gzip.compress(BODY[100:])),
        ("deflate", zlib.compress(BODY)),
        ("deflate", bare(BODY)),
        ("identity", BODY),
    ],
    ids=["gzip", "upper case", "old name", "two members", "deflate", "bare deflate", "identity"],
)
async def test_encoded__each_way__the_worker_gets_it_as_it_was(
    state: State,
    start_worker: type_Start,
    connect: type_Connect,  # noqa: F811
    encoding: str,
    body: bytes,
) -> None:
    await serve(state, start_worker, max_body_bytes=2000)
    client = await connect()
    answer = await client.ask(request(body=body, **{"content-encoding": encoding}))

    assert (answer[0], json.loads(answer[2])) == (200, {"got": len(BODY)})


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("br", BODY, 415),
        ("gzip, gzip", gzip.compress(gzip.compress(BODY)), 415),
        ("gzip", BODY, 400),
        ("gzip", gzip.compress(BODY)[:-9], 400),
        ("gzip", gzip.compress(BODY) + b"x", 400),
        ("deflate", zlib.compress(BODY) + b"x", 400),
        ("deflate", b"", 400),
        ("gzip", gzip.compress(b"0" * 10_000_000), 413),
        ("deflate", zlib.compress(b"0" * 10_000_000), 413),
        ("deflate", bare(b"0" * 10_000_000), 413),
        ("gzip", gzip.compress(b"0" * 1500) * 2, 413),
    ],
    ids=[
        "unknown",
        "twice",
        "plain",
        "torn",
        "something follows",
        "something follows deflate",
        "nothing",
        "bomb",
        "deflate bomb",
        "bare bomb",
        "members beyond the limit",
    ],
)
async def test_encoded__not_as_it_says_or_beyond_the_limit__refused_and_the_connection_goes_on(
    state: State,
    start_worker: type_Start,
    connect: type_Connect,  # noqa: F811
    encoding: str,
    body: bytes,
    status: int,
) -> None:
    worker = await serve(state, start_worker, max_body_bytes=20_000 if len(body) > 2000 else 2000)
    client = await connect()
    answer = await client.ask(request(body=body, **{"content-encoding": encoding}))
    after = await client.ask(request())

    assert answer[0] == status, answer
    assert ("accept-encoding" in answer[1]) is (status == 415)
    assert after[0] == 200
    assert len(worker.seen) == 1


def test_bomb__is_not_inflated_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    real = zlib.decompressobj

    class Watching:
        def __init__(self, format_: int) -> None:
            self._real = real(format_)

        def decompress(self, body: bytes, most: int) -> bytes:
            whole = self._real.decompress(body, most)
            made.append(len(whole))
            return whole

    monkeypatch.setattr(content_encoding.zlib, "decompressobj", Watching)
    with pytest.raises(Refusal) as caught:
        content_encoding.decoded(b"gzip", gzip.compress(b"0" * 50_000_000), 1000)

    assert caught.value.status == 413
    assert made == [1001]
