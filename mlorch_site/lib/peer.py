"""Who is at the other end: the peer of the connection, unless that is a proxy trusted to say for whom it asks."""

import functools
import ipaddress
from collections.abc import MutableMapping
from typing import Any

FORWARDED_FOR = "HTTP_X_FORWARDED_FOR"
FORWARDED = (
    FORWARDED_FOR,
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PORT",
    "HTTP_FORWARDED",
)
HOPS_MAX = 20
ADDRESS_MAX_CHARS = 64
UNIX = "unix"  # in the setting: whoever connects over a unix socket
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@functools.lru_cache(maxsize=8)
def _networks(texts: tuple[str, ...]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts if text != UNIX)


def _read(text: str) -> Address | None:
    """The address in a hop, with or without a port, None when it is none."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_trusted(peer: str, trusted: tuple[str, ...]) -> bool:
    """Whether a peer lies in one of the trusted networks; one without an address came over a unix socket."""
    if not peer:
        return UNIX in trusted
    address = _read(peer)
    return address is not None and any(address in network for network in _networks(trusted))


def believe_only(trusted: tuple[str, ...], meta: MutableMapping[str, Any]) -> None:
    """Put the client's address in its place when the peer is a trusted proxy, and drop what else a peer says of others.

    The client is the last hop that no trusted proxy is: what stands before it, it may have written itself.
    """
    peer = str(meta.get("REMOTE_ADDR") or "")
    if not is_trusted(peer, trusted):
        for name in FORWARDED:
            meta.pop(name, None)
        return
    for hop in reversed(str(meta.get(FORWARDED_FOR, "")).split(",")[-HOPS_MAX:]):
        address = _read(hop)
        if address is None:
            break
        meta["REMOTE_ADDR"] = str(address)
        if not is_trusted(str(address), trusted):
            break


def peer_of_socket(trusted: tuple[str, ...], scope: MutableMapping[str, Any]) -> str:
    """The client's address of a websocket, believed as that of a request."""
    client = scope.get("client") or ("",)
    forwarded = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
    meta = {"REMOTE_ADDR": str(client[0] or ""), FORWARDED_FOR: forwarded.decode("latin-1")}
    believe_only(trusted, meta)
    return str(meta["REMOTE_ADDR"])[:ADDRESS_MAX_CHARS]


def counted_as(address: str) -> str:
    """What an address is counted as: itself for IPv4, its /64 for IPv6, of which one machine has all."""
    found = _read(address)
    if found is None or found.version == 4:
        return str(found or address)
    return str(ipaddress.ip_network(f"{found}/64", strict=False))


def network_of(address: str) -> str:
    """The network an address counts for: /24 of IPv4, /64 of IPv6, the text itself when it is no address."""
    found = _read(address)
    if found is None:
        return address
    return str(ipaddress.ip_network(f"{found}/{24 if found.version == 4 else 64}", strict=False))
