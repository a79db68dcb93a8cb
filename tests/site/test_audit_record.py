"""What the verifier finds when somebody changed the record, with and without checkpoints."""

import json
import sqlite3
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.urls import reverse

from mlorch_site.accounts.actor import Actor
from mlorch_site.audit import checkpointing
from mlorch_site.audit.checkpointing import checkpoint_if_due, checkpoint_write, checkpoints_begin_anew, is_due
from mlorch_site.audit.copy_delivery import copies_send
from mlorch_site.audit.models import AuditHead, AuditRecord
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.audit.verification import standing, verify
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Unavailable
from tests.support.live import signed_in
from tests.support.tampering import acts, cut, rewrite, without_triggers


@pytest.fixture(autouse=True)
def folder(db, settings, tmp_path):
    """A data directory and a folder of checkpoints of the test's own."""
    settings.DATA_DIR, settings.AUDIT_CHECKPOINT_DIR = tmp_path, str(tmp_path / "audit")
    return tmp_path / "audit"


def signed(count: int) -> None:
    acts(count)
    assert checkpoint_write(now=clock.now()).size == AuditHead.objects.get().sequence


def test_untouched__with_checkpoints_between__holds(folder):
    signed(7)
    signed(5)
    acts(2)
    result = verify()

    assert (result.holds, result.checked, result.newest.size) == (True, 14, 12)
    assert standing().problem == ""
    assert len((folder / "checkpoints.jsonl").read_text().splitlines()) == 2


def test_no_checkpoint_yet__is_said():
    acts(1)
    assert verify().note == "No checkpoint outside the database vouches for it yet."


def test_tail_cut_and_head_set_back__is_found():
    signed(30)
    cut(10)

    assert verify().problem.startswith("Records #11 to #30, signed at ")
    assert "only 10 are there" in standing().problem


def test_wiped__is_found():
    signed(30)
    cut(0)

    assert verify().problem.startswith("Records #1 to #30, signed at ")
    assert "only 0 are there" in standing().problem


def test_rewritten_as_a_whole__is_found():
    signed(30)
    rewrite()

    assert "they were rewritten" in verify().problem
    assert "the record was rewritten" in standing().problem


def test_tail_cut__then_others_appended__is_found():
    signed(30)
    cut(10)
    acts(25)

    assert "they were rewritten" in verify().problem


def test_head_missing__is_a_sentence_everywhere(people):
    acts(3)
    without_triggers()
    browser = signed_in("ada")
    AuditHead.objects.all().delete()

    assert verify().problem == "The head row is missing, so nothing says how many records there were."
    with pytest.raises(CommandError, match="The head row is missing"):
        call_command("audit_verify")
    assert "head row is missing" in browser.post(reverse("audit-verify")).content.decode()
    with pytest.raises(Unavailable, match="head row is missing"):
        acts(1)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_auditrecord SET reason = 'x' WHERE sequence = 2",
        "DELETE FROM audit_auditrecord WHERE sequence = 2",
        "DELETE FROM audit_auditrecord",
        "DELETE FROM audit_audithead",
        "UPDATE audit_audithead SET sequence = 1",
    ],
)
def test_statement__that_changes_what_was_recorded__is_refused(statement):
    acts(3)
    with pytest.raises(DatabaseError, match=r"append-only|only goes on"), transaction.atomic():
        connection.cursor().execute(statement)
    assert verify().holds


@pytest.mark.parametrize(("table", "key"), [("audit_auditrecord", "sequence"), ("audit_audithead", "id")])
def test_replace__of_what_is_there__is_refused(table, key):
    acts(3)
    replace = f"INSERT OR REPLACE INTO {table} SELECT * FROM {table} LIMIT 1"
    if connection.vendor == "postgresql":
        other = {"audit_auditrecord": "reason = 'x'", "audit_audithead": "sequence = 0"}[table]
        replace = f"INSERT INTO {table} SELECT * FROM {table} LIMIT 1 ON CONFLICT ({key}) DO UPDATE SET {other}"
    with pytest.raises(DatabaseError, match=r"append-only|only goes on"), transaction.atomic():
        connection.cursor().execute(replace)


def test_truncate__on_postgresql__is_refused():
    acts(3)
    statement = "TRUNCATE audit_auditrecord" if connection.vendor == "postgresql" else "DELETE FROM audit_auditrecord"
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        connection.cursor().execute(statement)


