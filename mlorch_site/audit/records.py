"""Records as they are stored, read past the models: what the database holds is compared, not what it is taken for."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from django.db import Error, connection

from mlorch_site.audit.models import AuditRecord

READ_AT_ONCE = 5000
SEQUENCE_MAX = 2**63 - 1
TEXTS = (
    "actor_kind",
    "actor",
    "on_behalf_of",
    "address",
    "request_id",
    "action",
    "subject_kind",
    "subject_id",
    "subject_label",
    "reason",
)
UTC_MARK = "Z"


class StoredRecord(NamedTuple):
    """One record: its place, what links it, and what its hash covers."""

    sequence: int
    previous_hash: str
    hash: str
    content: dict[str, Any]


class Unreadable(Exception):
    """A row that no longer holds what a record is made of."""


def stored_records(after: int = 0, until: int = SEQUENCE_MAX) -> Iterator[StoredRecord]:
    """The records after sequence `after` up to `until`, oldest first. Raises Unreadable at the first that cannot be
    read.
    """
    read_row = _read_sqlite if connection.vendor == "sqlite" else _read_postgresql
    at = 'CAST("at" AS TEXT)' if connection.vendor == "sqlite" else "\"at\" AT TIME ZONE 'UTC'"
    columns = ", ".join(["sequence", "previous_hash", "hash", at, '"data"', *TEXTS])
    table = AuditRecord._meta.db_table
    statement = f'SELECT {columns} FROM "{table}" WHERE sequence > %s AND sequence <= %s ORDER BY sequence'  # noqa: S608 - names of ours
    try:
        with connection.chunked_cursor() as cursor:
            cursor.cursor.itersize = READ_AT_ONCE
            cursor.execute(statement, [after, until])
            for row in cursor:
                yield read_row(row)
    except (Error, ValueError, TypeError, RecursionError) as error:
        raise Unreadable(type(error).__name__) from error


def _read_sqlite(row: tuple[Any, ...]) -> StoredRecord:
    """A row of text, which has to be written exactly as Django writes it: other bytes with the same meaning are a
    change too.
    """
    moment, data = datetime.fromisoformat(row[3]), json.loads(row[4])
    if str(moment) != row[3] or json.dumps(data) != row[4]:
        raise ValueError("written in another way")
    return _record(row, moment, data)


def _read_postgresql(row: tuple[Any, ...]) -> StoredRecord:
    data = json.loads(row[4]) if isinstance(row[4], str) else row[4]
    return _record(row, row[3], data)


def _record(row: tuple[Any, ...], moment: datetime, data: Any) -> StoredRecord:
    content = dict(zip(TEXTS, row[5:], strict=True))
    content["sequence"], content["data"] = row[0], data
    content["at"] = moment.isoformat(timespec="microseconds") + UTC_MARK
    return StoredRecord(row[0], row[1], row[2], content)
