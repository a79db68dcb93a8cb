"""A copy of the tests' database into which threads write for real; it is gone afterwards. For races: what a test writes
inside its own transaction no other connection sees.
"""

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db import OperationalError, connections

ALIAS = "default"


@contextmanager
def own_database(folder: Path) -> Iterator[None]:
    """Let every connection that is opened meanwhile, on whatever thread, be one to the copy."""
    original = connections[ALIAS]
    name, settings = original.settings_dict["NAME"], original.settings_dict
    is_sqlite = original.vendor == "sqlite"
    copy = str(folder / "copy.sqlite3") if is_sqlite else f"copy_{uuid.uuid4().hex[:12]}"
    _copied_file(original, copy) if is_sqlite else _copied_database(original, name, copy)
    settings["NAME"] = copy
    del connections[ALIAS]
    try:
        yield
    finally:
        connections[ALIAS].close()
        settings["NAME"] = name
        connections[ALIAS] = original
        if not is_sqlite:
            _do(original, f'DROP DATABASE "{copy}" WITH (FORCE)')


def _copied_file(original: Any, path: str) -> None:
    original.ensure_connection()
    target = sqlite3.connect(path)
    original.connection.backup(target)
    target.close()


def _copied_database(original: Any, name: str, copy: str) -> None:
    statement = f'CREATE DATABASE "{copy}" TEMPLATE "{name}"'
    try:
        _do(original, statement)
    except OperationalError:  # a thread of an earlier test has left its connection open
        _do(original, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        _do(original, statement)


def _do(original: Any, statement: str) -> None:
    """Execute a statement about whole databases, while no connection to the original is open."""
    original.close()
    with original._nodb_cursor() as cursor:
        cursor.execute(statement)
