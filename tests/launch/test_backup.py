"""Backup and restore of an installation of its own, by the commands, on the database that the tests run on."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import pytest
from django.db import connection

from mlorch_site.launch.backup.backup_manifest import BackupFile, BackupManifest, damaged_files, read_manifest
from mlorch_site.launch.backup.backup_restoring import backup_restore
from mlorch_site.launch.backup.database_copy import engine
from mlorch_site.launch.backup.secrets_seal import open_files, seal_files
from mlorch_site.lib.errors import Conflict, Invalid
from tests.support.product import ROOT

PASSPHRASE = "correct horse battery"
BESIDE = b"the manifest"


@dataclass
class Installed:
    """An installation: its data directory, and its database when that is not a file in it."""

    data_dir: Path
    url: str = ""

    def manage(self, *arguments: str, passphrase: str = PASSPHRASE) -> subprocess.CompletedProcess[str]:
        env = {"PATH": os.environ["PATH"], "HOME": str(self.data_dir), "MLORCH_DATA_DIR": str(self.data_dir)}
        env |= {"DATABASE_URL": self.url} if self.url else {}
        env |= {"MLORCH_BACKUP_PASSPHRASE": passphrase} if passphrase else {}
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)

    def done(self, *arguments: str) -> str:
        run = self.manage(*arguments)
        assert run.returncode == 0, run.stderr
        return run.stdout

    def refused(self, *arguments: str, passphrase: str = PASSPHRASE) -> str:
        """What a command says that fails. It says it in a sentence."""
        run = self.manage(*arguments, passphrase=passphrase)
        assert run.returncode == 1
        assert "Traceback" not in run.stderr
        return run.stderr


@contextmanager
def another(tmp_path: Path) -> Iterator[Installed]:
    """A place for an installation, with an empty database."""
    data_dir = tmp_path / uuid4().hex[:8]
    if connection.vendor == "sqlite":
        data_dir.mkdir()
        yield Installed(data_dir)
        return
    known, name = connection.settings_dict, f"backup_{uuid4().hex[:12]}"
    url = f"postgresql://{known['USER']}:{known['PASSWORD']}@{known['HOST']}:{known['PORT']}/{name}"
    with connection._nodb_cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{name}"')
    data_dir.mkdir()
    try:
        yield Installed(data_dir, url)
    finally:
        with connection._nodb_cursor() as cursor:
            cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def test_backup__of_an_installation__is_restored_elsewhere_with_files_secrets_and_a_record_that_holds(db, tmp_path):
    backup = tmp_path / "backup"
    with another(tmp_path) as one, another(tmp_path) as other:
        one.done("migrate", "-v0")
        one.done("bootstrap")
        files = one.data_dir / "artifacts" / "sha256-1"
        files.mkdir(parents=True)
        (files / "model.bin").write_bytes(b"weights")
        (files / "link").symlink_to("/etc/passwd")
        (one.data_dir / "mlflow").mkdir()
        with closing(sqlite3.connect(one.data_dir / "mlflow" / "mlflow.db")) as store:
            store.execute("CREATE TABLE runs (name)")
            store.commit()
        (one.data_dir / "secrets.json").write_text('{"django": "secret-of-the-site"}')

        said = one.done("backup", str(backup))
        assert f"Left out, as it is no plain file: {files / 'link'}" in said
        assert not [path for path in backup.rglob("*") if path.is_file() and b"secret-of-the-site" in path.read_bytes()]
        assert "not empty" in one.refused("backup", str(backup))
        assert "MLORCH_BACKUP_PASSPHRASE" in one.refused("backup", str(tmp_path / "no"), passphrase="")
        assert "outside of it" in one.refused("backup", str(one.data_dir / "inside"))

        assert "passphrase is another one" in other.refused("restore", str(backup), passphrase="another one entirely")
        assert "MLORCH_BACKUP_PASSPHRASE" in other.refused("restore", str(backup), passphrase="")
        assert "There is" in one.refused("restore", str(backup)) or "tables already" in one.refused(
            "restore", str(backup)
        )
        (backup / "artifacts" / "sha256-1" / "model.bin").write_bytes(b"wEights")
        assert "artifacts/sha256-1/model.bin was changed" in other.refused("restore", str(backup))
        assert list(other.data_dir.iterdir()) == []
        (backup / "artifacts" / "sha256-1" / "model.bin").write_bytes(b"weights")

        without_its_database(backup, tmp_path / "spoilt")
        other.refused("restore", str(tmp_path / "spoilt"), "--without-secrets")
        assert list(other.data_dir.iterdir()) == []

        assert "The audit chain holds" in other.done("restore", str(backup))
        for name in ("secrets.json", "credentials.json", "site-gateway-key", "audit-signing-key.pem"):
            assert (other.data_dir / name).read_bytes() == (one.data_dir / name).read_bytes()
            assert (other.data_dir / name).stat().st_mode & 0o777 == 0o600
        assert (other.data_dir / "artifacts" / "sha256-1" / "model.bin").read_bytes() == b"weights"
        assert (other.data_dir / "mlflow" / "mlflow.db").exists()
        assert "The audit chain holds" in other.done("audit_verify")
        assert "First people" not in other.done("bootstrap")  # they are there


def without_its_database(backup: Path, spoilt: Path) -> None:
    """A backup whose manifest is in order, and from which the database cannot be restored."""
    shutil.copytree(backup, spoilt)
    told = json.loads((spoilt / "manifest.json").read_text())
    told["files"] = [row for row in told["files"] if not row["path"].startswith("database")]
    (spoilt / "manifest.json").write_text(json.dumps(told))
    [database] = spoilt.glob("database.*")
    database.unlink()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("about", "says"),
    [
        ({"migrations": {"registry": ["9999_later"]}}, "registry.9999_later is not known here"),
        ({"engine": "oracle"}, "has a database of oracle"),
    ],
)
def test_restore__of_another_kind_or_a_newer_version__is_refused(folder, about, says):
    replace(manifest(), **about).write(folder)
    with pytest.raises(Conflict, match=says):
        backup_restore(source=folder, passphrase=PASSPHRASE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a").write_bytes(b"content")
    return tmp_path


def manifest(*files: BackupFile) -> BackupManifest:
    return BackupManifest("2026-11-23T12:00:00+00:00", engine(), {"registry": ["0001_initial"]}, 3, "ab", True, files)


GOOD = BackupFile("a", 7, "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73")


def test_manifest__written_and_read__is_the_same_and_its_files_are_whole(folder):
    manifest(GOOD).write(folder)

    assert read_manifest(folder) == manifest(GOOD)
    assert list(damaged_files(folder, read_manifest(folder))) == []


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda told: {**told, "files": [{"path": "../a", "size": 7, "sha256": "x"}]}, "outside of the backup"),
        (lambda told: {**told, "files": [{"path": "/etc/passwd", "size": 7, "sha256": "x"}]}, "outside of the backup"),
        (lambda told: {**told, "format": 2}, "format"),
        (lambda told: {**told, "files": 3}, "damaged"),
        (lambda told: {**told, "more": 3}, "damaged"),
        (lambda told: [], "format"),
    ],
)
def test_manifest__that_is_none__is_refused_with_what_is_wrong(folder, spoil, says):
    manifest(GOOD).write(folder)
    path = folder / "manifest.json"
    path.write_text(json.dumps(spoil(json.loads(path.read_text()))))
    with pytest.raises(Invalid, match=says):
        read_manifest(folder)


def test_manifest__missing_or_no_json__is_no_finished_backup(folder):
    with pytest.raises(Invalid, match="no finished backup"):
        read_manifest(folder)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(Invalid, match="damaged"):
        read_manifest(folder)


@pytest.mark.parametrize("name", ["gone", "a"])
def test_file__gone_or_a_link__is_named(folder, name):
    shutil.move(folder / "a", folder / "b")
    (folder / "a").symlink_to(folder / "b")
    assert list(damaged_files(folder, manifest(BackupFile(name, 7, GOOD.sha256)))) == [f"{name} is missing"]


def test_secrets__sealed__open_with_the_passphrase_beside_the_same_manifest_alone():
    sealed = seal_files({"secrets.json": b"\x00secret"}, PASSPHRASE, BESIDE)

    assert open_files(sealed, PASSPHRASE, BESIDE) == {"secrets.json": b"\x00secret"}
    assert b"secret" not in sealed.replace(b"sealed", b"")
    for passphrase, beside in (("another one entirely", BESIDE), (PASSPHRASE, b"another manifest")):
        with pytest.raises(Invalid, match="do not open"):
            open_files(sealed, passphrase, beside)
    for damaged in (b"", b"[]", b"{}", sealed.replace(b'"salt"', b'"sand"')):
        with pytest.raises(Invalid, match="damaged"):
            open_files(damaged, PASSPHRASE, BESIDE)
