"""Free ports that nobody takes meanwhile."""

import random
import socket
from pathlib import Path

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST = 10_000
USUAL_END = 32_768
DRAW = random.SystemRandom()


def free_ports(count: int) -> list[int]:
    """Ports that are free now, all different.

    They lie below those that the kernel gives to whoever connects somewhere: a connection of another test cannot take
    one.
    """
    kernels_first = int(RANGE.read_text().split()[0]) if RANGE.exists() else 0
    end = kernels_first if kernels_first > LOWEST else USUAL_END
    found: list[int] = []
    while len(found) < count:
        port = DRAW.randrange(LOWEST, end)
        if port not in found and _is_free(port):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
