"""Calls out of the house: to a vetted address only, without redirects, within limits of time and size."""

import http.client
import ipaddress
import socket
import ssl
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

from mlorch_site.lib.errors import Unavailable

TIMEOUT_S = 5.0
ANSWER_MAX_BYTES = 64 * 1024
PORTS = {"http": 80, "https": 443}


def post(url: str, body: bytes, content_type: str, headers: Mapping[str, str] | None = None) -> int:
    """The status of the answer to `body`, sent with `headers` besides its type.

    Raises Unavailable with the reason: a URL or an address that may not be called, or nobody who answers.
    """
    target = _read(url)
    port = target.port or PORTS[target.scheme]
    address = vetted_address(str(target.hostname), port)
    connection = _connection(target, port, address)
    path = (target.path or "/") + (f"?{target.query}" if target.query else "")
    try:
        connection.request("POST", path, body, {**(headers or {}), "Content-Type": content_type})
        answer = connection.getresponse()
        answer.read(ANSWER_MAX_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"{target.hostname} does not answer ({type(error).__name__}).") from error
    finally:
        connection.close()
    return answer.status


def check_url(url: str) -> None:
    """Raise Unavailable with the reason unless the URL leads to an address that may be called."""
    target = _read(url)
    vetted_address(str(target.hostname), target.port or PORTS[target.scheme])


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
    if mapped.is_global and not mapped.is_multicast:
        return True
    return any(mapped in ipaddress.ip_network(network) for network in settings.OUTGOING_PRIVATE_NETWORKS)


def _connection(target: SplitResult, port: int, address: str) -> http.client.HTTPConnection:
    """A connection that is made to the vetted address while it speaks to the host that was named."""
    host = str(target.hostname)
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    plain = socket.create_connection((address, port), timeout=TIMEOUT_S)
    connection.sock = (
        plain if target.scheme == "http" else ssl.create_default_context().wrap_socket(plain, server_hostname=host)
    )
    return connection