def test_replaced_record__without_triggers__is_found():
    acts(4)
    without_triggers()
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE other AS SELECT * FROM audit_auditrecord WHERE sequence = 2")
        cursor.execute("UPDATE other SET actor = 'somebody else'")
        cursor.execute("DELETE FROM audit_auditrecord WHERE sequence = 2")
        cursor.execute("INSERT INTO audit_auditrecord SELECT * FROM other")
    assert verify().problem == "Record #2 was changed after it was written."


TEXT_COLUMNS = [
    *("actor_kind", "actor", "on_behalf_of", "address", "request_id", "action", "subject_kind", "subject_id"),
    *("subject_label", "reason", "previous_hash", "hash"),
]


def wordy_record() -> None:
    actor = Actor(kind="person", name="emma", on_behalf_of="mona", address="192.0.2.7", request_id="request-1")
    with transaction.atomic():
        audit_record(actor, "a.b", Subject("k", "7", "näme"), reason="büt", data={"é": [1, None, {"a b": -0.5}]})


@pytest.mark.parametrize("column", TEXT_COLUMNS)
def test_byte_flipped__in_any_text__is_found(column):
    wordy_record()
    without_triggers()
    text = AuditRecord.objects.values_list(column, flat=True).get()
    assert text
    for index, letter in enumerate(text):
        changed = text[:index] + chr(ord(letter) ^ 1) + text[index + 1 :]
        AuditRecord.objects.update(**{column: changed})
        assert not verify().holds, f"{column}: {changed}"
    AuditRecord.objects.update(**{column: text})
    assert verify().holds


TYPES = {"data": "jsonb", "at": "timestamptz", "sequence": "bigint"}


