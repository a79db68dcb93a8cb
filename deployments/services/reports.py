"""Reports as PDFs: asked for, made by the work queue, kept."""

from django.db import transaction

from deployments.models import Report, ReportPdf
from mlorch_site.accounts.actor import Actor
from mlorch_site.lib import clock
from mlorch_site.lib.enqueue import TaskName, enqueue_on_commit
from mlorch_site.live.outbox import publish

PRINT_REPORT = TaskName("deployments.print_report", "work")
ERROR_MAX_CHARS = 500


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
