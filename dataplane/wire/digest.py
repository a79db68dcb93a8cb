"""The digest of a version's artifacts (docs/wire.md section 7). The worker checks it before it loads anything."""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

FILES_MAX = 20_000
CHUNK_BYTES = 1024 * 1024


class UnsafeArtifact(Exception):
    """The directory holds something that artifacts may not hold."""


class Entry(NamedTuple):
    """One file of a manifest: path relative to the root with `/`, size in bytes, SHA-256 in hexadecimal."""

    path: str
    size: int
    sha256: str


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    hasher = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest()


def manifest(root: Path) -> list[Entry]:
    """Return the manifest of the files under `root`, sorted by path. Raises UnsafeArtifact for links and special files."""
    entries: list[Entry] = []
    for folder, folders, names in os.walk(root, followlinks=False):
        for name in (*folders, *names):
            path = Path(folder) / name
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise UnsafeArtifact(f"{path.relative_to(root)} is a link or a special file")
        for name in names:
            path = Path(folder) / name
            relative = path.relative_to(root).as_posix()
            entries.append(Entry(relative, path.stat().st_size, file_sha256(path)))
            if len(entries) > FILES_MAX:
                raise UnsafeArtifact(f"more than {FILES_MAX} files")
    return sorted(entries)


def digest_of(entries: list[Entry]) -> str:
    """Return `sha256:<hex>` over the lines of a manifest."""
    hasher = hashlib.sha256()
    for entry in entries:
        hasher.update(f"{entry.path}\t{entry.size}\t{entry.sha256}\n".encode())
    return "sha256:" + hasher.hexdigest()


def digest(root: Path) -> str:
    """Return the digest of the directory `root`."""
    return digest_of(manifest(root))
