"""The artifact store: the files of each version, by content, read-only (docs/wire.md section 7)."""

import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from mlorch_site.lib.errors import Invalid
from registry.backends.base import SeenFile

FILES_MAX = 20_000
SIZE_MAX_BYTES = 20 * 1024**3
CHUNK_BYTES = 1024 * 1024
MANIFEST_KEPT_MAX = 500


@dataclass(frozen=True)
class Entry:
    """One file: path relative to the root with `/`, size in bytes, SHA-256 in hexadecimal."""

    path: str
    size: int
    sha256: str


def store() -> Path:
    """Return the folder of the store."""
    return Path(settings.DATA_DIR) / "artifacts"


def path_of(digest: str) -> Path:
    """Return where the artifacts with this digest lie or would lie."""
    return store() / digest.replace(":", "-")


def manifest_of(root: Path) -> list[Entry]:
    """Return the manifest of the files under `root`, sorted by path.

    Raises Invalid for links, special files, too many or too large files: such artifacts are not taken.
    """
    entries: list[Entry] = []
    total = 0
    for folder, folders, names in os.walk(root, followlinks=False):
        for name in (*folders, *names):
            path = Path(folder) / name
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise Invalid(f"The artifacts hold a link or a special file: {path.relative_to(root)}")
        for name in names:
            path = Path(folder) / name
            size = path.stat().st_size
            total += size
            _check_room(len(entries) + 1, total)
            entries.append(Entry(path.relative_to(root).as_posix(), size, _sha256(path)))
    if not entries:
        raise Invalid("The version has no artifacts.")
    return sorted(entries, key=lambda entry: entry.path)


def check_listed(files: Iterable[SeenFile]) -> None:
    """Raise Invalid when what the registry lists is too much, before any of it is downloaded.

    A registry may list less than it gives, or not tell sizes: what was downloaded is checked again.
    """
    total = 0
    for count, file in enumerate(files, start=1):
        total += max(file.size or 0, 0)
        _check_room(count, total)


def _check_room(files: int, total: int) -> None:
    if files > FILES_MAX or total > SIZE_MAX_BYTES:
        raise Invalid(f"The artifacts have more than {FILES_MAX} files or {SIZE_MAX_BYTES // 1024**3} GiB.")


def digest_of(entries: list[Entry]) -> str:
    """Return `sha256:<hex>` over the lines of a manifest."""
    hasher = hashlib.sha256()
    for entry in entries:
        hasher.update(f"{entry.path}\t{entry.size}\t{entry.sha256}\n".encode())
    return "sha256:" + hasher.hexdigest()


def _sha256(path: Path) -> str:
    hasher = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest()


def new_folder() -> Path:
    """Return a fresh folder in the store to download into."""
    folder = store() / f".tmp-{uuid.uuid4().hex}"
    folder.mkdir(parents=True)
    return folder


def take_in(folder: Path) -> tuple[str, list[Entry]]:
    """Move a downloaded folder into the store under its digest, read-only; return digest and manifest.

    When the store has that digest already the folder is thrown away. Raises Invalid for artifacts that are not taken.
    """
    entries = manifest_of(folder)
    digest = digest_of(entries)
    target = path_of(digest)
    if target.exists():
        shutil.rmtree(folder)
        return digest, entries
    for path in folder.rglob("*"):
        path.chmod(stat.S_IRUSR | stat.S_IRGRP | (stat.S_IXUSR | stat.S_IXGRP if path.is_dir() else 0))
    try:
        folder.rename(target)
    except OSError:
        if not target.exists():
            raise
        shutil.rmtree(folder, ignore_errors=True)
    return digest, entries
