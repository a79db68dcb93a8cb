"""Advisories: which versions a flaw is about, how bad it is, and files that are not taken."""

import io
import json
import zipfile
from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError

from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid
from registry.evidence import advisory_files
from registry.evidence.advisories import Concern, Severity, concern, flaw_of, read_advisories
from registry.evidence.advisory_files import advisories_in_force, advisories_refresh
from registry.evidence.services import advisories as services
from registry.evidence.services.advisories import advisories_load
from registry.models import Advisory, AdvisorySet

CRITICAL = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"  # 9.8 by the standard's calculator
LOW = "CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N"  # 1.8


def advisory(number: str = "PYSEC-1", package: str = "Tiny.Thing", **changes) -> dict:
    """One advisory: everything before 1.4 is affected, and 2.0 up to 2.1."""
    events = [{"introduced": "0"}, {"fixed": "1.4"}, {"introduced": "2.0"}, {"last_affected": "2.1"}]
    affected = {
        "package": {"ecosystem": "PyPI", "name": package},
        "ranges": [{"type": "ECOSYSTEM", "events": events}, {"type": "GIT", "events": [{"introduced": "abc"}]}],
    }
    return {
        "schema_version": "1.6.0",
        "id": number,
        "modified": "2026-11-01T00:00:00Z",
        "summary": "It thinks too small.",
        "affected": [affected],
        **changes,
    }


def raw(*entries: dict) -> bytes:
    return json.dumps(list(entries)).encode()


def flaw(**changes):
    return flaw_of(read_advisories(raw(advisory(**changes))).rows[0].content)


def listed(*versions: str, events: list | None = None) -> list:
    ranges = [{"type": "ECOSYSTEM", "events": events}] if events is not None else []
    return [{"package": {"ecosystem": "PyPI", "name": "t"}, "versions": list(versions), "ranges": ranges}]


@pytest.mark.parametrize(
    ("version", "wanted"),
    [
        ("0.0.1.dev0", Concern.AFFECTED),
        ("1.3.9", Concern.AFFECTED),
        ("1.4rc1", Concern.AFFECTED),
        ("1.4", Concern.CLEAR),
        ("1.4+cu118", Concern.CLEAR),
        ("1.9", Concern.CLEAR),
        ("2.0", Concern.AFFECTED),
        ("2.1", Concern.AFFECTED),
        ("2.1+local", Concern.AFFECTED),
        ("2.1.post1", Concern.CLEAR),
        ("1!1.0", Concern.CLEAR),
        ("not a version", Concern.CANNOT_TELL),
    ],
)
def test_verdict__ranges__the_last_event_before_the_version_decides(version, wanted):
    assert concern(flaw(), version) is wanted


@pytest.mark.parametrize(
    ("affected", "version", "wanted"),
    [
        (listed("1.0", "1.1"), "1.1.0", Concern.AFFECTED),
        (listed("1.0"), "1.0+cpu", Concern.AFFECTED),
        (listed("1.0"), "1.2", Concern.CLEAR),
        (listed("weird"), "1.2", Concern.CLEAR),
        (listed(), "1.2", Concern.CANNOT_TELL),
        (listed(events=[{"introduced": "not a version"}]), "1.2", Concern.CANNOT_TELL),
        (listed(events=[{"limit": "3"}]), "1.2", Concern.CANNOT_TELL),
        (listed("1.2", events=[{"introduced": "3"}]), "1.2", Concern.AFFECTED),
    ],
)
def test_verdict__listed_versions_and_what_says_nothing(affected, version, wanted):
    assert concern(flaw(affected=affected), version) is wanted


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, Severity.UNKNOWN),
        ({"severity": [{"type": "CVSS_V3", "score": CRITICAL}]}, Severity.CRITICAL),
        ({"severity": [{"type": "CVSS_V3", "score": LOW}]}, Severity.LOW),
        ({"severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/nonsense"}]}, Severity.UNKNOWN),
        ({"severity": [{"type": "Ubuntu", "score": "high"}]}, Severity.UNKNOWN),
        ({"severity": [{"type": "CVSS_V4", "score": "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"}]}, Severity.CRITICAL),  # noqa: E501 - a vector
        ({"database_specific": {"severity": "MODERATE"}}, Severity.MODERATE),
        ({"database_specific": {"severity": "LOW"}, "severity": [{"type": "CVSS_V3", "score": CRITICAL}]}, Severity.CRITICAL),  # noqa: E501
        ({"number": "MAL-2026-1"}, Severity.CRITICAL),
    ],
)  # fmt: skip
def test_severity__worst_that_is_said(changes, wanted):
    assert Severity(flaw(**changes).severity) is wanted


def test_file__withdrawn_and_other_ecosystems__are_left_out_and_names_are_normalised():
    npm = advisory("GHSA-1", affected=[{"package": {"ecosystem": "npm", "name": "left-pad"}}])
    gone = advisory("PYSEC-2", withdrawn="2026-10-01T00:00:00Z", modified="2026-11-20T00:00:00Z")
    found = read_advisories(raw(advisory(), npm, gone))
    assert [(row.number, row.package) for row in found.rows] == [("PYSEC-1", "tiny-thing")]
    assert (found.count, found.as_of) == (2, datetime(2026, 11, 20, tzinfo=UTC))


