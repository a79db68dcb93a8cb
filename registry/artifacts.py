"""The artifact store: the files of each version, by content, read-only (docs/wire.md section 7)."""

import shutil
import stat
import uuid
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings

from dataplane.wire.digest import ManifestEntry, UnsafeArtifact, check_room, digest_of, manifest
from mlorch_site.lib.errors import Invalid
from registry.backends.base import SeenFile

MANIFEST_KEPT_MAX = 500


def store() -> Path:
    """The folder of the store."""
    return Path(settings.DATA_DIR) / "artifacts"


def path_of(digest: str) -> Path:
    """Where the artifacts with this digest lie or would lie."""
    return store() / digest.replace(":", "-")


def manifest_of(root: Path) -> list[ManifestEntry]:
    """The manifest of the files under `root`, sorted by path.

    Raises Invalid for artifacts that are not taken, and for none.
    """
    try:
        entries = manifest(root)
    except UnsafeArtifact as error:
        raise Invalid(f"The artifacts are not taken: {error}.") from error
    if not entries:
        raise Invalid("The version has no artifacts.")
    return entries


def check_listed(files: Iterable[SeenFile]) -> None:
    """Raise Invalid when what the registry lists is too much, before any of it is downloaded.

    A registry may list less than it gives, or not tell sizes: what was downloaded is checked again.
    """
    sizes = [max(file.size or 0, 0) for file in files]
    try:
        check_room(len(sizes), sum(sizes))
    except UnsafeArtifact as error:
        raise Invalid(f"The artifacts are not taken: {error}.") from error


def new_folder() -> Path:
    """A fresh folder in the store to download into."""
    folder = store() / f".tmp-{uuid.uuid4().hex}"
    folder.mkdir(parents=True)
    return folder


def take_in(folder: Path) -> tuple[str, list[ManifestEntry]]:
    """Move a downloaded folder into the store under its digest, read-only; return digest and manifest.

    When the store has that digest already the folder is thrown away. Raises Invalid for artifacts that are not taken.
    """
    entries = manifest_of(folder)
    digest = digest_of(entries)
    target = path_of(digest)
    if target.exists():
        shutil.rmtree(folder)
        return digest, entries
    # Workers of a user of their own read by the group.
    folder.chmod(stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP)
    for path in folder.rglob("*"):
        path.chmod(stat.S_IRUSR | stat.S_IRGRP | (stat.S_IXUSR | stat.S_IXGRP if path.is_dir() else 0))
    try:
        folder.rename(target)
    except OSError:
        if not target.exists():
            raise
        shutil.rmtree(folder, ignore_errors=True)
    return digest, entries
