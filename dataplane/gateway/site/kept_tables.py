"""The last good route table of each environment on disk: what the gateway serves by when the site is away."""

import hashlib
import os
from pathlib import Path

from dataplane.wire import shapes
from dataplane.wire.route_table import RouteTable
from dataplane.wire.shapes import Malformed


def save(folder: Path, table: RouteTable) -> None:
    """Keep `table` as the last good one: written aside, synced, renamed, with its own hash in the first line."""
    folder.mkdir(parents=True, exist_ok=True)
    content = shapes.write(table)
    temporary = folder / f".{table.environment}.{os.getpid()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / f"{table.environment}.json")


def forget(folder: Path, environment: str) -> None:
    """Remove the kept table of an environment that is no more."""
    (folder / f"{environment}.json").unlink(missing_ok=True)


def load(path: Path) -> RouteTable:
    """The table kept in `path`. Raises Malformed when it is torn, changed or not valid."""
    try:
        digest, _, content = path.read_bytes().partition(b"\n")
    except OSError as error:
        raise Malformed(f"cannot be read: {error}") from error
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise Malformed("torn: the content does not match its hash")
    return shapes.read(RouteTable, content)


def load_all(folder: Path) -> tuple[dict[str, RouteTable], dict[str, str]]:
    """The good tables in `folder`, and why each other file was refused."""
    good: dict[str, RouteTable] = {}
    refused: dict[str, str] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            table = load(path)
            good[table.environment] = table
        except Malformed as error:
            refused[path.stem] = str(error)
    return good, refused
