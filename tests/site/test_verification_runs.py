"""The whole record is verified apart from requests, once for all who ask, and not as often as anybody likes."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test import TestCase
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from mlorch_site.audit import verification_runs
from mlorch_site.audit.checkpointing import checkpoint_write
from mlorch_site.audit.models import AuditRecord, VerificationRun
from mlorch_site.audit.tasks import verify as verify_task
from mlorch_site.audit.verification_runs import (
    LEASE,
    VERIFY_AGAIN_AFTER,
    is_waiting,
    verification_ask,
    verification_carry_out,
    verification_run,
)
from mlorch_site.lib import clock, enqueue
from mlorch_site.lib.errors import Forbidden, TooMany
from tests.support.live import signed_in
from tests.support.tampering import acts, cut


@pytest.fixture(autouse=True)
def folder(db, settings, tmp_path):
    """A data directory and a folder of checkpoints of the test's own."""
    settings.DATA_DIR, settings.AUDIT_CHECKPOINT_DIR = tmp_path, str(tmp_path / "audit")


def asked() -> list[str]:
    return list(
        AuditRecord.objects.filter(action="audit.verification_asked")
        .order_by("sequence")
        .values_list("actor", flat=True)
    )


def test_page__asked_for__reads_no_record_and_sends_the_task_after_the_commit(people, monkeypatch):
    acts(30)
    sent = []
    monkeypatch.setattr(
        enqueue.current_app, "send_task", lambda name, *rest, **more: sent.append((name, more["queue"]))
    )
    browser = signed_in("emma")
    with CaptureQueriesContext(connection) as seen, TestCase.captureOnCommitCallbacks(execute=True):
        page = browser.post(reverse("audit-verify")).content.decode()

    assert "0 of" in page
    assert sent == [("audit.verify", "work")]
    assert not [query for query in seen if "previous_hash" in query["sql"] and "ORDER BY sequence" in query["sql"]]


def test_asked_twice__by_two_people__is_one_verification(people):
    first = verification_ask(actor=people.emma.actor)
    second = verification_ask(actor=people.ada.actor)
    page = signed_in("rita").get(reverse("audit")).content.decode()

    assert (second.asked_at, second.asked_by) == (first.asked_at, "emma")
    assert asked() == ["emma"]
    assert "Being verified for emma" in page


def test_carried_out__says_what_holds_with_its_time(people):
    acts(3)
    checkpoint_write(now=clock.now())
    verification_ask(actor=people.emma.actor)
    verify_task()
    run = verification_run()
    page = " ".join(signed_in("rita").get(reverse("audit")).content.decode().split())

    assert (run.is_wanted, run.result["holds"], run.result["checked"]) == (False, True, 4)
    assert run.result["checkpoint"]["size"] == 3
    assert "The chain holds: 4 records, 3 of them signed at" in page
    assert f"Verified at {run.finished_at:%Y-%m-%d}" in page


def test_carried_out__of_a_record_that_was_cut__is_told(people):
    acts(30)
    checkpoint_write(now=clock.now())
    cut(10)
    verification_ask(actor=people.ada.actor)
    verify_task()

    assert not verification_run().result["holds"]
    assert "Records #12 to #30, signed at" in signed_in("ada").get(reverse("audit")).content.decode()


def test_progress__told_after_each_step(people, monkeypatch):
    acts(10)
    monkeypatch.setattr(verification_runs, "RECORDS_A_STEP", 4)
    verification_ask(actor=people.emma.actor)
    told = []
    write = verification_runs._write
    monkeypatch.setattr(
        verification_runs, "_write", lambda epoch, **values: told.append(values["checked"]) or write(epoch, **values)
    )
    verification_carry_out()

    assert told == [4, 8, 11, 11]
    assert verification_run().total == 11


def test_record__missing_for_more_than_a_step__is_found(people, monkeypatch):
    acts(12)
    monkeypatch.setattr(verification_runs, "RECORDS_A_STEP", 3)
    cut(12)
    AuditRecord.objects.filter(sequence__gt=2, sequence__lt=11).delete()
    verification_ask(actor=people.ada.actor)
    verification_carry_out()

    assert verification_run().result["problem"] == "Record #3 is missing: the next one is #11."


def test_again__soon__only_by_an_administrator(people, time_machine):
    verification_ask(actor=people.emma.actor)
    verification_carry_out()
    with pytest.raises(TooMany, match="the next may begin in 10 minutes") as refused:
        verification_ask(actor=people.rita.actor)

    assert 0 < refused.value.retry_after_s <= VERIFY_AGAIN_AFTER.total_seconds()
    answer = signed_in("rita").post("/api/v1/audit/verify")
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "too_many")
    assert "may begin in 10 minutes" in signed_in("rita").post(reverse("audit-verify")).content.decode()
    assert asked() == ["emma"]
    verification_ask(actor=people.ada.actor)
    verification_carry_out()
    time_machine.move_to(clock.now() + VERIFY_AGAIN_AFTER)
    verification_ask(actor=people.rita.actor)
    assert asked() == ["emma", "ada", "rita"]


def test_ask__without_the_role__forbidden(people):
    with pytest.raises(Forbidden):
        verification_ask(actor=people.vik.actor)
    assert not VerificationRun.objects.filter(is_wanted=True).exists()


def test_two_workers__one_carries_it_out(people, monkeypatch):
    acts(3)
    verification_ask(actor=people.emma.actor)
    walks = []
    verify = verification_runs.verify

    def with_another(records):
        walks.append(1)
        verification_carry_out()
        return verify(records)

    monkeypatch.setattr(verification_runs, "verify", with_another)
    verification_carry_out()
    verification_carry_out()

    assert len(walks) == 1


def test_worker__dies__another_takes_over_and_the_first_writes_nothing_more(people, time_machine, monkeypatch):
    acts(3)
    verification_ask(actor=people.emma.actor)
    verify = verification_runs.verify

    def after_its_lease(records):
        monkeypatch.setattr(verification_runs, "verify", verify)
        assert not is_waiting()
        time_machine.move_to(clock.now() + LEASE + timedelta(seconds=1))
        assert is_waiting()
        verification_carry_out()
        VerificationRun.objects.update(result={"holds": True, "checked": 77})
        return verify(records)

    monkeypatch.setattr(verification_runs, "verify", after_its_lease)
    verification_carry_out()

    assert verification_run().result["checked"] == 77


def test_beat__asked_for_and_the_message_lost__is_waiting(people):
    assert not is_waiting()
    verification_ask(actor=people.emma.actor)
    assert is_waiting()
    verification_carry_out()
    assert not is_waiting()


def test_api__asked_and_read(people):
    acts(3)
    browser = signed_in("ada")
    assert browser.get("/api/v1/audit/verify").json()["state"] == "never asked for"
    answer = browser.post("/api/v1/audit/verify")
    assert (answer.status_code, answer.json()["state"], answer.json()["holds"]) == (202, "under way", None)
    verification_carry_out()
    said = browser.get("/api/v1/audit/verify").json()

    assert (said["state"], said["holds"], said["asked_by"]) == ("ended", True, "ada")
    assert said["checked"] == said["total"]
    assert said["root"]
