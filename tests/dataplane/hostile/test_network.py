"""A model with a network grant: it reaches ports that are open to it, and nothing that listens on this machine."""

import socket

import pytest

from tests.dataplane.hostile.conftest import World
from tests.dataplane.hostile.models import Attempt

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


async def told_with_grant(world: World, name: str, code: str) -> str:
    replica = await world.begin(Attempt(name, code, ""), network=True)
    await world.ready(replica)
    assert world.row(replica).sandbox.startswith("partly: network granted")
    return await world.told(replica)


async def test_granted__port_that_is_open_to_it__is_reached(world: World) -> None:
    (port,) = (port for port in world.agent.config.network_ports if port > 1024)
    with socket.socket() as listener:  # begins to listen after the worker has started: nobody could know
        code = f"socket.create_connection(('127.0.0.1', {port}), 5).close(); return 'reached'"
        replica = await world.begin(Attempt("granted", code, ""), network=True)
        await world.ready(replica)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()

        assert "reached" in await world.told(replica)


WAYS_TO_CONNECT = {
    "connect": "socket.create_connection(('127.0.0.1', WORLD['port']), 5)",
    "mptcp": "socket.socket(proto=262).connect(('127.0.0.1', WORLD['port']))",
    "fast_open": "socket.socket().sendto(b'x', 0x20000000, ('127.0.0.1', WORLD['port']))",
    "fast_open_of_a_message": "socket.socket().sendmsg([b'x'], [], 0x20000000, ('127.0.0.1', WORLD['port']))",
    "sctp": "socket.socket(proto=132).connect(('127.0.0.1', WORLD['port']))",
    "by_ipv6": "socket.socket(socket.AF_INET6).connect(('::ffff:127.0.0.1', WORLD['port']))",
}


@pytest.mark.parametrize("way", WAYS_TO_CONNECT)
async def test_granted__what_listens_on_this_machine__is_refused(world: World, way: str) -> None:
    assert "PermissionError" in await told_with_grant(world, f"granted_{way}", WAYS_TO_CONNECT[way])


async def test_granted__unix_sockets_and_packets__are_refused(world: World) -> None:
    code = "socket.socket(socket.AF_UNIX).connect(WORLD['broker'])"
    assert "PermissionError" in await told_with_grant(world, "granted_unix", code)

    assert "PermissionError" in await told_with_grant(world, "granted_raw", "socket.socket(17, socket.SOCK_RAW)")


async def test_granted__port_of_somebody_who_is_away__is_not_taken(world: World) -> None:
    code = "listener = socket.socket(); listener.bind(('127.0.0.1', 0)); listener.listen()"

    assert "PermissionError" in await told_with_grant(world, "granted_bind", code)


async def test_granted__files_and_processes__are_hidden_as_ever(world: World) -> None:
    said = await told_with_grant(world, "granted_files", "return open(WORLD['secret']).read()")

    assert "FileNotFoundError" in said or "PermissionError" in said
