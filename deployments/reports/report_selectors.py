"""Which reports are shown to whom. Everything here reads the database."""

from collections.abc import Mapping

from django.db.models import Q, QuerySet

from deployments.models import Report, ReportPdf
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import in_scopes
from mlorch_site.lib.errors import Invalid, NotFound
from mlorch_site.lib.readable import whole_number

OF_RELEASE = ("release__endpoint__environment", "release__endpoint__model", "release__version__model")


def reports_visible_to(actor: Actor) -> QuerySet[Report]:
    """The reports this actor may see, newest first: of releases that it may see, and those about an environment or a
    model that it may see all of; those about everything are for who sees everything.
    """
    if not actor.may_anywhere(Action.VIEW):
        return Report.objects.none()
    rows = Report.objects.select_related(*OF_RELEASE, "release__requester", "environment", "model")
    if actor.visible_scopes() is None:
        return rows
    of_release = in_scopes(
        actor, environment="release__endpoint__environment__name", model="release__endpoint__model__name"
    )
    about = in_scopes(actor, environment="environment__name", model="model__name")
    return rows.filter(Q(release__isnull=False) & of_release | Q(release__isnull=True) & about)


def report_for(actor: Actor, pk: int) -> Report:
    """One report. Hidden and missing look the same (NotFound)."""
    found = reports_visible_to(actor).filter(pk=pk).first()
    if found is None:
        raise NotFound("There is no such report.")
    return found


def report_pair(actor: Actor, query: Mapping[str, str]) -> tuple[Report, Report]:
    """The two reports of releases that the parameters `one` and `other` name. Raises Invalid, NotFound."""
    numbers = {name: whole_number(query.get(name, "")) for name in ("one", "other")}
    if unnamed := {name: "the number of a report" for name, number in numbers.items() if number is None}:
        raise Invalid("Choose two reports of the list to compare: name each by its number.", details=unnamed)
    found = {name: report_for(actor, number) for name, number in numbers.items() if number is not None}
    if others := {name: report.kind for name, report in found.items() if report.release_id is None}:
        raise Invalid("Only reports of releases and rollbacks can be compared.", details=others)
    return found["one"], found["other"]


def pdf_of(report: Report) -> ReportPdf | None:
    """How its PDF stands, without the bytes; None while nobody asked for one."""
    return ReportPdf.objects.filter(report=report).defer("data").first()


def pdf_made(report: Report) -> bytes:
    """The PDF of a report. Raises NotFound while it is not made."""
    pdf = ReportPdf.objects.filter(report=report).exclude(made_at=None).first()
    if pdf is None or pdf.data is None:
        raise NotFound("The PDF is not made yet; ask for it first.")
    return bytes(pdf.data)
