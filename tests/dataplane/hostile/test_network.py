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
    "mapped_to_ipv6": "socket.socket(socket.AF_INET6).connect(('::ffff:127.0.0.1', WORLD['port']))",
    "ipv6": "socket.socket(socket.AF_INET6).connect(('::1', WORLD['port']))",
    "any_address": "socket.create_connection(('0.0.0.0', WORLD['port']), 5)",
    "any_address_of_ipv6": "socket.socket(socket.AF_INET6).connect(('::', WORLD['port']))",
    "another_address_of_loopback": "socket.create_connection(('127.1.2.3', WORLD['port']), 5)",
    "address_of_the_machine": "socket.create_connection((WORLD['address'], WORLD['port']), 5)",
    "connecting_in_the_background": "socket.socket(type=socket.SOCK_STREAM | socket.SOCK_NONBLOCK)"
    ".connect(('127.0.0.1', WORLD['port']))",
    "not_by_sending_a_batch": "call('syscall', 307, socket.socket().fileno(), b'', 1, 0x20000000)",
}


OTHER_SOCKETS = {
    "unix": "socket.socket(socket.AF_UNIX).connect(WORLD['broker'])",
    "datagrams": "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', WORLD['port']))",
    "datagrams_of_ipv6": "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b'x', ('::1', WORLD['port']))",
    "datagrams_with_flags": "socket.socket(type=socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)",
    "light_datagrams": "socket.socket(type=socket.SOCK_DGRAM, proto=136)",
    "echo_requests": "socket.socket(type=socket.SOCK_DGRAM, proto=1)",
    "raw": "socket.socket(type=socket.SOCK_RAW, proto=255)",
    "raw_of_ipv6": "socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58)",
    "sequenced_packets": "socket.socket(type=socket.SOCK_SEQPACKET, proto=132)",
    "datagrams_with_congestion_control": "socket.socket(type=6, proto=33)",
    "stream_of_datagrams": "socket.socket(type=socket.SOCK_STREAM, proto=17)",
    "packets": "socket.socket(17, socket.SOCK_RAW)",
    "kernel": "socket.socket(16, socket.SOCK_RAW, 0)",
    "cryptography_of_the_kernel": "socket.socket(38, socket.SOCK_SEQPACKET)",
    "host_of_the_machine": "socket.socket(40, socket.SOCK_STREAM)",
    "tcp_by_another_name": "socket.socket(43, socket.SOCK_STREAM)",
    "cluster": "socket.socket(30, socket.SOCK_STREAM)",
    "bluetooth": "socket.socket(31, socket.SOCK_RAW, 1)",
    "express_data_path": "socket.socket(44, socket.SOCK_RAW)",
    "pair_of_datagrams": "socket.socketpair(type=socket.SOCK_DGRAM)",
    "rings": "call('syscall', 425, 8, ctypes.create_string_buffer(120))",
}


# One model tries all of them; what is not refused is named with what it came to.
ALL = """
passed = {{}}
for name, code in {tries!r}.items():
    try:
        exec(code)
        passed[name] = "done"
    except PermissionError:
        pass
    except Exception as error:
        passed[name] = repr(error)
return "passed: " + repr(passed)
"""


@pytest.mark.parametrize(("name", "tries"), [("ways", WAYS_TO_CONNECT), ("sockets", OTHER_SOCKETS)])
async def test_granted__loopback_and_all_but_streams_of_the_internet__are_refused(
    world: World, name: str, tries: dict[str, str]
) -> None:
    assert "passed: {}" in await told_with_grant(world, f"granted_{name}", ALL.format(tries=tries))


async def test_granted__port_of_somebody_who_is_away__is_not_taken(world: World) -> None:
    code = "listener = socket.socket(); listener.bind(('127.0.0.1', 0)); listener.listen()"

    assert "PermissionError" in await told_with_grant(world, "granted_bind", code)


async def test_granted__files_and_processes__are_hidden_as_ever(world: World) -> None:
    said = await told_with_grant(world, "granted_files", "return open(WORLD['secret']).read()")

    assert "FileNotFoundError" in said or "PermissionError" in said
