"""Reports: frozen with everything that they say, held against the audit record, and true to their schema."""

from datetime import timedelta
from typing import Any

import jsonschema
import pytest

from deployments.models import Release, Report
from deployments.reports.report_proof import proof_of
from deployments.reports.report_schema import report_schema
from deployments.reports.report_writing import report_create
from deployments.services import release_decide
from mlorch_site.audit.checkpointing import checkpoint_write
from mlorch_site.audit.merkle import is_included, leaf_hash
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib.hashing import content_hash
from monitoring.models import Window
from tests.deployments.world import World

pytestmark = pytest.mark.django_db


@pytest.fixture
def taken_back(world: World) -> Release:
    """A canary of version 2 that the judge took back after version 1 had served."""
    world.serve(1)
    world.errors = {"2": 0.5}
    return world.until(world.request(2, ticket="CHG-7"), "rolled_back")


def violations(document: dict[str, Any]) -> list[str]:
    checker = jsonschema.Draft202012Validator(report_schema(), format_checker=jsonschema.FormatChecker())
    return [f"{list(error.path)}: {error.message}" for error in checker.iter_errors(document)]


def test_document__taken_back__says_what_was_wanted_seen_and_not_planned(world, taken_back):
    document = taken_back.report.document
    first = document["weights"][0]

    assert document["ticket"] == "CHG-7"
    assert {(arm["arm"], arm["weight_pct"]) for arm in first["wanted"]} == {("stable", 90), ("candidate", 10)}
    assert first["obeyed_at"] > first["at"]
    assert {row["arm"]: row["share_pct"] for row in first["seen"]} == {"candidate": 10, "stable": 90}
    assert document["verdicts"][-1]["new"] == "harmful"
    assert {"effective_n", "interval_low", "interval_high"} <= set(document["verdicts"][-1]["guardrails"][0])
    assert [one["kind"] for one in document["deviations"]] == ["taken back"]
    assert {line["arm"] for line in document["figures"]["lines"]} == {"stable", "candidate"}
    assert violations(document) == []


def test_document__as_it_was_then__stays_when_everything_it_was_read_from_moves(world, taken_back):
    document = taken_back.report.document
    Window.objects.all().delete()
    taken_back.events.all().update(sentence="something else")
    taken_back.refresh_from_db()

    assert taken_back.report.document == document
    assert proof_of(taken_back.report).state == "verified"


def test_document__files_released_before__says_how_it_had_gone_and_nothing_later(world, taken_back):
    world.errors = {}
    again = world.until(world.request(2), "succeeded")
    biography = again.report.document["biography"]

    assert [(stay["release"], stay["status"]) for stay in biography["stays"]] == [(str(taken_back.pk), "rolled back")]
    assert len(biography["taken_back"]) == 1
    assert taken_back.report.document["biography"]["stays"] == []


def test_document__rejected__who_decided_when_under_which_revision(people):
    world = World(people, rules=[{"role": "reviewer", "count": 1}])
    release = world.request(1)
    with world.at():
        release = release_decide(actor=people.rita.actor, release=release, decision="reject", comment="No card.")
    document = Report.objects.get(release=release).document
    approval = document["approval"]

    assert (approval["policy_revision"], approval["approved_at"]) == (1, None)
    assert approval["decisions"][0]["at"] == world.now.isoformat()
    assert not approval["decisions"][0]["counts"]
    assert document["figures"] is None
    assert violations(document) == []


def test_proof__checkpoint_written_later__way_leads_to_its_signed_root(settings, tmp_path, world, taken_back):
    settings.AUDIT_CHECKPOINT_DIR = str(tmp_path / "audit")
    before = proof_of(taken_back.report)
    checkpoint_write(now=world.now)
    world.errors = {}
    world.until(world.request(3), "succeeded")
    checkpoint_write(now=world.now)
    proof = proof_of(Report.objects.get(release=taken_back))
    last = proof_of(Report.objects.latest("pk"))

    assert (before.state, before.checkpoint) == ("verified", None)
    assert "covers" in before.note
    assert proof.checkpoint["size"] < last.checkpoint["size"]
    for one in (proof, last):
        leads = [bytes.fromhex(step) for step in one.checkpoint["way"]]
        root = bytes.fromhex(one.checkpoint["root"])
        leaf = leaf_hash(bytes.fromhex(one.record["hash"]))
        assert is_included(leaf, one.checkpoint["index"], one.checkpoint["size"], leads, root)


def test_proof__document_and_its_own_digest_rewritten__differs_from_the_record(taken_back):
    report = taken_back.report
    document = {**report.document, "ticket": "CHG-8"}
    Report.objects.filter(pk=report.pk).update(document=document)
    assert "lies beside it" in proof_of(Report.objects.get(pk=report.pk)).sentence

    Report.objects.filter(pk=report.pk).update(document=document, digest=content_hash(document))
    proof = proof_of(Report.objects.get(pk=report.pk))
    assert (proof.state, "another digest" in proof.sentence) == ("differs", True)


def test_proof__never_recorded__old_format_says_so_and_the_present_one_is_refused(taken_back):
    stranger = Report.objects.create(
        kind="release", document={"format": 1}, digest=content_hash({"format": 1}), created_at=taken_back.ended_at
    )
    assert proof_of(stranger).state == "unrecorded"
    stranger.document = {"format": 2}
    stranger.digest = content_hash(stranger.document)
    assert proof_of(stranger).state == "differs"


def test_create__twice__one_report_and_one_record(world, taken_back):
    again = report_create(taken_back, now=world.now + timedelta(days=1))

    assert again.pk == taken_back.report.pk
    assert AuditRecord.objects.filter(action="report.created", data__release=str(taken_back.pk)).count() == 1
