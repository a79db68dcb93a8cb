"""What one connection may take of the web process, asked over real sockets."""

import base64
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from websockets.sync.client import connect

from mlorch_site.lib import connection_limits
from mlorch_site.lib.connection_limits import HEAD_MAX_BYTES, HEADERS_MAX, URL_MAX_BYTES, is_limited
from tests.support.waiting import patience, until
from tests.support.web_process import web_process

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
POST = b"POST /sign-in/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
SOON_S = 0.2  # a limit of time that a test can wait for


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    with web_process(monkeypatch) as found:
        yield found


@pytest.fixture
def few(monkeypatch, settings):
    """Three connections of an address, and those of this machine count."""
    settings.CONNECTIONS_PER_ADDRESS = 3
    monkeypatch.setattr(connection_limits, "is_limited", lambda address: True)


def opened(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=patience())


def all_of(connection: socket.socket) -> bytes:
    """Everything until the other side closes."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def said(answer: bytes) -> tuple[int, str]:
    """The status and the sentence of the last answer of a connection."""
    last = answer[answer.rindex(b"HTTP/1.1 ") :]
    head, _, body = last.partition(b"\r\n\r\n")
    assert b"connection: close" in head
    return int(head.split()[1]), json.loads(body)["error"]["message"]


def ask(port: int, *parts: bytes) -> bytes:
    with opened(port) as connection:
        for part in parts:
            try:
                connection.sendall(part)
            except OSError:
                break  # it has answered and closed
        return all_of(connection)


def test_head__within_the_limits__is_answered(port):
    headers = b"".join(b"X-%d: x\r\n" % number for number in range(HEADERS_MAX - 2))
    address = b"/healthz?q=" + b"x" * (URL_MAX_BYTES - 11)
    answer = ask(port, b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\n%bConnection: close\r\n\r\n" % (address, headers))

    assert answer.startswith(b"HTTP/1.1 200 ")


def test_headers__too_many__are_refused(port):
    headers = b"".join(b"X-%d: x\r\n" % number for number in range(HEADERS_MAX))
    assert said(ask(port, HEALTH + headers + b"\r\n")) == (431, f"A request has {HEADERS_MAX} headers at most.")


@pytest.mark.parametrize("ending", [b"\r\n\r\n", b""], ids=["whole", "without an end"])
@pytest.mark.parametrize("piece", [1000, 10_000_000])
def test_header__too_large__is_refused(port, piece, ending):
    text = HEALTH + b"X-Long: " + b"x" * 1_000_000 + ending
    pieces = [text[begin : begin + piece] for begin in range(0, len(text), piece)]

    status, sentence = said(ask(port, *pieces))
    assert (status, sentence) == (431, f"A request's address and headers have {HEAD_MAX_BYTES} bytes at most.")


@pytest.mark.parametrize("mark", [b"/", b"/?q="])
def test_address__too_long__is_refused(port, mark):
    status, sentence = said(ask(port, b"GET " + mark + b"x" * URL_MAX_BYTES + b" HTTP/1.1\r\nHost: x\r\n\r\n"))
    assert (status, sentence) == (414, f"An address has {URL_MAX_BYTES} bytes at most, with its query.")


@pytest.mark.parametrize("begun", [b"G", HEALTH, HEALTH + b"X-Slow: "])
def test_head__that_does_not_end__is_refused_in_time(port, monkeypatch, begun):
    monkeypatch.setattr(connection_limits, "HEAD_TIMEOUT_S", SOON_S)
    assert said(ask(port, begun)) == (408, "The request did not arrive whole within 0.2 s.")


def test_head__a_byte_now_and_then__gets_no_more_time(port, monkeypatch):
    monkeypatch.setattr(connection_limits, "HEAD_TIMEOUT_S", SOON_S)
    with opened(port) as connection:
        connection.sendall(HEALTH)
        connection.settimeout(SOON_S / 10)
        answer = b""
        while not answer:
            try:
                connection.sendall(b"X: y\r\n")
                answer = connection.recv(65536)
            except TimeoutError:
                continue
    assert said(answer)[0] == 408


@pytest.mark.parametrize("begun", [b"", b"\r\n", b"\r\n" * 20])
def test_connection__on_which_nothing_is_asked__is_closed(port, monkeypatch, begun):
    monkeypatch.setattr(connection_limits, "HEAD_TIMEOUT_S", SOON_S)
    assert ask(port, begun) == b""


def test_connection__idle_after_an_answer__is_closed(port, monkeypatch):
    monkeypatch.setattr(connection_limits, "HEAD_TIMEOUT_S", SOON_S)
    with opened(port) as connection:
        connection.sendall(HEALTH + b"\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"\r\n")  # begins nothing, and ends the time that an idle connection has
        assert all_of(connection) == b""


def test_answer__that_is_not_taken__is_given_up(port, few, monkeypatch):
    monkeypatch.setattr(connection_limits, "WRITE_TIMEOUT_S", SOON_S)
    asked, large = 20, b"GET /static/plotly/plotly-basic.min.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", port))
        connection.sendall(large * asked)
        until(lambda: connection_limits._open, "the connection is counted")
        until(lambda: not connection_limits._open, "the connection is closed")
        assert all_of(connection).count(b"HTTP/1.1 200 ") < asked


def test_body__that_does_not_come__is_refused_in_time(port, monkeypatch):
    monkeypatch.setattr(connection_limits, "BODY_TIMEOUT_S", SOON_S)
    assert said(ask(port, POST + b"Content-Length: 10\r\n\r\nabc")) == (
        408,
        "The request did not arrive whole within 0.2 s.",
    )


@pytest.mark.parametrize("trailer", [b"X-Long: " + b"x" * 4_000_000, b"X: y\r\n" * 600_000])
def test_what_follows_a_body__without_end__is_refused(port, trailer):
    answer = ask(port, POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", trailer)

    assert not answer or said(answer)[0] == 431


def test_second_request__too_large__the_first_is_answered_before_the_end(port):
    answer = ask(port, HEALTH + b"\r\n" + HEALTH + b"X-Long: " + b"x" * HEAD_MAX_BYTES + b"\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1 ") <= 2


def upgrade(port: int) -> socket.socket:
    """A connection that has asked to become a websocket, after the answer."""
    connection = opened(port)
    key = base64.b64encode(b"0123456789abcdef")
    connection.sendall(
        b"GET /ws/nothing/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n" % key
    )
    return connection


async def echo(scope, receive, send):
    """An application that gives every message of a websocket back."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


