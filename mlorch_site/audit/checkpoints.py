"""Signed checkpoints: how many records there were, and the one root over all of them, kept outside the database.

A chain alone cannot show that its end was cut or that all of it was written anew; whoever changes the database does not
have the key and the file.
"""

import base64
import contextlib
import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from mlorch_site.audit.chain import Walk
from mlorch_site.audit.merkle import Peaks
from mlorch_site.audit.signing import is_signed, key_id
from mlorch_site.lib.hashing import canonical_json

DOMAIN = b"mlorch.audit.checkpoint.v1\n"
FILE_NAME = "checkpoints.jsonl"
PUBLIC_KEY_FILE = "public-key.pem"
LINE_MAX_BYTES = 8192
SERIES_HEX_CHARS = 16
FOLLOWS_NONE = b'"previous":""'  # in a line as it is written, which is canonical JSON
TAILS_BYTES = (64 * LINE_MAX_BYTES, 1024 * LINE_MAX_BYTES)  # looked through for a line before the whole file is
HASH_HEX_CHARS = 64
UNREADABLE = (ValueError, TypeError, RecursionError)  # what reading a line that is no checkpoint raises


@dataclass(frozen=True)
class Checkpoint:
    """`size` records, `head` the hash of the last, `root` of the tree over them, whose `peaks` let the next one go on.

    `previous` is the SHA-256 of the line before in its file, so that one signature vouches for all lines above it.
    """

    size: int
    head: str
    root: str
    peaks: tuple[str, ...]
    at: str
    key: str
    previous: str
    signature: str = ""

    def signed_content(self) -> bytes:
        """What the signature covers: all of it but itself."""
        content = asdict(self)
        content.pop("signature")
        return DOMAIN + canonical_json(content)

    def line(self) -> bytes:
        """The checkpoint as a line of its file, without the end of the line."""
        return canonical_json(asdict(self))

    def walk(self) -> Walk:
        """A walk that stands where the checkpoint was made."""
        return Walk(self.size, self.head, Peaks(self.size, [bytes.fromhex(peak) for peak in self.peaks]))


def signed(walk: Walk, *, at: str, previous: bytes, key: Ed25519PrivateKey) -> Checkpoint:
    """A checkpoint of what was walked, that follows the line `previous`."""
    made = Checkpoint(
        size=walk.count,
        head=walk.head,
        root=walk.peaks.root().hex(),
        peaks=tuple(peak.hex() for peak in walk.peaks.hashes),
        at=at,
        key=key_id(key.public_key()),
        previous=line_hash(previous) if previous else "",
    )
    return replace(made, signature=base64.b64encode(key.sign(made.signed_content())).decode())


def line_hash(line: bytes) -> str:
    """How the next line names this one."""
    return hashlib.sha256(line).hexdigest()


def series_of(first_line: bytes) -> str:
    """The name of the checkpoints that begin with this line: they are begun anew when a record is restored."""
    return line_hash(first_line)[:SERIES_HEX_CHARS]


def by_series(lines: Iterable[bytes]) -> dict[str, list[bytes]]:
    """The lines under the name of their series, each of which begins with a line that follows none.

    A line that is no checkpoint stays with those before it, where whoever reads them finds it; one that only looks like
    the first of a series needs a signature of its own like every last one.
    """
    found: dict[str, list[bytes]] = {}
    series = ""
    for line in lines:
        if not series or FOLLOWS_NONE in line:
            series = series_of(line)
        found.setdefault(series, []).append(line)
    return found


def read_checkpoint(line: bytes) -> Checkpoint:
    """The checkpoint in a line. Raises ValueError when it is none."""
    found = json.loads(line)
    if not isinstance(found, dict) or set(found) != set(Checkpoint.__dataclass_fields__):
        raise ValueError("other fields")
    checkpoint = Checkpoint(**{**found, "peaks": tuple(found["peaks"])})
    peaks = Peaks(checkpoint.size, [_digest(peak) for peak in checkpoint.peaks])
    if not (_is_count(checkpoint.size) and peaks.is_whole() and peaks.root() == _digest(checkpoint.root)):
        raise ValueError("the root does not follow from the peaks")
    _digest(checkpoint.head)
    return checkpoint


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0


def _digest(text: str) -> bytes:
    if not isinstance(text, str) or len(text) != HASH_HEX_CHARS:
        raise ValueError("no hash")
    return bytes.fromhex(text)


@dataclass(frozen=True)
class Witness:
    """What a file of checkpoints says: those that are vouched for by a key, and what is wrong with the file."""

    name: str
    checkpoints: list[Checkpoint]
    newest_line: bytes = b""
    problem: str = ""

    @property
    def newest(self) -> Checkpoint | None:
        return self.checkpoints[-1] if self.checkpoints else None


def witness_of(name: str, lines: list[bytes], keys: dict[str, Ed25519PublicKey]) -> Witness:
    """What lines say, oldest first, that lie together in the place `name`."""
    found, problem = _vouched_for(lines, keys)
    return Witness(name, found, lines[-1] if lines else b"", f"{problem} in {name}." if problem else "")


