"""Reports of periods that a person freezes; reports as PDFs: asked for, made by the work queue, kept."""

from django.db import transaction

from deployments.models import Report, ReportPdf
from deployments.reports.period_report import PERIOD, PeriodWish, period_document, why_not_whole
from deployments.reports.report_writing import report_recorded
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.lib import clock
from mlorch_site.lib.enqueue import TaskName, enqueue_on_commit
from mlorch_site.lib.errors import Forbidden, Invalid
from mlorch_site.lib.hashing import content_hash
from mlorch_site.live.outbox import publish

PRINT_REPORT = TaskName("deployments.print_report", "work")
ERROR_MAX_CHARS = 500


@transaction.atomic
def period_report_freeze(*, actor: Actor, wish: PeriodWish) -> Report:
    """Keep the report of a period as it is now, with its digest in the audit record.

    Raises Forbidden when the actor may not read the audit log anywhere, or does not see all that it is about, Invalid
    for a period that is not over.
    """
    actor.require_write()
    if not actor.may_anywhere(Action.AUDIT_VIEW):
        actor.require(Action.AUDIT_VIEW)
    if why := why_not_whole(actor, wish):
        raise Forbidden(why)
    now = clock.now()
    if wish.span.until > now:
        raise Invalid("Only a period that is over can be frozen.", details={"to": "in the future"})
    document = period_document(actor, wish)
    report = Report.objects.create(
        kind=PERIOD,
        environment=wish.environment,
        model=wish.model,
        document=document,
        digest=content_hash(document),
        created_at=now,
        created_by=actor.name,
    )
    report_recorded(report, actor=actor)
    return report


@transaction.atomic
def report_pdf_want(*, actor: Actor, report: Report) -> ReportPdf:
    """Want a report as a PDF: the work queue makes it. Asking again is harmless; after a failure it is tried anew."""
    actor.require_write()
    now = clock.now()
    pdf, _ = ReportPdf.objects.select_for_update().get_or_create(
        report=report, defaults={"asked_at": now, "due_at": now}
    )
    if pdf.error:
        ReportPdf.objects.filter(pk=pdf.pk).update(error="", asked_at=now, due_at=now)
        pdf.refresh_from_db()
    if pdf.due_at is not None:
        enqueue_on_commit(PRINT_REPORT, str(pdf.pk))
    return pdf


@transaction.atomic
def report_pdf_made(*, pdf: ReportPdf, data: bytes) -> None:
    """Keep a PDF that was made. An observation: a copy of what is there already."""
    ReportPdf.objects.filter(pk=pdf.pk).update(data=data, made_at=clock.now(), due_at=None, error="")
    _told(pdf)


@transaction.atomic
def report_pdf_failed(*, pdf: ReportPdf, error: str) -> None:
    """Note why a PDF could not be made; it is tried again when somebody asks."""
    ReportPdf.objects.filter(pk=pdf.pk).update(error=error[:ERROR_MAX_CHARS], due_at=None)
    _told(pdf)


def _told(pdf: ReportPdf) -> None:
    publish("reports", "report.changed", {"report": pdf.report_id})
