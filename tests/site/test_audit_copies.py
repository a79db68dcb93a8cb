"""Second places for checkpoints, and calls out of the house."""

import json
import socket

import pytest
from django.conf import settings as site_settings
from django.core.management import call_command
from django.urls import reverse

from mlorch_site import beat
from mlorch_site.accounts.actor import Actor
from mlorch_site.audit.chain import Walk, format_time
from mlorch_site.audit.checkpointing import checkpoint_write, checkpoints_begin_anew
from mlorch_site.audit.checkpoints import CheckpointFile, line_hash, signed
from mlorch_site.audit.copy_delivery import (
    CLAIM,
    OVERDUE,
    RETRY_FIRST,
    RETRY_MAX,
    copies_send,
    copy_standings,
    is_copy_due,
)
from mlorch_site.audit.merkle import Peaks
from mlorch_site.audit.models import AuditHead, AuditRecord, CopyDelivery
from mlorch_site.audit.signing import signing_key
from mlorch_site.audit.verification import standing, verify
from mlorch_site.audit.verification_runs import told
from mlorch_site.lib import clock, outgoing
from mlorch_site.lib.errors import Unavailable
from tests.support.checkpoint_places import checkpoints, web_server
from tests.support.folders import short_folder
from tests.support.live import signed_in
from tests.support.tampering import acts, cut, rewrite


@pytest.fixture(autouse=True)
def folder(db, settings, tmp_path):
    settings.DATA_DIR, settings.AUDIT_CHECKPOINT_DIR = tmp_path, str(tmp_path / "audit")
    return tmp_path / "audit"


@pytest.fixture
def server():
    with web_server() as found:
        yield found


def url_of(server) -> str:
    return f"http://localhost:{server.server_port}/checkpoints"


def delivered() -> dict[str, int]:
    return {copy.label: copy.delivered_size for copy in copy_standings()}


def test_folder_copy__gets_the_same_lines(folder, settings, tmp_path):
    settings.AUDIT_COPY_DIR = str(tmp_path / "elsewhere")
    for _ in range(2):
        checkpoints(1)
        copies_send(now=clock.now())

    name = "checkpoints.jsonl"
    assert (tmp_path / "elsewhere" / name).read_bytes() == (folder / name).read_bytes()


def test_folder_copy__whose_row_is_lost__gets_nothing_twice(folder, settings, tmp_path):
    settings.AUDIT_COPY_DIR = str(tmp_path / "elsewhere")
    checkpoints(3)
    copies_send(now=clock.now())
    CopyDelivery.objects.all().delete()
    checkpoints(1)
    copies_send(now=clock.now())

    name = "checkpoints.jsonl"
    assert (tmp_path / "elsewhere" / name).read_bytes() == (folder / name).read_bytes()


def test_syslog_copy__gets_the_checkpoint(settings):
    with short_folder() as place, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(f"{place}/log")
        server.settimeout(5)
        settings.AUDIT_COPY_SYSLOG = f"{place}/log"
        (made,) = checkpoints(1)
        copies_send(now=clock.now())
        heard = server.recv(65536)

    assert heard == b"<109>mlorch-audit: " + made.line()


@pytest.fixture
def webhook(settings, server):
    settings.AUDIT_COPY_WEBHOOK, settings.OUTGOING_PRIVATE_NETWORKS = url_of(server), ["127.0.0.0/8", "::1/128"]
    return server


def test_webhook_copy__new__gets_the_newest_and_then_each(webhook):
    before = checkpoints(3)
    copies_send(now=clock.now())
    after = checkpoints(2)
    copies_send(now=clock.now())

    assert [json.loads(body)["size"] for body in webhook.heard] == [made.size for made in (before[-1], *after)]


def test_copy__that_failed__gets_all_it_lacks_in_order_when_its_time_has_come(webhook, time_machine):
    now = clock.now()
    time_machine.move_to(now, tick=False)
    webhook.status = 503
    checkpoints(3)
    copies_send(now=now)
    assert not is_copy_due()
    copies_send(now=now)  # too early
    webhook.status = 200
    assert [json.loads(body)["size"] for body in webhook.heard] == [3]
    later = now + RETRY_FIRST
    time_machine.move_to(later, tick=False)
    checkpoints(2)
    assert is_copy_due()
    copies_send(now=later)

    assert [json.loads(body)["size"] for body in webhook.heard] == [3, 3, 4, 5]
    assert delivered() == {"webhook at localhost": 5}
    assert not is_copy_due()


