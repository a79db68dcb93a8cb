"""What a backup says of itself: which files it has, of which database, and how far its audit record went."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mlorch_site.lib.errors import Invalid
from mlorch_site.lib.hashing import canonical_json

FORMAT = 1
FILE_NAME = "manifest.json"
SECRETS_FILE = "secrets.sealed"
READ_BYTES = 1 << 20
MANIFEST_MAX_BYTES = 256 << 20


@dataclass(frozen=True)
class BackupFile:
    """One file of a backup: `path` below its folder with forward slashes, `size` in bytes, SHA-256 in hexadecimal."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class BackupManifest:
    """A finished backup. `migrations` are those applied, by app; `records` and `head` are the audit record's length and
    newest hash; `has_secrets` whether secrets are sealed beside it.
    """

    made_at: str
    engine: str
    migrations: dict[str, list[str]]
    records: int
    head: str
    has_secrets: bool
    files: tuple[BackupFile, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"format": FORMAT, **asdict(self), "files": [asdict(one) for one in self.files]}

    def digest(self) -> bytes:
        """SHA-256 over all of it: what seals the secrets vouches for the manifest, and so for every file."""
        return hashlib.sha256(canonical_json(self.to_dict())).digest()

    def write(self, folder: Path) -> None:
        """Write it, last of all: a folder without one is no finished backup."""
        unfinished = folder / f".{FILE_NAME}"
        unfinished.write_text(json.dumps(self.to_dict(), indent=1) + "\n")
        unfinished.replace(folder / FILE_NAME)


def read_manifest(folder: Path) -> BackupManifest:
    """The manifest of a backup. Raises Invalid with what is wrong."""
    path = folder / FILE_NAME
    try:
        if path.stat().st_size > MANIFEST_MAX_BYTES:
            raise Invalid(f"{path} is no manifest: it is larger than {MANIFEST_MAX_BYTES} bytes.")
        told = json.loads(path.read_bytes())
    except OSError as error:
        raise Invalid(
            f"{folder} is no finished backup: {FILE_NAME} cannot be read ({type(error).__name__})."
        ) from error
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{path} is damaged: {error}.") from error
    if not isinstance(told, dict) or told.pop("format", None) != FORMAT:
        raise Invalid(f"{path} is of a format that this version of mlorch does not know.")
    try:
        files = tuple(BackupFile(str(one["path"]), int(one["size"]), str(one["sha256"])) for one in told.pop("files"))
        found = BackupManifest(**told, files=files)
    except (KeyError, TypeError, ValueError) as error:
        raise Invalid(f"{path} is damaged: {type(error).__name__}.") from error
    if outside := [one.path for one in found.files if not _is_inside(one.path)]:
        raise Invalid(f"{path} names a file outside of the backup: {outside[0]!r}.")
    return found


def _is_inside(path: str) -> bool:
    parts = PurePosixPath(path)
    return bool(path) and not parts.is_absolute() and ".." not in parts.parts and "\x00" not in path


def damaged_files(folder: Path, manifest: BackupManifest) -> Iterator[str]:
    """The files that are not as they were written, each with what is wrong."""
    for one in manifest.files:
        path = folder / one.path
        try:
            if path.is_symlink() or not path.is_file():
                yield f"{one.path} is missing"
            elif path.stat().st_size != one.size or sha256_of(path) != one.sha256:
                yield f"{one.path} was changed"
        except OSError as error:
            yield f"{one.path} cannot be read ({type(error).__name__})"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(READ_BYTES):
            digest.update(block)
    return digest.hexdigest()