def zipped(**files: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name.replace("_", "."), text)
    return made.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(advisory()).encode(),
        json.dumps(advisory()).encode() + b"\n\n" + json.dumps(advisory("PYSEC-2")).encode(),
        zipped(one_json=json.dumps(advisory()).encode(), README_md=b"text"),
    ],
    ids=["object", "lines", "zip"],
)
def test_file__every_form__is_read(text):
    assert read_advisories(text).rows[0].package == "tiny-thing"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "no advisory about packages"),
        (b"[]", "no advisory about packages"),
        (b"\x80\x81", "Line 1 is no JSON"),
        (b"[" * 100_000, "nested too deep"),
        (raw({"id": "X"}), "Entry 1 is no advisory"),
        (raw(advisory(modified="2026-11-01T00:00:00")), "time zone"),
        (raw(advisory(), advisory()), "twice"),
        (raw(advisory(affected=[{"package": {"ecosystem": "PyPI", "name": "x" * 400}}])), "Entry 1"),
        (b"PK\x03\x04 and nothing", "archive cannot be read"),
        (zipped(one_json=b"{"), "one.json is no JSON"),
        (zipped(one_json=b" " * (17 * 1024 * 1024)), "too large"),
    ],
)
def test_file__that_is_none__refused_with_the_place(text, words):
    with pytest.raises(Invalid) as refused:
        read_advisories(text)
    assert words in refused.value.message


def test_load__replaces_whole_and_leaves_a_record(people):
    first = advisories_load(actor=people.ada.actor, name="all.zip", raw=raw(advisory()))
    again = advisories_load(actor=people.ada.actor, name="all.zip", raw=raw(advisory()))
    second = advisories_load(actor=people.ada.actor, name="all.zip", raw=raw(advisory("PYSEC-9", "other")))
    assert first.pk == again.pk
    assert [row.digest for row in AdvisorySet.objects.all()] == [second.digest]
    assert [row.package for row in Advisory.objects.all()] == ["other"]
    records = AuditRecord.objects.filter(action="advisories.loaded").order_by("sequence")
    assert [record.data["before"] for record in records] == ["", first.digest]
    assert records[1].data["count"] == 1


def test_load__bad_file_or_no_right__leaves_what_was(people):
    kept = advisories_load(actor=people.ada.actor, name="a", raw=raw(advisory()))
    with pytest.raises(Invalid):
        advisories_load(actor=people.ada.actor, name="b", raw=b"[{}]")
    with pytest.raises(Forbidden):
        advisories_load(actor=people.rita.actor, name="b", raw=raw(advisory("PYSEC-2")))
    assert advisories_in_force() == kept


def test_load__that_another_process_is_at__refused_and_kept(people):
    text = raw(advisory())
    made = advisories_load(actor=people.ada.actor, name="a", raw=text)
    AdvisorySet.objects.update(is_current=False)
    with pytest.raises(Conflict):
        advisories_load(actor=people.ada.actor, name="a", raw=text)
    assert AdvisorySet.objects.filter(pk=made.pk).exists()


def test_load__another_file_comes_into_force_at_that_moment__refused_and_nothing_left(people, monkeypatch):
    kept = advisories_load(actor=people.ada.actor, name="a", raw=raw(advisory()))

    def taken(*_: object, **__: object) -> None:
        raise IntegrityError("one_current_advisory_set")

    monkeypatch.setattr(services, "audit_record", taken)
    with pytest.raises(Conflict, match="load this one again"):
        advisories_load(actor=people.ada.actor, name="b", raw=raw(advisory("PYSEC-2")))
    assert list(AdvisorySet.objects.all()) == [kept] == [advisories_in_force()]


def test_load__of_tomorrow__is_as_old_as_its_loading(people):
    text = raw(advisory(modified="2999-01-01T00:00:00Z"))
    made = advisories_load(actor=people.ada.actor, name="a", raw=text)
    assert made.as_of == made.loaded_at


def test_refresh__named_file__loaded_when_it_changes(db, settings, tmp_path):
    advisory_files._loaded.clear()
    path = tmp_path / "advisories.json"
    settings.ADVISORIES = str(path)
    assert "cannot be read" in advisories_refresh()
    path.write_bytes(raw(advisory()))
    assert advisories_refresh() == ""
    first = advisories_in_force()
    assert advisories_refresh() == ""
    path.write_bytes(raw(advisory("PYSEC-2")))
    assert advisories_refresh() == ""
    assert first != advisories_in_force() is not None
    path.write_bytes(b"[{}]")
    assert "cannot be taken" in advisories_refresh()


def test_command__loads_and_says_what_is_in_force(db, settings, tmp_path):
    path = tmp_path / "all.json"
    path.write_bytes(raw(advisory()))
    said = StringIO()
    call_command("advisories_load", path, stdout=said)
    assert "In force: 1 advisories as of 2026-11-01, sha256:" in said.getvalue()
    assert AuditRecord.objects.get(action="advisories.loaded").actor == "operator"
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("advisories_load", tmp_path / "absent.json")
    path.write_bytes(b"[{}]")
    with pytest.raises(CommandError, match="Entry 1 is no advisory"):
        call_command("advisories_load", path)
    settings.ADVISORIES = str(tmp_path / "other.json")
    with pytest.raises(CommandError, match="replace that file"):
        call_command("advisories_load", path)