def test_copy__that_failed_in_the_middle__goes_on_there(webhook, time_machine):
    checkpoints(1)
    copies_send(now=clock.now())
    lines = checkpoints(3)
    webhook.takes = 2
    copies_send(now=clock.now())
    row = CopyDelivery.objects.get()
    assert (row.failures, row.last_error, row.delivered_size) == (1, "The answer was 503.", 2)
    webhook.takes = 1000
    copies_send(now=row.next_attempt_at)

    assert [json.loads(body)["size"] for body in webhook.heard] == [1, 2, 3, 3, 4]
    assert CopyDelivery.objects.get().delivered_line == line_hash(lines[-1].line())


def test_copy__that_goes_on_failing__is_tried_ever_more_seldom_up_to_a_limit(webhook, time_machine):
    webhook.status = 503
    checkpoints(1)
    now, waits = clock.now(), []
    for _ in range(9):
        time_machine.move_to(now, tick=False)
        copies_send(now=now)
        row = CopyDelivery.objects.get()
        waits.append(row.next_attempt_at - now)
        now = row.next_attempt_at

    assert waits[:3] == [RETRY_FIRST, RETRY_FIRST * 2, RETRY_FIRST * 4]
    assert waits[-1] == RETRY_MAX
    assert row.failures == 9


def test_copy__that_somebody_else_is_sending__is_left_to_them(webhook):
    checkpoints(1)
    copies_send(now=clock.now())
    checkpoints(1)
    CopyDelivery.objects.update(next_attempt_at=clock.now() + CLAIM)
    copies_send(now=clock.now())

    assert len(webhook.heard) == 1


def test_copies__that_fail__hold_nothing_up(settings, tmp_path, folder, webhook):
    (tmp_path / "file").write_text("")
    settings.AUDIT_COPY_DIR = str(tmp_path / "file" / "below")
    settings.AUDIT_COPY_SYSLOG = str(tmp_path / "nobody")
    settings.AUDIT_COPY_S3 = "not a place"
    checkpoints(1)
    copies_send(now=clock.now())

    assert len((folder / "checkpoints.jsonl").read_text().splitlines()) == 1
    assert len(webhook.heard) == 1
    errors = {copy.label: copy.last_error for copy in copy_standings()}
    assert "cannot be written (NotADirectoryError)" in errors[settings.AUDIT_COPY_DIR]
    assert "does not take it (FileNotFoundError)" in errors[settings.AUDIT_COPY_SYSLOG]
    assert errors["not a place"] == "MLORCH_AUDIT_COPY_S3 has to be s3://bucket or s3://bucket/prefix."
    assert errors["webhook at localhost"] == ""


def test_our_own_file__with_a_line_that_is_none__is_not_passed_on(webhook, folder):
    checkpoints(1)
    copies_send(now=clock.now())
    with (folder / "checkpoints.jsonl").open("a") as file:
        file.write("nonsense\n")
    AuditHead.objects.update(checkpoint_size=2)
    copies_send(now=clock.now())

    assert len(webhook.heard) == 1
    assert "no checkpoint; nothing is sent after it" in copy_standings()[0].last_error


def test_begun_anew__copies_get_the_new_series_after_the_old(settings, tmp_path, webhook):
    settings.AUDIT_COPY_DIR = str(tmp_path / "elsewhere")
    checkpoints(5)
    copies_send(now=clock.now())
    cut(2)
    assert "5 records were signed" in standing().problem
    made = checkpoints_begin_anew(actor=Actor.controller("operator"), reason="restored")
    assert (verify().problem, standing().problem) == ("", "")
    copies_send(now=clock.now())

    assert verify().holds
    assert "1 series of checkpoints" in verify().note
    assert standing().problem == ""
    sizes = [json.loads(line)["size"] for line in (tmp_path / "elsewhere" / "checkpoints.jsonl").open()]
    assert sizes == [1, 2, 3, 4, 5, made.size]
    assert delivered() == {settings.AUDIT_COPY_DIR: made.size, "webhook at localhost": made.size}


