"""Restoring a backup on an empty machine: everything is looked at first, and then put in place or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction
from django.db.migrations.loader import MigrationLoader

from mlorch_site.audit.checkpointing import checkpoint_file
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.audit.verification import Verification, verify
from mlorch_site.launch.backup import database_copy
from mlorch_site.launch.backup.backup_making import ACTOR, ARTIFACTS, AUDIT, MLFLOW, SECRETS, type_Say
from mlorch_site.launch.backup.backup_manifest import SECRETS_FILE, BackupManifest, damaged_files, read_manifest
from mlorch_site.launch.backup.secrets_seal import open_files
from mlorch_site.lib.errors import Conflict, Invalid, Unavailable

STAGING = ".restoring"
NAMED_MAX = 5  # damaged files that a refusal names


def backup_restore(
    *, source: Path, passphrase: str, with_secrets: bool = True, say: type_Say = print
) -> tuple[BackupManifest, Verification]:
    """Restore the backup in `source` into the empty data directory and the empty database that are configured, and
    verify the audit record.

    Raises Invalid, Conflict, Unavailable with a sentence; then nothing is there that was not before.
    """
    manifest = read_manifest(source)
    if reason := _why_not(manifest):
        raise Conflict(reason)
    if damaged := list(damaged_files(source, manifest)):
        more = f" and {len(damaged) - NAMED_MAX} more" if len(damaged) > NAMED_MAX else ""
        raise Invalid(f"The backup is damaged: {', '.join(damaged[:NAMED_MAX])}{more}.")
    say(f"All {len(manifest.files)} files are as they were written.")
    secrets = _secrets(source, manifest, passphrase) if with_secrets else {}
    _put_in_place(source, manifest, secrets)
    say(f"Restored as of {manifest.made_at}.")
    call_command("migrate", verbosity=0)
    found = verify()
    if not found.holds:
        say(f"The audit record does not hold: {found.problem}")
    data = {"made_at": manifest.made_at, "records": manifest.records, "head": manifest.head}
    with transaction.atomic():
        audit_record(ACTOR, "backup.restored", Subject("backup", manifest.made_at[:64], str(source)), data=data)
    return manifest, found


def _why_not(manifest: BackupManifest) -> str:
    """Why this backup cannot be restored here, empty when it can."""
    if manifest.engine != database_copy.engine():
        return (
            f"The backup has a database of {manifest.engine}, and {database_copy.engine()} is configured; "
            "set DATABASE_URL to an empty database of that kind."
        )
    known = set(MigrationLoader(None).disk_migrations)
    applied = {(app, name) for app, names in manifest.migrations.items() for name in names}
    if newer := sorted(applied - known):
        return f"The backup was made by a newer version of mlorch: {'.'.join(newer[-1])} is not known here."
    if reason := database_copy.why_not_empty():
        return f"{reason} A backup is restored into an empty installation only."
    there = [path for path in _places().values() if path.exists()]
    there += [path for path in (Path(settings.DATA_DIR) / name for name in SECRETS) if path.exists()]
    if there:
        return f"There is {there[0]} already. A backup is restored into an empty data directory only."
    return ""


def _places() -> dict[str, Path]:
    """Where the folders of a backup belong."""
    data_dir = Path(settings.DATA_DIR)
    return {
        ARTIFACTS: data_dir / ARTIFACTS,
        MLFLOW: data_dir / MLFLOW,
        AUDIT: checkpoint_file().path.parent,
    }


def _secrets(source: Path, manifest: BackupManifest, passphrase: str) -> dict[str, bytes]:
    if not manifest.has_secrets:
        raise Invalid("The backup has no secrets in it; say --without-secrets, and put them there yourself.")
    if not passphrase:
        raise Invalid("Set MLORCH_BACKUP_PASSPHRASE to what the secrets were sealed with, or say --without-secrets.")
    try:
        sealed = (source / SECRETS_FILE).read_bytes()
    except OSError as error:
        raise Invalid(f"The sealed secrets cannot be read ({type(error).__name__}).") from error
    opened = open_files(sealed, passphrase, manifest.digest())
    if strange := set(opened) - set(SECRETS):
        raise Invalid(f"The sealed secrets have a file that is none: {sorted(strange)[0]}.")
    return opened


def _put_in_place(source: Path, manifest: BackupManifest, secrets: dict[str, bytes]) -> None:
    """Copy everything beside its place, restore the database, and only then move the rest; what fails is undone."""
    data_dir = Path(settings.DATA_DIR)
    try:
        with _staging(data_dir) as staging:
            for one in manifest.files:
                if one.path != database_copy.file_name():
                    target = staging / one.path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(source / one.path, target)
            _same_modes(source, staging)
            for name, data in secrets.items():
                (staging / name).write_bytes(data)
                (staging / name).chmod(0o600)
            _move(staging, data_dir, source, secrets)
    except OSError as error:
        raise Unavailable(f"The backup could not be restored: {error}.") from error


@contextmanager
def _staging(data_dir: Path) -> Iterator[Path]:
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    staging = data_dir / STAGING
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(mode=0o700)
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _same_modes(source: Path, staging: Path) -> None:
    for folder in [path for path in staging.rglob("*") if path.is_dir()]:
        folder.chmod((source / folder.relative_to(staging)).stat().st_mode & 0o777)


def _move(staging: Path, data_dir: Path, source: Path, secrets: dict[str, bytes]) -> None:
    moves = {staging / name: place for name, place in _places().items() if (staging / name).exists()}
    moves |= {staging / name: data_dir / name for name in secrets}
    done: list[Path] = []
    try:
        for here, there in moves.items():
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(here, there)
            done.append(there)
        database_copy.restore_database(source)
        connection.ensure_connection()
    except BaseException:
        for there in done:
            shutil.rmtree(there) if there.is_dir() else there.unlink(missing_ok=True)
        raise
