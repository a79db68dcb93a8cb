"""One gateway process takes over from another: the listening sockets, and being ready (docs/adr/0007-handover.md)."""

import asyncio
import contextlib
import socket

import structlog

from dataplane.gateway.config import READY_WITHIN_S, GatewayConfig
from dataplane.gateway.state import State

log = structlog.get_logger(__name__)

LOOK_S = 0.01
ACCEPT_TURNS = 5  # uvloop takes one or two from accepting a connection to its protocol's `connection_made`


def listeners_of(config: GatewayConfig) -> list[socket.socket]:
    """The listening sockets for HTTP and, when it has a port, for gRPC: given ones, else ones of its own.

    Given ones stay open with their giver, so connections that wait in them outlive this process. With own ones, several
    processes listen on one port only when they are configured to: else two products would share it unnoticed.
    """
    if config.listen_fds:
        return [socket.socket(fileno=descriptor) for descriptor in config.listen_fds]
    return [_listen(config, port) for port in [config.port, *([config.grpc_port] if config.grpc_port else [])]]


def _listen(config: GatewayConfig, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in config.host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if config.shares_port:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((config.host, port))
    return listener


async def all_accepted() -> None:
    """Return once every connection that was accepted before its server was closed has its protocol.

    The gateway runs on uvloop: asyncio's own loop drops a connection whose server is closed in the turn that accepts
    it.
    """
    for _ in range(ACCEPT_TURNS):
        await asyncio.sleep(0)


async def prepare(state: State) -> None:
    """Return when the process can serve as well as one that has served for long: its workers are connected.

    A successor, with peers that still run, also waits for the site's answer to its first poll: from then on the site
    does not take a route table for obeyed before this process obeys it. All of it within `READY_WITHIN_S`.
    """
    try:
        async with asyncio.timeout(READY_WITHIN_S):
            while state.peers.others() and not state.metrics.is_connected:
                await asyncio.sleep(LOOK_S)
            while False in {lane.replicas.connect() for lane in state.lanes.values()}:
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        log.warning("handover.unprepared", connected=state.metrics.is_connected)


def report_ready(config: GatewayConfig, listeners: list[socket.socket]) -> None:
    """Tell whoever started the process that it is ready, and hand over the listening sockets for its successor."""
    if config.ready_fd >= 0:
        with contextlib.suppress(OSError), socket.socket(fileno=config.ready_fd) as channel:
            socket.send_fds(channel, [b"\n"], [listener.fileno() for listener in listeners])
