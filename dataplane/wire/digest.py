"""The digest of a version's artifacts (docs/wire.md section 7).

The site takes artifacts in by it, the worker checks it before it loads anything.
"""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

FILES_MAX = 20_000
SIZE_MAX_BYTES = 20 * 1024**3
CHUNK_BYTES = 1024 * 1024


class UnsafeArtifact(Exception):
    """The directory holds something that artifacts may not hold; the text says what."""


class ManifestEntry(NamedTuple):
    """One file of a manifest: path relative to the root with `/`, size in bytes, SHA-256 in hexadecimal."""

    path: str
    size: int
    sha256: str


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal."""
    hasher = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest()


def manifest(root: Path) -> list[ManifestEntry]:
    """The manifest of the files under `root`, sorted by path.

    Raises UnsafeArtifact for links, special files, and more files or bytes than the limits.
    """
    paths = _files(root)
    check_room(len(paths), sum(path.stat().st_size for path in paths))
    entries = [
        ManifestEntry(path.relative_to(root).as_posix(), path.stat().st_size, file_sha256(path)) for path in paths
    ]
    return sorted(entries)


def _files(root: Path) -> list[Path]:
    found: list[Path] = []
    for folder, folders, names in os.walk(root, followlinks=False):
        for path in (Path(folder) / name for name in (*folders, *names)):
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise UnsafeArtifact(f"{path.relative_to(root)} is a link or a special file")
        found += [Path(folder) / name for name in names]
    return found


def check_room(files: int, size_bytes: int) -> None:
    """Raise UnsafeArtifact when it is more than a version may have."""
    if files > FILES_MAX or size_bytes > SIZE_MAX_BYTES:
        raise UnsafeArtifact(f"there are more than {FILES_MAX} files or {SIZE_MAX_BYTES // 1024**3} GiB")


def digest_of(entries: list[ManifestEntry]) -> str:
    """Return `sha256:<hex>` over the lines of a manifest."""
    hasher = hashlib.sha256()
    for entry in entries:
        hasher.update(f"{entry.path}\t{entry.size}\t{entry.sha256}\n".encode())
    return "sha256:" + hasher.hexdigest()


def digest(root: Path) -> str:
    """The digest of the directory `root`."""
    return digest_of(manifest(root))