class CheckpointFile:
    """A file that lines are only ever added to."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Let nobody else add a line meanwhile. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with (self.path.parent / f".{FILE_NAME}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def add(self, line: bytes) -> None:
        """Add a line, all of it or nothing, and wait until it is on the disk. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            before = os.fstat(descriptor).st_size
            if os.write(descriptor, line + b"\n") != len(line) + 1:
                os.ftruncate(descriptor, before)
                raise OSError(errno.ENOSPC, "there is no room for the line")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def read(self, keys: dict[str, Ed25519PublicKey]) -> Witness:
        """All of it."""
        return self._read(keys, None)

    def read_newest(self, keys: dict[str, Ed25519PublicKey]) -> Witness:
        """Its last line only."""
        return self._read(keys, LINE_MAX_BYTES)

    def _read(self, keys: dict[str, Ed25519PublicKey], last_bytes: int | None) -> Witness:
        name = str(self.path)
        try:
            lines = _lines(self.path, last_bytes)
        except OSError as error:
            return Witness(name, [], problem=f"{name} cannot be read ({type(error).__name__}).")
        return witness_of(name, lines if last_bytes is None else lines[-1:], keys)

    def lines(self) -> list[bytes]:
        """All lines, oldest first. Raises OSError."""
        return _lines(self.path, None)

    def first_line(self) -> bytes:
        """The line that names the series; empty while there is none. Raises OSError."""
        if not self.path.exists():
            return b""
        with self.path.open("rb") as file:
            return file.readline().rstrip(b"\n")

    def newest_hash(self) -> str:
        """How the line that is added next names the last one; empty while there is none. Raises OSError."""
        lines = self.newest_lines()
        return line_hash(lines[-1]) if lines else ""

    def newest_lines(self) -> list[bytes]:
        """Two lines at the end or more, oldest first; one when there is one, and the first may be a part. Raises
        OSError.
        """
        return _lines(self.path, 3 * LINE_MAX_BYTES)

    def around(self, sequence: int) -> tuple[bytes, bytes]:
        """The last line of fewer records than `sequence` and the first that covers it; empty where there is none. By
        halves: the file may be long. Raises OSError, and ValueError for a line that is no checkpoint.
        """
        if not self.path.exists():
            return b"", b""
        with self.path.open("rb") as file:
            low, high = 0, self.path.stat().st_size
            while high - low > LINE_MAX_BYTES:
                middle = (low + high) // 2
                file.seek(middle)
                file.readline()
                start = file.tell()
                if start < high and read_checkpoint(file.readline()).size < sequence:
                    low = start
                else:
                    high = middle
            file.seek(low)
            before = b""
            for line in map(bytes.rstrip, file):
                if read_checkpoint(line).size >= sequence:
                    return before, line
                before = line
            return before, b""

    def lines_after(self, known: str) -> list[bytes]:
        """The lines after the one with the hash `known`, oldest first; all when it is not among them. Raises
        OSError.
        """
        for last_bytes in TAILS_BYTES:
            lines = _lines(self.path, last_bytes)
            if found := _place_of(known, lines):
                return lines[found:]
        lines = self.lines()
        return lines[_place_of(known, lines) :]


def _place_of(known: str, lines: list[bytes]) -> int:
    """How many lines there are up to the one with that hash; 0 when there is none."""
    places = (place for place in range(len(lines), 0, -1) if line_hash(lines[place - 1]) == known)
    return next(places, 0) if known else 0


def _lines(path: Path, last_bytes: int | None) -> list[bytes]:
    if not path.exists():
        return []
    with path.open("rb") as file:
        if last_bytes is not None:
            file.seek(max(0, path.stat().st_size - last_bytes))
        return file.read().splitlines()


def _vouched_for(lines: list[bytes], keys: dict[str, Ed25519PublicKey]) -> tuple[list[Checkpoint], str]:
    """The checkpoints in the lines, oldest first, and what is wrong with one.

    From the newest upward: a line counts when a trusted key signed it, or when the line after it counts and names it.
    """
    found: list[Checkpoint] = []
    awaited = ""
    for line in reversed(lines):
        try:
            checkpoint = read_checkpoint(line)
        except UNREADABLE:
            return found[::-1], f"There is a line that is no checkpoint, {len(found)} lines from the end,"
        if awaited != line_hash(line) and not _is_vouched_for(checkpoint, keys):
            return found[::-1], f"The checkpoint of {checkpoint.size} records is not signed by a known key"
        awaited = checkpoint.previous
        found.append(checkpoint)
    return found[::-1], ""


def _is_vouched_for(checkpoint: Checkpoint, keys: dict[str, Ed25519PublicKey]) -> bool:
    try:
        signature = base64.b64decode(checkpoint.signature, validate=True)
    except ValueError:
        return False
    key = keys.get(checkpoint.key)
    return key is not None and is_signed([key], signature, checkpoint.signed_content())
