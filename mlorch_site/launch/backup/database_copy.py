"""A consistent copy of the database while others write, and the way back: SQLite's own backup, pg_dump, pg_restore."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import connection, connections, transaction

from mlorch_site.lib.errors import Conflict, Unavailable

SQLITE_FILE, POSTGRESQL_FILE = "database.sqlite3", "database.dump"
HEAD = "SELECT sequence, hash FROM audit_audithead WHERE id = 1"
MIGRATIONS = "SELECT app, name FROM django_migrations ORDER BY app, id"
SAID_MAX_CHARS = 500


@dataclass(frozen=True)
class CopiedDatabase:
    """What the copy holds: length and newest hash of the audit record, and the migrations applied, by app."""

    records: int
    head: str
    migrations: dict[str, list[str]]


def engine() -> str:
    """`sqlite` or `postgresql`."""
    return connection.vendor


def file_name() -> str:
    """What the copy is called in a backup."""
    return SQLITE_FILE if engine() == "sqlite" else POSTGRESQL_FILE


def copy_database(folder: Path) -> CopiedDatabase:
    """Write the database, as it is at one moment, into the folder. Raises Unavailable."""
    if engine() == "sqlite":
        target = folder / SQLITE_FILE
        copy_sqlite(Path(connection.settings_dict["NAME"]), target)
        with closing(sqlite3.connect(target)) as copy:
            return _told(copy.execute(HEAD).fetchone(), copy.execute(MIGRATIONS))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        cursor.execute("SELECT pg_export_snapshot()")
        [snapshot] = cursor.fetchone()
        cursor.execute(HEAD)
        head = cursor.fetchone()
        cursor.execute(MIGRATIONS)
        told = _told(head, cursor.fetchall())
        file = f"--file={folder / POSTGRESQL_FILE}"
        _run("pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}", file)
    return told


def _told(head: tuple[int, str] | None, rows: Iterable[tuple[str, str]]) -> CopiedDatabase:
    if head is None:
        raise Unavailable("The audit record's head row is missing; run audit_verify, and see what happened.")
    migrations: dict[str, list[str]] = {}
    for app, name in rows:
        migrations.setdefault(app, []).append(name)
    return CopiedDatabase(*head, migrations)


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy an SQLite database in one step, in which nobody writes. Raises Unavailable."""
    try:
        with (
            closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True, timeout=60)) as here,
            closing(sqlite3.connect(target)) as there,
        ):
            here.backup(there)
    except sqlite3.Error as error:
        raise Unavailable(f"The database {source} cannot be copied: {error}.") from error


def why_not_empty() -> str:
    """Why nothing may be restored into the database that is configured; empty when it is an empty one."""
    if engine() == "sqlite":
        path = Path(connection.settings_dict["NAME"])
        return f"There is a database already: {path}." if path.exists() else ""
    tables = connection.introspection.table_names()
    return f"The database has {len(tables)} tables already, such as {tables[0]}." if tables else ""


def restore_database(folder: Path) -> None:
    """Restore the copy in the folder into the empty database, all of it or nothing. Raises Unavailable, Conflict."""
    if reason := why_not_empty():
        raise Conflict(reason)
    connections.close_all()
    if engine() == "postgresql":
        name = f"--dbname={connection.settings_dict['NAME']}"
        _run("pg_restore", "--no-owner", "--exit-on-error", "--single-transaction", name, str(folder / POSTGRESQL_FILE))
        return
    path = Path(connection.settings_dict["NAME"])
    unfinished = path.with_name(f".{path.name}.restoring")
    shutil.copyfile(folder / SQLITE_FILE, unfinished)
    unfinished.chmod(0o600)
    unfinished.replace(path)


def _run(program: str, *arguments: str) -> None:
    path = shutil.which(program)
    if path is None:
        raise Unavailable(f"{program} is not installed here; it comes with PostgreSQL's client programs.")
    done = subprocess.run([path, *arguments], env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"{program} says: {done.stderr.strip()[:SAID_MAX_CHARS]}")


def _environment() -> dict[str, str]:
    """How PostgreSQL's programs reach the database. The password is not among the arguments, which others can see."""
    known: dict[str, Any] = connection.settings_dict
    names = {"PGHOST": "HOST", "PGPORT": "PORT", "PGUSER": "USER", "PGPASSWORD": "PASSWORD", "PGDATABASE": "NAME"}
    told = {name: str(known[key]) for name, key in names.items() if known.get(key)}
    options = known.get("OPTIONS") or {}
    told |= {f"PG{key.upper()}": str(value) for key, value in options.items() if key.startswith("ssl")}
    return told | {"PATH": os.defpath}  # what Debian installs looks for the program of the right version itself
