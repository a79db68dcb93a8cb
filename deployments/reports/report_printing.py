"""A report on paper: the HTML that browsers print, and what the PDF is made of, all of it out of the document."""

from django.template.loader import render_to_string

from deployments.models import Report
from deployments.reports.report_page import report_context


def print_page(report: Report, *, is_pdf: bool) -> str:
    """The page of a report for paper; for a PDF without anything that has to be fetched."""
    context = {"is_pdf": is_pdf, **report_context(report)}
    page = "report_print" if report.release_id else "period_print"
    return render_to_string(f"deployments/{page}.html", context)