def test_websocket__has_no_limit_of_time_and_counts_until_it_is_closed(monkeypatch, few):
    monkeypatch.setattr(connection_limits, "HEAD_TIMEOUT_S", SOON_S)
    began = time.monotonic()
    with web_process(monkeypatch, echo) as port, connect(f"ws://127.0.0.1:{port}/", proxy=None) as opened_socket:
        while time.monotonic() < began + 3 * SOON_S:
            opened_socket.send("still there")
            assert opened_socket.recv(patience()) == "still there"
        assert sum(connection_limits._open.values()) == 1
        opened_socket.close()
        until(lambda: not connection_limits._open, "the closed connection is counted no more")


def test_websocket__with_too_large_a_head__is_none(port):
    answer = ask(
        port,
        b"GET /ws/live/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nX-Long: "
        + b"x" * HEAD_MAX_BYTES
        + b"\r\n\r\n",
    )
    assert said(answer)[0] == 431


def test_connections__too_many_of_an_address__are_refused_until_one_is_closed(port, few):
    with ExitStack() as stack:
        connections = [stack.enter_context(opened(port)) for _ in range(3)]
        for connection in connections:
            connection.sendall(HEALTH + b"\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        with opened(port) as another:
            assert said(all_of(another)) == (
                429,
                "An address has 3 open connections at most; close some of them.",
            )
        connections[0].close()
        until(lambda: sum(connection_limits._open.values()) == 2, "the closed connection is counted no more")

        assert ask(port, HEALTH + b"Connection: close\r\n\r\n").startswith(b"HTTP/1.1 200 ")


def test_connections__that_ended_as_websockets__are_counted_no_more(port, few):
    for _ in range(5):
        with upgrade(port) as connection:
            assert not all_of(connection).startswith(b"HTTP/1.1 429")
        until(lambda: not connection_limits._open, "the closed connection is counted no more")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", False),
        ("::1", False),
        ("", False),
        ("192.0.2.7", True),
        ("2001:db8::7", True),
        ("10.0.0.7", False),
    ],
)
def test_connections__of_this_machine_and_of_trusted_proxies__are_not_counted(settings, address, expected):
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
    assert is_limited(address) is expected


def test_forms__fields_and_files__are_limited(client, db):
    fields = {f"field{number}": "x" for number in range(1001)}
    assert client.post("/sign-in/", fields).status_code == 400
    assert client.get("/sign-in/", fields).status_code == 400
    file = b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\nx\r\n--x--\r\n'
    assert client.post("/sign-in/", file, content_type="multipart/form-data; boundary=x").status_code == 400
