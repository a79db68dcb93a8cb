"""REST: endpoints over a span, how releases went in it, and the history of one endpoint."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deployments import selectors
from deployments.filters import MonitoringFilter
from deployments.traffic_history import ORDERS, monitored, point_row, points_of_history, release_markers
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import actor_of, zone_of
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Invalid
from monitoring.history import TrafficFigures, version_traffic
from monitoring.spans import RANGES, Span, read_span

SPAN = [
    OpenApiParameter("range", str, enum=[*RANGES], description="Up to now; without it and `from`, the last day."),
    OpenApiParameter("from", str, description="ISO 8601; without an offset in the time zone of your preferences."),
    OpenApiParameter("to", str, description="ISO 8601; the present moment when it is left out."),
]
LIST = [
    OpenApiParameter("q", str),
    OpenApiParameter("environment", str),
    OpenApiParameter("model", str),
    OpenApiParameter("owner", str),
    OpenApiParameter("order", str, enum=[*ORDERS]),
    OpenApiParameter("page", int),
]
BY = OpenApiParameter("by", str, enum=["arm", "version"], description="What the points are told apart by.")


class SpanSerializer(serializers.Serializer[Any]):
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()


class SummarySerializer(serializers.Serializer[Any]):
    """Counts of what clients asked; quantiles in ms, null without requests or where they are not put together."""

    requests = serializers.IntegerField()
    failed = serializers.IntegerField(source="errors")
    error_share = serializers.FloatField(allow_null=True)
    rate = serializers.FloatField()
    p50 = serializers.FloatField(allow_null=True)
    p95 = serializers.FloatField(allow_null=True)
    p99 = serializers.FloatField(allow_null=True)


class ShareSerializer(serializers.Serializer[Any]):
    part = serializers.IntegerField()
    whole = serializers.IntegerField()
    value = serializers.FloatField(allow_null=True)


class DurationsSerializer(serializers.Serializer[Any]):
    n = serializers.IntegerField()
    median_s = serializers.FloatField(allow_null=True)
    p90_s = serializers.FloatField(allow_null=True)


class DeliveryFiguresSerializer(serializers.Serializer[Any]):
    promotion = ShareSerializer()
    change_failure = ShareSerializer()
    lead_time = DurationsSerializer()
    restore = DurationsSerializer()


class EndpointTrafficSerializer(serializers.Serializer[Any]):
    environment = serializers.CharField(source="endpoint.environment.name")
    endpoint = serializers.CharField(source="endpoint.name")
    model = serializers.CharField(source="endpoint.model.name")
    owner = serializers.CharField(source="endpoint.model.owner")
    observed_s = serializers.FloatField(source="traffic.observed_s")
    versions = serializers.ListField(child=serializers.IntegerField(), source="traffic.versions")
    traffic = SummarySerializer(source="traffic.summary")
    last_release = serializers.UUIDField(source="last.pk", default=None, allow_null=True)
    last_release_status = serializers.CharField(source="last.status", default=None, allow_null=True)


class MonitoringSerializer(serializers.Serializer[Any]):
    """`span` is what the windows cover that touch the one that was asked for."""

    span = SpanSerializer()
    together = SummarySerializer(source="together.summary")
    why_no_latency = serializers.CharField(source="together.why_no_latency")
    delivery = DeliveryFiguresSerializer()
    endpoints = EndpointTrafficSerializer(source="rows", many=True)
    count = serializers.IntegerField(source="page.paginator.count")
    pages = serializers.IntegerField(source="page.paginator.num_pages")


class PointSerializer(serializers.Serializer[Any]):
    start = serializers.DateTimeField()
    seconds = serializers.IntegerField()
    arm = serializers.CharField()
    version = serializers.IntegerField()
    requests = serializers.IntegerField()
    failed = serializers.IntegerField(source="errors")
    p50_ms = serializers.FloatField(allow_null=True)
    p95_ms = serializers.FloatField(allow_null=True)
    p99_ms = serializers.FloatField(allow_null=True)


class VersionTrafficSerializer(serializers.Serializer[Any]):
    version = serializers.SerializerMethodField()
    observed_s = serializers.FloatField()
    traffic = SummarySerializer(source="summary")

    def get_version(self, one: TrafficFigures) -> int:
        (version,) = one.versions
        return version


class MarkSerializer(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    text = serializers.CharField()
    release = serializers.UUIDField()


class EndpointHistorySerializer(serializers.Serializer[Any]):
    span = SpanSerializer()
    points = PointSerializer(many=True)
    versions = VersionTrafficSerializer(many=True)
    events = MarkSerializer(many=True)


def span_of(request: Request) -> Span:
    """The span that a request names. Raises Invalid."""
    return read_span(request.query_params, zone=zone_of(actor_of(request._request).user), now=clock.now())


class MonitoringDetail(APIView):
    """All endpoints over a span."""

    permission = Action.VIEW

    @extend_schema(parameters=[*SPAN, *LIST], responses={200: MonitoringSerializer})
    def get(self, request: Request) -> Response:
        actor, query = actor_of(request._request), request.query_params
        order = query.get("order", "endpoint")
        if order not in ORDERS:
            raise Invalid(f"order is one of {', '.join(ORDERS)}.", details={"order": "unknown"})
        endpoints = selectors.endpoints_visible_to(actor).select_related(None).select_related("environment", "model")
        chosen = MonitoringFilter(query, queryset=endpoints, request=request._request)
        if not chosen.is_valid():
            raise Invalid("Some filters are wrong; see details.", details=chosen.errors)
        seen = monitored(chosen.qs, span_of(request), clock.now(), order=order, page=query.get("page"))
        return Response(MonitoringSerializer(seen).data)


class EndpointHistoryDetail(APIView):
    """What one endpoint did over a span: points, versions, and when releases began and ended."""

    permission = Action.VIEW

    @extend_schema(parameters=[*SPAN, BY], responses={200: EndpointHistorySerializer})
    def get(self, request: Request, environment: str, name: str) -> Response:
        endpoint = selectors.endpoint_for(actor_of(request._request), environment, name)
        by = request.query_params.get("by", "arm")
        if by not in ("arm", "version"):
            raise Invalid("by is arm or version.", details={"by": "unknown"})
        span = span_of(request)
        found = {
            "span": span,
            "points": map(point_row, points_of_history(endpoint, span, by_version=by == "version")),
            "versions": version_traffic((environment, name), span, clock.now()),
            "events": [
                {"at": marker.at, "text": marker.text, "release": release.pk}
                for marker, release in release_markers(endpoint, span)
            ],
        }
        return Response(EndpointHistorySerializer(found).data)