def _flipped(stored: bytes) -> Iterator[bytes]:
    for place in range(len(stored) * 8):
        changed = bytearray(stored)
        changed[place // 8] ^= 1 << place % 8
        yield bytes(changed)


def _put_in_sqlite(cursor, column: str, changed: bytes) -> bool:
    kind = "INTEGER" if column == "sequence" else "TEXT"
    cursor.execute(f"UPDATE audit_auditrecord SET {column} = CAST(%s AS {kind})", [sqlite3.Binary(changed)])
    return True


def _put_in_postgresql(cursor, column: str, changed: bytes) -> bool:
    """Whether PostgreSQL takes it, and takes it for something else than what was there."""
    statement = f"UPDATE audit_auditrecord SET {column} = CAST(%s AS {TYPES.get(column, 'text')})"
    before = AuditRecord.objects.values_list(column).get()
    try:
        with transaction.atomic():
            cursor.execute(statement, [changed.decode()])
    except (DatabaseError, ValueError):
        return False
    return AuditRecord.objects.values_list(column).get() != before


@pytest.mark.parametrize("column", ["data", "at", "reason", "hash", "sequence"])
def test_byte_flipped__in_what_is_stored__is_found(column):
    """Every bit of it; in SQLite, which keeps text, those that change only the way it is written among them."""
    wordy_record()
    without_triggers()
    is_sqlite = connection.vendor == "sqlite"
    put, tried = _put_in_sqlite if is_sqlite else _put_in_postgresql, 0
    with connection.cursor() as cursor:
        if is_sqlite:
            cursor.execute("PRAGMA ignore_check_constraints = ON")
        cursor.execute(f"SELECT CAST({column} AS {'BLOB' if is_sqlite else 'TEXT'}) FROM audit_auditrecord")
        stored = cursor.fetchone()[0]
        stored = stored if isinstance(stored, bytes) else stored.encode()
        for changed in _flipped(stored):
            if put(cursor, column, changed):
                tried += 1
                assert not verify().holds, changed
            put(cursor, column, stored)
        assert verify().holds
        assert tried > 0
        if is_sqlite:
            cursor.execute("PRAGMA ignore_check_constraints = OFF")


def test_scopes_of_a_record__changed__are_not_what_is_verified():
    """Who is shown a record is no part of it."""
    acts(1)
    AuditRecord.objects.get().scopes.create(scope="model:other")
    assert verify().holds


def test_due__by_age_and_by_number(settings):
    settings.AUDIT_CHECKPOINT_S = 3600
    assert not is_due()
    acts(1)
    assert is_due()
    checkpoint_if_due()
    assert not is_due()
    acts(2)
    assert not is_due()
    AuditHead.objects.update(checkpoint_at=clock.now() - timedelta(hours=2))
    assert is_due()
    AuditHead.objects.update(checkpoint_at=clock.now())
    acts(199)
    assert is_due()


def test_checkpoint__over_a_record_that_was_changed__is_not_signed(folder):
    signed(3)
    acts(3)
    without_triggers()
    AuditRecord.objects.filter(sequence=5).update(reason="other")
    with pytest.raises(Conflict, match="#5 was changed"):
        checkpoint_write(now=clock.now())
    assert len((folder / "checkpoints.jsonl").read_text().splitlines()) == 1


def test_checkpoint__after_a_cut__is_not_signed_until_begun_anew():
    signed(9)
    cut(4)
    with pytest.raises(Conflict, match="9 records were signed and only 4"):
        checkpoint_write(now=clock.now())
    checkpoints_begin_anew(actor=Actor.controller("operator"), reason="restored from the backup of Monday")

    assert verify().holds
    assert AuditRecord.objects.get(action="audit.checkpoints_begun").reason == "restored from the backup of Monday"


def test_checkpoint_file__removed__is_found(folder):
    signed(9)
    (folder / "checkpoints.jsonl").unlink()

    assert "The checkpoint of 9 records is missing" in verify().problem
    assert "The checkpoint of 9 records is missing" in standing().problem


def test_checkpoint_file__line_of_somebody_without_the_key__is_found(folder):
    signed(9)
    file = folder / "checkpoints.jsonl"
    forged = json.loads(file.read_text())
    file.write_text(json.dumps({**forged, "at": "2020-01-01T00:00:00.000000Z"}) + "\n")

    assert "is not signed by a known key" in verify().problem
    assert "is not signed by a known key" in standing().problem
    acts(1)
    with pytest.raises(Conflict, match="not signed by a known key"):
        checkpoint_write(now=clock.now())


def test_checkpoints__cut_and_rewritten_in_one_place__the_second_place_tells(settings, tmp_path):
    settings.AUDIT_COPY_DIR = str(tmp_path / "elsewhere")
    signed(9)
    signed(9)
    copies_send(now=clock.now())
    own = tmp_path / "audit" / "checkpoints.jsonl"
    own.write_bytes(own.read_bytes().splitlines(keepends=True)[0])
    cut(9)
    AuditHead.objects.update(checkpoint_size=9)

    assert verify().problem.startswith("Records #10 to #18, signed at ")


def test_key__made_private__and_public_beside_the_checkpoints(folder, tmp_path):
    signed(1)
    assert (tmp_path / "audit-signing-key.pem").stat().st_mode & 0o777 == 0o600
    assert "PUBLIC KEY" in (folder / "public-key.pem").read_text()


def test_key__of_the_operator_s__is_not_made_when_missing(settings, tmp_path):
    settings.AUDIT_KEY_FILE = str(tmp_path / "nothing.pem")
    acts(1)
    with pytest.raises(Unavailable, match=r"nothing\.pem, cannot be read"):
        checkpoint_write(now=clock.now())
    assert "cannot be read" in verify().problem


def test_page__checkpoints_that_do_not_come__are_told(people, time_machine):
    signed(3)
    time_machine.move_to(clock.now() + timedelta(minutes=20))
    acts(2)
    assert standing().note == ""
    time_machine.move_to(clock.now() + timedelta(minutes=11))
    assert standing().note.startswith("2 of them wait for a checkpoint since ")
    assert "wait for a checkpoint" in signed_in("ada").get(reverse("audit")).content.decode()


def test_refused_checkpoint__tried_again_and_again__is_logged_once(settings, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    settings.AUDIT_CHECKPOINT_DIR = str(tmp_path / "file" / "below")
    said = []
    monkeypatch.setattr(checkpointing.log, "error", lambda event, **values: said.append(values["reason"]))
    acts(1)
    for _ in range(3):
        checkpoint_if_due()
    assert len(said) == 1
    assert "cannot be written" in said[0]


def test_page__says_how_many_and_what_is_signed(people):
    signed(3)
    page = " ".join(signed_in("ada").get(reverse("audit")).content.decode().split())
    assert "last checkpoint at" in page
    assert "its end holds" in page
    cut(1)
    page = " ".join(signed_in("ada").get(reverse("audit")).content.decode().split())
    assert "does not hold: 3 records were signed" in page
