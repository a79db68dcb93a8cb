"""Calls out of the house: to a vetted address only, without redirects, within limits of time and size."""

import http.client
import ipaddress
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Timer
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

from mlorch_site.lib.errors import Unavailable

TIMEOUT_S = 5.0
WHOLE_CALL_S = 15.0  # however often something comes in between
ANSWER_MAX_BYTES = 64 * 1024
PORTS = {"http": 80, "https": 443}


def post(url: str, body: bytes, content_type: str, headers: Mapping[str, str] | None = None) -> int:
    """The status of the answer to `body`, sent with `headers` besides its type.

    Raises Unavailable with the reason: a URL or an address that may not be called, or nobody who answers.
    """
    return _called("POST", url, body, {**(headers or {}), "Content-Type": content_type})[0]


def get(url: str, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    """The status and the body of the answer. Raises Unavailable as `post` does, and for a body that is too long."""
    status, body = _called("GET", url, None, headers or {})
    if len(body) > ANSWER_MAX_BYTES:
        raise Unavailable(f"{urlsplit(url).hostname} answers with more than {ANSWER_MAX_BYTES // 1024} KiB.")
    return status, body


def _called(method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
    """The status and up to one byte more than `ANSWER_MAX_BYTES` of the answer."""
    target = _read(url)
    port = target.port or PORTS[target.scheme]
    address = vetted_address(str(target.hostname), port)
    path = (target.path or "/") + (f"?{target.query}" if target.query else "")
    try:
        connection = _connection(target, port, address)
        with _ended_after(WHOLE_CALL_S, connection):
            if isinstance(connection.sock, ssl.SSLSocket):
                connection.sock.do_handshake()
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            said = answer.read(ANSWER_MAX_BYTES + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unavailable(f"{target.hostname} does not answer ({type(error).__name__}).") from error
    return answer.status, said


@contextmanager
def _ended_after(seconds: float, connection: http.client.HTTPConnection) -> Iterator[None]:
    """Close the connection at the end, and after `seconds` whatever goes on on it."""
    sock = connection.sock

    def end() -> None:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)

    timer = Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        connection.close()


def check_url(url: str) -> None:
    """Raise Unavailable with the reason unless the URL leads to an address that may be called (asks for its address).

    Without TLS only addresses of the private networks that are allowed are called.
    """
    target = _read(url)
    address = vetted_address(str(target.hostname), target.port or PORTS[target.scheme])
    if target.scheme == "http" and _is_public(ipaddress.ip_address(address)):
        raise Unavailable("Only https is spoken to public addresses.")


def _read(url: str) -> SplitResult:
    try:
        target = urlsplit(url)
        port_is_readable = target.port is None or target.port > 0
    except ValueError as error:
        raise Unavailable("The URL cannot be read.") from error
    if target.scheme not in PORTS or not target.hostname or target.username or not port_is_readable:
        raise Unavailable("Only http and https URLs with a host, and without a name and password, are called.")
    return target


def vetted_address(host: str, port: int) -> str:
    """The address to connect to. Raises Unavailable when the host has none, or one that may not be called."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Unavailable(f"{host} has no address.") from error
    addresses = [str(entry[4][0]).partition("%")[0] for entry in found]
    refused = [text for text in addresses if not _may_be_called(text)]
    if refused or not addresses:
        raise Unavailable(f"{host} has the address {', '.join(refused)}, which is not public; a setting may allow it.")
    return addresses[0]


def _may_be_called(text: str) -> bool:
    address = ipaddress.ip_address(text)
    mapped = getattr(address, "ipv4_mapped", None) or address
    if _is_public(mapped):
        return True
    return any(mapped in ipaddress.ip_network(network) for network in settings.OUTGOING_PRIVATE_NETWORKS)


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address.is_global and not address.is_multicast


def _connection(target: SplitResult, port: int, address: str) -> http.client.HTTPConnection:
    """A connection that is made to the vetted address while it speaks to the host that was named."""
    host = str(target.hostname)
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    plain = socket.create_connection((address, port), timeout=TIMEOUT_S)
    connection.sock = plain if target.scheme == "http" else _in_tls(plain, host)
    return connection


def _in_tls(plain: socket.socket, host: str) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    return context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
