"""A private PostgreSQL for tests: its own cluster in a temporary directory, on a free loopback port, gone afterwards.

Standard library only.
"""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

READY_WITHIN_S = 120.0
STOP_GRACE_S = 15.0
ORDINARY_USERS = ("postgres", "nobody")
# Nothing has to survive a power failure here.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "60"}


class NotAvailable(Exception):
    """PostgreSQL is not installed, or does not start; the text says which."""


def program(name: str) -> Path | None:
    """A server program: Debian keeps them out of PATH, one directory per major version."""
    found = shutil.which(name)
    if found:
        return Path(found)
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    return versions[-1] if versions else None


def _ordinary_user() -> str | None:
    """Whom the server runs as: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    for name in ORDINARY_USERS:
        with suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise NotAvailable("PostgreSQL does not run as root, and there is no ordinary user to run it as")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _who(user: str | None) -> dict[str, object]:
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}


def _make_cluster(initdb: Path, folder: Path, user: str | None, password: str) -> None:
    password_file = folder / "password"
    password_file.write_text(password)
    if user:
        for path in (folder, password_file):
            shutil.chown(path, user, pwd.getpwnam(user).pw_gid)
    command = [str(initdb), "-D", str(folder / "data"), "-U", "mlorch", "--auth=scram-sha-256", "-E", "UTF8"]
    command += ["--locale=C.UTF-8", "--no-sync", f"--pwfile={password_file}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, **_who(user))  # type: ignore[call-overload]
    if done.returncode:
        raise NotAvailable(f"initdb failed: {done.stderr.strip()[-300:]}")


def _wait_until_ready(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline and server.poll() is None:
        if "ready to accept connections" in log.read_text(errors="replace"):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        time.sleep(0.05)
    raise NotAvailable(f"PostgreSQL did not start: {log.read_text(errors='replace').strip()[-300:]}")


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End the server: SIGINT is PostgreSQL's fast shutdown."""
    if server.poll() is None:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@contextmanager
def running() -> Iterator[str]:
    """Start a server and give the URL of a database on it; end it and remove it afterwards. Raises NotAvailable."""
    initdb, postgres = program("initdb"), program("postgres")
    if not initdb or not postgres:
        raise NotAvailable("PostgreSQL is not installed")
    user, password = _ordinary_user(), secrets.token_hex(16)
    folder = Path(tempfile.mkdtemp(prefix="mlorch-pg-"))
    try:
        _make_cluster(initdb, folder, user, password)
        port = _free_port()
        settings = {**FAST, "listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": str(folder)}
        command = [str(postgres), "-D", str(folder / "data")]
        command += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(  # type: ignore[call-overload]
                command, cwd=folder, stdout=log, stderr=log, start_new_session=True, **_who(user)
            )
        try:
            _wait_until_ready(server, port, folder / "log")
            yield f"postgres://mlorch:{password}@127.0.0.1:{port}/postgres"
        finally:
            _stop(server)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