def test_begun_anew__without_a_record_that_says_so__the_copy_tells(settings, tmp_path, folder):
    settings.AUDIT_COPY_DIR = str(tmp_path / "elsewhere")
    checkpoints(5)
    copies_send(now=clock.now())
    rewrite()
    (folder / "checkpoints.jsonl").unlink()
    AuditHead.objects.update(checkpoint_size=0)
    checkpoint_write(now=clock.now())
    copies_send(now=clock.now())

    assert verify().problem.endswith(f"they were rewritten, as {settings.AUDIT_COPY_DIR} shows.")


def test_verify__one_of_two_copies_disagrees__is_named(settings, tmp_path):
    settings.AUDIT_COPY_DIR = str(tmp_path / "elsewhere")
    checkpoints(2)
    copies_send(now=clock.now())
    other = Walk(1, "f" * 64, Peaks(1, [b"f" * 32]))
    forged = signed(other, at="2026-01-01T00:00:00.000000Z", previous=b"", key=signing_key())
    CheckpointFile(tmp_path / "elsewhere").add(forged.line())

    assert verify().problem.startswith(f"The checkpoint of 1 records in {settings.AUDIT_COPY_DIR} is of other records")


def test_verify__says_what_is_newer_than_the_last_checkpoint_and_since_when(folder):
    checkpoints(1)
    acts(2)
    since = AuditRecord.objects.get(sequence=2).at
    result = verify()

    assert (result.unsigned, result.unsigned_since) == (2, format_time(since))
    assert result.note == f"Only the chain vouches for the newest 2, recorded since {format_time(since)}."
    assert (told(result)["unsigned"], told(result)["compared"]) == (2, [str(folder / "checkpoints.jsonl")])
    checkpoint_write(now=clock.now())
    assert verify().note == ""


def test_pages__copy_that_is_overdue__is_a_warning_to_auditors(people, settings, webhook, time_machine):
    webhook.status = 503
    checkpoints(1)
    copies_send(now=clock.now())
    for page in ("audit", "system"):
        text = signed_in("ada").get(reverse(page)).content.decode()
        assert "The answer was 503." in text
        assert "has lacked checkpoints since" not in text
    time_machine.move_to(clock.now() + OVERDUE)
    for page in ("audit", "system"):
        text = signed_in("ada").get(reverse(page)).content.decode()
        assert "webhook at localhost has lacked checkpoints since" in text
    assert "Copies of checkpoints" not in signed_in("vik").get(reverse("system")).content.decode()


def test_command__sends_and_says_where_each_copy_is(webhook, capsys):
    webhook.status = 503
    acts(1)
    call_command("audit_checkpoint")

    assert "webhook at localhost: delivered up to 0 records, 1 wait: The answer was 503." in capsys.readouterr().out


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://127.0.0.1:9/",
            "http://localhost:9/",
            "http://[::1]:9/",
            "http://10.0.0.1/",
            "http://169.254.169.254/",
        ),
        *("http://[::ffff:127.0.0.1]/", "http://0.0.0.0/", "http://2130706433/"),
    ],
)
def test_outgoing__address_that_is_not_public__is_refused(url):
    with pytest.raises(Unavailable, match=r"not public|no address"):
        outgoing.post(url, b"", "application/json")


@pytest.mark.parametrize("url", ["ftp://example.org/", "file:///etc/passwd", "http://a:b@example.org/", "http://:80/"])
def test_outgoing__other_schemes_and_names__are_refused(url):
    with pytest.raises(Unavailable, match="Only http and https"):
        outgoing.post(url, b"", "application/json")


def test_outgoing__redirect__is_not_followed(settings, server):
    settings.OUTGOING_PRIVATE_NETWORKS = ["127.0.0.0/8", "::1/128"]
    server.status = 307

    assert outgoing.post(url_of(server), b"x", "text/plain") == 307
    assert server.heard == [b"x"]


def test_beat__closed_in_order__leaves_a_checkpoint(folder):
    acts(3)
    beat._carry_out(beat.import_string(site_settings.CELERY_BEAT_LAST_ACT))

    assert json.loads((folder / "checkpoints.jsonl").read_text())["size"] == 3
