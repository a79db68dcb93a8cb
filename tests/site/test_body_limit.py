"""A body that is too large is refused before it is kept, by a real server."""

import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlorch_site.lib import body_limit
from tests.support.waiting import patience
from tests.support.web_process import web_process

MEGABYTE = b"x" * 1024 * 1024


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    with web_process(monkeypatch) as found:
        yield found


def post(port: int, megabytes: int, *, is_chunked: bool) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=patience())
    connection.putrequest("POST", "/sign-in/")
    connection.putheader("Content-Type", "multipart/form-data; boundary=x")
    connection.putheader(*(("Transfer-Encoding", "chunked") if is_chunked else ("Content-Length", megabytes << 20)))
    connection.endheaders()
    try:
        for _ in range(megabytes):
            connection.send(b"100000\r\n" + MEGABYTE + b"\r\n" if is_chunked else MEGABYTE)
        if is_chunked:
            connection.send(b"0\r\n\r\n")
    except OSError:
        pass  # the server has answered and closed
    answer = connection.getresponse()
    words = answer.read().decode()
    connection.close()
    return answer.status, words


@pytest.mark.parametrize("is_chunked", [True, False])
def test_upload__of_anybody__is_refused_and_nothing_is_kept(port, is_chunked, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    largest = []
    kept = body_limit._discard

    async def watched(receive, seen):
        largest.append(sum(path.stat().st_size for path in Path(tmp_path).rglob("*")))
        await kept(receive, seen)

    monkeypatch.setattr(body_limit, "_discard", watched)
    status, words = post(port, 12, is_chunked=is_chunked)

    assert status == 413
    assert "2097152 bytes at most" in words
    assert largest == [0]


def test_upload__much_more_than_is_thrown_away__ends(port):
    """Whoever goes on sending for ever is cut off; what is seen of the answer then is the network's."""
    try:
        status, _ = post(port, 64, is_chunked=True)
    except (OSError, http.client.HTTPException):
        status = 413
    assert status == 413


def test_length__that_cannot_be_read__is_not_believed():
    for said in (b"abc", b"-1", b"9" * 30, "²".encode()):
        assert body_limit.said_length({"headers": [(b"content-length", said)]}) == 0
