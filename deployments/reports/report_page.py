"""What the page of a report and its print show: everything out of the document, charts with their table, the proof."""

from typing import Any

from deployments.lifecycle import RELEASE_LOOKS, ReleaseStatus
from deployments.models import Report
from deployments.reports.report_charts import charts_of
from deployments.reports.report_proof import proof_of
from deployments.watch_standing import watch_standing


def report_context(report: Report) -> dict[str, Any]:
    """The template context of a report."""
    document = report.document
    status = document.get("outcome", {}).get("status", "")
    return {
        "report": report,
        "document": document,
        "look": RELEASE_LOOKS[ReleaseStatus(status)] if status in set(ReleaseStatus) else None,
        "charts": charts_of(document),
        "rows": figure_rows(document),
        "proof": proof_of(report),
        "watch": watch_standing(report.release) if report.release else None,
    }


def figure_rows(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The figures as rows of one table, in order of time; named by the document's own columns."""
    figures = document.get("figures") or {"lines": [], "columns": []}
    rows = [
        {"arm": line["arm"], "version": line["version"], **dict(zip(figures["columns"], row, strict=True))}
        for line in figures["lines"]
        for row in line["rows"]
    ]
    return sorted(rows, key=lambda row: (row["at_s"], row["arm"]))
