"""Writing a report: once, with its digest in the audit record, so that the report does not vouch for itself."""

from datetime import datetime

from deployments.actors import REPORTS
from deployments.models import Release, Report
from deployments.reports.document import document_of
from mlorch_site.accounts.actor import Actor
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.lib.hashing import content_hash
from mlorch_site.live.outbox import publish

REPORT_CREATED = "report.created"


def report_create(release: Release, *, now: datetime) -> Report:
    """Write the report of a release that has just ended.

    Belongs into the transaction that ended it; writing it twice gives the first one.
    """
    found = Report.objects.filter(release=release).first()
    if found is not None:
        return found
    document = document_of(release, now)
    report = Report.objects.create(
        release=release, kind=release.kind, document=document, digest=content_hash(document), created_at=now
    )
    report_recorded(report, actor=REPORTS)
    return report


def report_recorded(report: Report, *, actor: Actor) -> None:
    """Write a report's digest into the audit record. Belongs into the transaction that wrote the report."""
    data = {"digest": report.digest, "kind": report.kind, "format": report.document["format"]}
    if report.release_id:
        data["release"] = str(report.release_id)
    audit_record(actor, REPORT_CREATED, Subject("report", str(report.pk), str(report), tuple(report.scopes)), data=data)
    publish("reports", "report.changed", {"report": report.pk})
