"""Making a backup while the product runs.

The database is copied at one moment, between two checkpoints of the audit record; files come after it. Artifacts are
named by their content and never change, so what is copied later than the database has at least what that names.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.db import transaction

from deployments.services.keys import SITE_KEY_FILE
from mlorch_site.accounts.actor import Actor
from mlorch_site.audit.checkpointing import checkpoint_file
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.audit.signing import KEY_FILE
from mlorch_site.launch.backup import database_copy, held_files
from mlorch_site.launch.backup.backup_manifest import SECRETS_FILE, BackupFile, BackupManifest, sha256_of
from mlorch_site.launch.backup.secrets_seal import passphrase_problem, seal_files
from mlorch_site.launch.bootstrap import FILE_NAME as CREDENTIALS_FILE
from mlorch_site.launch.supervisor.secrets_file import FILE_NAME as INSTALLATION_SECRETS
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Invalid, Unavailable

ACTOR = Actor.controller("backup")
ARTIFACTS, AUDIT, MLFLOW = "artifacts", "audit", "mlflow"
MLFLOW_DATABASE = "mlflow.db"
SECRETS = (INSTALLATION_SECRETS, CREDENTIALS_FILE, SITE_KEY_FILE, KEY_FILE)

type_Say = Callable[[str], None]


@dataclass
class BackupFolder:
    """The folder that a backup is written into: what it has, and what could not be taken (links, sockets)."""

    path: Path
    files: list[BackupFile] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def note(self, path: Path) -> None:
        """Have a file of the folder in the list."""
        name = path.relative_to(self.path).as_posix()
        self.files.append(BackupFile(name, path.stat().st_size, sha256_of(path)))

    def take_tree(self, source: Path, name: str, but: tuple[str, ...] = ()) -> None:
        """Copy what lies in a folder, with its modes. Names in `but` are not taken, nor what begins with a dot there.

        A file that goes meanwhile is one that the database did not name.
        """
        for place, folders, names in os.walk(source):
            folders.sort()
            target = self.path / name / Path(place).relative_to(source)
            target.mkdir(parents=True, exist_ok=True)
            target.chmod(0o700 | Path(place).stat().st_mode & 0o777)
            for one in sorted(names):
                path = Path(place) / one
                if Path(place) == source and (one in but or one.startswith(".")):
                    continue
                if path.is_symlink() or not path.is_file():
                    self.left_out.append(str(path))
                    continue
                with contextlib.suppress(FileNotFoundError):
                    shutil.copy2(path, target / one)
                    self.note(target / one)
            self.left_out += [str(Path(place) / one) for one in folders if (Path(place) / one).is_symlink()]

    def empty(self) -> None:
        """Take everything out again."""
        for path in self.path.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def backup_make(*, target: Path, passphrase: str, with_secrets: bool = True, say: type_Say = print) -> BackupManifest:
    """Write a backup into `target`, a folder that is new or empty. What fails leaves nothing in it.

    That it was made is an act of the audit record (and so not yet in the backup). Raises Invalid, Conflict,
    Unavailable with a sentence.
    """
    if with_secrets and (problem := passphrase_problem(passphrase)):
        raise Invalid(
            f"{problem} It seals the secrets; set MLORCH_BACKUP_PASSPHRASE, or leave them out with --without-secrets."
        )
    folder = BackupFolder(target.resolve())
    _make_room(folder.path)
    try:
        manifest = _write(folder, passphrase if with_secrets else "", say)
    except OSError as error:
        folder.empty()
        raise Unavailable(f"The backup could not be written: {error}.") from error
    except BaseException:
        folder.empty()
        raise
    with transaction.atomic():
        data = {"made_at": manifest.made_at, "records": manifest.records, "head": manifest.head}
        audit_record(ACTOR, "backup.made", Subject("backup", manifest.made_at[:64], str(target)), data=data)
    return manifest


def _make_room(target: Path) -> None:
    if target.is_relative_to(Path(settings.DATA_DIR)):
        raise Invalid(f"{target} lies in the data directory itself; give a folder outside of it.")
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(target.iterdir()):
            raise Conflict(f"{target} is not empty; every backup has a folder of its own.")
    except OSError as error:
        raise Invalid(f"{target} cannot be used: {error.strerror}.") from error


def _write(folder: BackupFolder, passphrase: str, say: type_Say) -> BackupManifest:
    data_dir, made_at = Path(settings.DATA_DIR), clock.now().isoformat()
    with checkpoint_file().locked():
        told = database_copy.copy_database(folder.path)
        folder.take_tree(checkpoint_file().path.parent, AUDIT)
    folder.note(folder.path / database_copy.file_name())
    say(f"Database: {folder.files[-1].size:,} bytes, {told.records:,} audit records.")
    if (data_dir / MLFLOW / MLFLOW_DATABASE).exists():
        (folder.path / MLFLOW).mkdir(mode=0o700)
        database_copy.copy_sqlite(data_dir / MLFLOW / MLFLOW_DATABASE, folder.path / MLFLOW / MLFLOW_DATABASE)
        folder.note(folder.path / MLFLOW / MLFLOW_DATABASE)
        beside = tuple(f"{MLFLOW_DATABASE}{end}" for end in ("", "-wal", "-shm", "-journal"))
        folder.take_tree(data_dir / MLFLOW, MLFLOW, but=beside)
    folder.take_tree(data_dir / ARTIFACTS, ARTIFACTS)
    for path in folder.left_out:
        say(f"Left out, as it is no plain file: {path}")
    manifest = BackupManifest(
        made_at=made_at,
        engine=database_copy.engine(),
        migrations=told.migrations,
        records=told.records,
        head=told.head,
        has_secrets=bool(passphrase),
        files=tuple(sorted(folder.files, key=lambda one: one.path)),
    )
    if passphrase:
        sealed = seal_files(dict(_secrets(data_dir, say)), passphrase, manifest.digest())
        (folder.path / SECRETS_FILE).write_bytes(sealed)
    manifest.write(folder.path)
    return manifest


def _secrets(data_dir: Path, say: type_Say) -> Iterator[tuple[str, bytes]]:
    """The installation's secrets, by the file they lie in; what the environment gives is not among them."""
    for name in SECRETS:
        held, path = held_files.held(name), data_dir / name
        if held is not None:
            yield name, held
        elif path.is_file():
            yield name, path.read_bytes()
        else:
            say(f"There is no {name} in the data directory: keep what stands in its place yourself.")
