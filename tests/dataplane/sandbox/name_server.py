"""`python -m tests.dataplane.sandbox.name_server LEVEL FOLDER`: what a sandboxed program with the network learns of a
name, and by which protocol it asked.

The machine around it is a network and a mount namespace with one name server, which answers every question with
ADDRESS. Prints JSON: the addresses found, and how many questions came by TCP and by UDP. For root only.
"""

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

from dataplane.agent.sandboxes import PROJECT_ROOT, launch
from dataplane.sandbox import kernel
from dataplane.wire.sandbox import SandboxSpec

ADDRESS, SERVER = "192.0.2.7", ("127.0.0.1", 53)
PROGRAM = """
import json, socket
rows = socket.getaddrinfo("models.example", 443, type=socket.SOCK_STREAM)
print(json.dumps(sorted({row[4][0] for row in rows})))
"""
SIOCSIFFLAGS, IFF_UP, TYPE_A = 0x8914, 1, 1


def alone(folder: Path) -> None:
    """Be on a machine with loopback only, which asks itself for names."""
    kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWNET)
    kernel.mount("", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))
    settings = {"/etc/resolv.conf": f"nameserver {SERVER[0]}\n", "/etc/nsswitch.conf": "hosts: files dns\n"}
    for path, text in settings.items():
        own = folder / Path(path).name
        own.write_text(text)
        own.chmod(0o644)
        kernel.mount(str(own), path, "", kernel.MS_BIND)


def answer(question: bytes) -> bytes:
    """The answer to a question: ADDRESS for one of IPv4, nothing for others."""
    name_end = question.index(b"\0", 12) + 1
    kind = int.from_bytes(question[name_end : name_end + 2], "big")
    found = b"\xc0\x0c" + struct.pack("!HHIH", TYPE_A, 1, 60, 4) + socket.inet_aton(ADDRESS) if kind == TYPE_A else b""
    head = question[:2] + struct.pack("!HHHHH", 0x8180, 1, bool(found), 0, 0)
    return head + question[12 : name_end + 4] + found


def serve_streams(asked: Counter[str]) -> None:
    listener = socket.create_server(SERVER)

    def serve() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    def talk(connection: socket.socket) -> None:
        while size := connection.recv(2, socket.MSG_WAITALL):
            asked["tcp"] += 1
            said = answer(connection.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL))
            connection.sendall(len(said).to_bytes(2, "big") + said)

    threading.Thread(target=serve, daemon=True).start()


def serve_datagrams(asked: Counter[str]) -> None:
    bound = socket.socket(type=socket.SOCK_DGRAM)
    bound.bind(SERVER)

    def serve() -> None:
        while True:
            question, where = bound.recvfrom(512)
            asked["udp"] += 1
            bound.sendto(answer(question), where)

    threading.Thread(target=serve, daemon=True).start()


def main() -> None:
    level, folder = sys.argv[1], Path(sys.argv[2])
    alone(folder)
    asked: Counter[str] = Counter()
    serve_streams(asked)
    serve_datagrams(asked)
    readable = [sys.prefix, sys.base_prefix, str(PROJECT_ROOT / "dataplane")]
    spec = SandboxSpec(level, str(folder / "home"), readable, network=True, ports=[SERVER[1]])  # type: ignore[arg-type]
    done = subprocess.run(
        launch(spec, -1, [sys.executable, "-c", PROGRAM]),
        stdout=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT_ROOT)},
        cwd="/",
        check=True,
    )
    print(json.dumps({"found": json.loads(done.stdout), "tcp": asked["tcp"], "udp": asked["udp"]}))


if __name__ == "__main__":
    main()
