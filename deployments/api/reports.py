"""REST: reports, their schema, two side by side, and their PDF."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, renderers, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deployments import selectors, services
from deployments.api.monitoring import SPAN
from deployments.filters import ReportFilter
from deployments.models import Report
from deployments.reports.period_report import PeriodWish, period_document, period_wish
from deployments.reports.report_comparison import compared
from deployments.reports.report_proof import proof_of
from deployments.reports.report_schema import report_schema
from deployments.reports.report_selectors import pdf_made, report_for, report_pair, reports_visible_to
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import actor_of, zone_of
from mlorch_site.api.idempotency import idempotent
from mlorch_site.lib import clock
from mlorch_site.lib.errors import NotFound
from monitoring.spans import read_span

PAIR = [OpenApiParameter("one", int, required=True), OpenApiParameter("other", int, required=True)]
PERIOD = [*SPAN, OpenApiParameter("environment", str), OpenApiParameter("model", str)]
FORMAT = OpenApiParameter("format", str, enum=["json", "pdf"], description="Or by `Accept`.")


class PdfRenderer(renderers.BaseRenderer):
    """Bytes of a PDF as they are; what is no PDF is an error, which is told as JSON."""

    media_type = "application/pdf"
    format = "pdf"
    charset = None
    render_style = "binary"

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> bytes:
        return bytes(data)


class ReportRowSerializer(serializers.Serializer[Any]):
    """A report in the list; `release` is null for one about a period."""

    id = serializers.IntegerField(source="pk")
    kind = serializers.CharField()
    release = serializers.UUIDField(source="release_id", allow_null=True)
    model = serializers.CharField(source="release.version.model.name", default=None, allow_null=True)
    version = serializers.IntegerField(source="release.version.number", default=None, allow_null=True)
    environment = serializers.CharField(source="release.endpoint.environment.name", default=None, allow_null=True)
    endpoint = serializers.CharField(source="release.endpoint.name", default=None, allow_null=True)
    outcome = serializers.CharField(source="release.status", default=None, allow_null=True)
    digest = serializers.CharField()
    created_at = serializers.DateTimeField()


class ReportSerializer(serializers.Serializer[Any]):
    """A report whole. `proof` says whether the document is the one that the audit record took down."""

    id = serializers.IntegerField()
    digest = serializers.CharField()
    created_at = serializers.DateTimeField()
    document = serializers.DictField()
    proof = serializers.DictField()


class ComparedRowSerializer(serializers.Serializer[Any]):
    what = serializers.CharField(source="label")
    one = serializers.CharField()
    other = serializers.CharField()
    differs = serializers.BooleanField()


class ReportPdfSerializer(serializers.Serializer[Any]):
    """How a PDF stands: made when `made_at` is set; `error` says why it could not be."""

    asked_at = serializers.DateTimeField()
    made_at = serializers.DateTimeField(allow_null=True)
    error = serializers.CharField()


ONE = {200: ReportSerializer, (200, "application/pdf"): OpenApiTypes.BINARY}


def report_told(report: Report) -> dict[str, Any]:
    """A report as `ReportSerializer` describes it."""
    return {
        "id": report.pk,
        "digest": report.digest,
        "created_at": report.created_at,
        "document": report.document,
        "proof": proof_of(report).values(),
    }


class ReportList(generics.ListAPIView[Report]):
    """Reports, newest first."""

    permission = Action.VIEW
    serializer_class = ReportRowSerializer
    filterset_class = ReportFilter
    queryset = Report.objects.none()

    def get_queryset(self) -> QuerySet[Report]:
        return reports_visible_to(actor_of(self.request._request)).defer("document")


class _OneReport(APIView):
    """A report as JSON or as PDF; which report, its address says."""

    permission: Any = Action.VIEW
    renderer_classes = [renderers.JSONRenderer, PdfRenderer]

    def found(self, request: Request, pk: Any) -> Report:
        return report_for(actor_of(request._request), pk)

    @extend_schema(parameters=[FORMAT], responses=ONE)
    def get(self, request: Request, pk: Any) -> HttpResponse:
        """The document with its proof; as PDF once that was asked for and is made."""
        report = self.found(request, pk)
        if getattr(request.accepted_renderer, "format", "") == "pdf":
            headers = {"Content-Disposition": f'attachment; filename="report-{report.pk}.pdf"'}
            return HttpResponse(pdf_made(report), content_type="application/pdf", headers=headers)
        return Response(report_told(report))


class ReportDetail(_OneReport):
    """One report."""


class ReleaseReport(_OneReport):
    """The report of an ended release."""

    def found(self, request: Request, pk: Any) -> Report:
        report: Report | None = getattr(selectors.release_for(actor_of(request._request), pk), "report", None)
        if report is None:
            raise NotFound("The report is written when the release has ended.")
        return report


class ReportPrint(APIView):
    """The PDF of a report, to be made."""

    permission = Action.VIEW

    @extend_schema(request=None, responses={202: ReportPdfSerializer})
    @idempotent
    def post(self, request: Request, pk: int) -> Response:
        """Ask for the PDF; it is there once the work queue has made it, at the report's address with `format=pdf`."""
        actor = actor_of(request._request)
        pdf = services.report_pdf_want(actor=actor, report=report_for(actor, pk))
        return Response(ReportPdfSerializer(pdf).data, status=status.HTTP_202_ACCEPTED)


class ReportSchema(APIView):
    """The JSON Schema of reports."""

    permission = Action.VIEW

    @extend_schema(responses={200: OpenApiTypes.OBJECT})
    def get(self, request: Request) -> Response:
        return Response(report_schema())


class ReportComparison(APIView):
    """Two reports of releases side by side."""

    permission = Action.VIEW

    @extend_schema(parameters=PAIR, responses={200: ComparedRowSerializer(many=True)})
    def get(self, request: Request) -> Response:
        """What both say of the same things, differences first."""
        one, other = report_pair(actor_of(request._request), request.query_params)
        return Response(ComparedRowSerializer(compared(one.document, other.document), many=True).data)


class PeriodDetail(APIView):
    """How a period went: promotion rate, failure rate, lead and restore time, exceptions, cost, causes."""

    permission = {"GET": Action.VIEW, "POST": Action.AUDIT_VIEW}

    @extend_schema(parameters=PERIOD, responses={200: OpenApiTypes.OBJECT})
    def get(self, request: Request) -> Response:
        """The document as it would be frozen now."""
        return Response(period_document(actor_of(request._request), self._wish(request)))

    @extend_schema(parameters=PERIOD, request=None, responses={201: ReportSerializer})
    @idempotent
    def post(self, request: Request) -> Response:
        """Freeze it as a report."""
        frozen = services.period_report_freeze(actor=actor_of(request._request), wish=self._wish(request))
        return Response(report_told(frozen), status=status.HTTP_201_CREATED)

    def _wish(self, request: Request) -> PeriodWish:
        actor = actor_of(request._request)
        span = read_span(request.query_params, zone=zone_of(actor.user), now=clock.now())
        return period_wish(actor, request.query_params, span)
