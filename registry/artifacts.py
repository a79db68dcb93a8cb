"""The artifact store: the files of each version, by content, read-only (docs/wire.md section 7)."""

import contextlib
import os
import shutil
import stat
import uuid
from collections.abc import Collection, Iterable
from datetime import datetime
from pathlib import Path

from django.conf import settings

from dataplane.wire.digest import ManifestEntry, UnsafeArtifact, check_room, digest_of, manifest
from mlorch_site.lib.errors import Invalid
from registry.backends.base import SeenFile

MANIFEST_KEPT_MAX = 500
PARTIAL, TRASH = ".tmp-", ".trash-"
PARTIAL_KEPT_S = 24 * 3600  # far longer than a download may take


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
    folder = store() / f"{PARTIAL}{uuid.uuid4().hex}"
    folder.mkdir(parents=True)
    return folder


def seal(folder: Path) -> tuple[str, list[ManifestEntry]]:
    """Make a downloaded folder read-only; return its digest and manifest. Raises Invalid for artifacts that are not
    taken.
    """
    entries = manifest_of(folder)
    # Workers of a user of their own read by the group.
    folder.chmod(stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP)
    for path in folder.rglob("*"):
        path.chmod(stat.S_IRUSR | stat.S_IRGRP | (stat.S_IXUSR | stat.S_IXGRP if path.is_dir() else 0))
    return digest_of(entries), entries


def take_in(folder: Path, digest: str) -> None:
    """Move a sealed folder into the store under its digest; when the store has that digest already, leave it where it
    is.
    """
    target = path_of(digest)
    try:
        if not target.exists():
            folder.rename(target)
    except OSError:
        if not target.exists():
            raise


def put_away(digest: str) -> None:
    """Take the files of a digest out of the store in one step; `empty_trash` deletes them."""
    with contextlib.suppress(FileNotFoundError):
        path_of(digest).rename(store() / f"{TRASH}{uuid.uuid4().hex}")


def empty_trash(now: datetime) -> list[str]:
    """Delete what was put away, and downloads that nobody goes on with. Returns a sentence for each that stays."""
    problems = []
    for path in sorted(store().glob(".*")):
        is_left = path.name.startswith(PARTIAL) and now.timestamp() - path.lstat().st_mtime > PARTIAL_KEPT_S
        if path.name.startswith(TRASH) or is_left:
            try:
                remove(path)
            except (OSError, RecursionError) as error:
                problems.append(f"{path.name} cannot be deleted: {error}")
    return problems


def remove(folder: Path) -> None:
    """Delete a folder, also a read-only one, following no link. Raises OSError."""
    for _, _, _, descriptor in os.fwalk(folder, follow_symlinks=False):
        with contextlib.suppress(PermissionError):  # of a folder that is somebody else's
            os.fchmod(descriptor, stat.S_IRWXU)
    shutil.rmtree(folder)


def size_of(digest: str) -> int:
    """The size in bytes of the files that lie in the store under a digest."""
    paths = path_of(digest).rglob("*")
    return sum(path.lstat().st_size for path in paths if not path.is_symlink() and path.is_file())


def strangers(known: Collection[str]) -> list[str]:
    """What lies in the store and is none of the `known` digests, as sentences: nobody else puts anything there."""
    if not store().is_dir():
        return []
    owner = store().stat().st_uid
    found = []
    for path in sorted(store().iterdir()):
        if path.name.startswith((PARTIAL, TRASH)):
            continue
        if path.is_symlink() or not path.is_dir():
            found.append(f"{path.name} is a link or a file")
        elif path.name.replace("-", ":", 1) not in known:
            found.append(f"{path.name} is no artifact set that mlorch took in")
        elif path.stat().st_uid != owner:
            found.append(f"{path.name} belongs to another user")
    return found


def is_ours(digest: str) -> bool:
    """Whether what lies under a digest is a folder of the store's owner, and not something put in its place."""
    path = path_of(digest)
    return not path.is_symlink() and path.is_dir() and path.stat().st_uid == store().stat().st_uid
