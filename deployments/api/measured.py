"""REST resources of metrics that Prometheus is asked for: the server of an environment, and what is asked."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deployments import selectors
from deployments.api.serializers import ReasonSerializer, StrictSerializer
from deployments.api.views import actor
from deployments.services.watching import metric_query_of, watched, watched_in_use
from mlorch_site.accounts.roles import Action
from mlorch_site.api.idempotency import idempotent
from mlorch_site.lib.api import read_body
from monitoring.models import MetricQuery, PrometheusServer
from monitoring.services import MetricQueryWish, metric_query_define, metric_query_end, prometheus_server_set
from registry.selectors import environment_for

NUMBER_MAX = 2**31 - 1


class PrometheusWishSerializer(StrictSerializer):
    """The body of `POST …/prometheus`: where the server is, and its bearer token, which is never shown again."""

    url = serializers.CharField(max_length=300)
    token = serializers.CharField(max_length=4000, allow_blank=True, default="")


class PrometheusServerSerializer(serializers.ModelSerializer[PrometheusServer]):
    has_token = serializers.SerializerMethodField()

    class Meta:
        model = PrometheusServer
        fields = ["url", "has_token", "created_at", "created_by"]

    def get_has_token(self, server: PrometheusServer) -> bool:
        return bool(server.sealed_token)


class MetricQueryWishSerializer(StrictSerializer):
    """The body of `POST …/metric-queries`."""

    name = serializers.CharField(max_length=40)
    query = serializers.CharField(max_length=1000)
    unit = serializers.CharField(max_length=20, allow_blank=True, default="")
    stale_after_s = serializers.IntegerField(default=120, max_value=NUMBER_MAX)


class MetricQuerySerializer(serializers.ModelSerializer[MetricQuery]):
    class Meta:
        model = MetricQuery
        fields = ["id", "name", "query", "unit", "stale_after_s", "created_at", "created_by", "ended_at"]


class EnvironmentPrometheus(APIView):
    """The Prometheus server of an environment. Another one ends the one before it."""

    permission = Action.POLICY_EDIT

    @extend_schema(responses={200: PrometheusServerSerializer(many=True)})
    def get(self, request: Request, name: str) -> Response:
        found = environment_for(actor(request), name, action=Action.POLICY_EDIT)
        rows = PrometheusServer.objects.filter(environment=found, ended_at=None)
        return Response(PrometheusServerSerializer(rows, many=True).data)

    @extend_schema(request=PrometheusWishSerializer, responses={201: PrometheusServerSerializer})
    @idempotent
    def post(self, request: Request, name: str) -> Response:
        found = environment_for(actor(request), name, action=Action.POLICY_EDIT)
        body: dict[str, Any] = read_body(PrometheusWishSerializer, request)
        made = prometheus_server_set(actor=actor(request), environment=found, **body)
        return Response(PrometheusServerSerializer(made).data, status=status.HTTP_201_CREATED)


class MetricQueryList(APIView):
    """The metrics that Prometheus is asked for about an endpoint's arms."""

    permission = {"GET": Action.VIEW, "POST": Action.OBJECTIVE_EDIT}

    @extend_schema(responses={200: MetricQuerySerializer(many=True)})
    def get(self, request: Request, environment: str, name: str) -> Response:
        endpoint = selectors.endpoint_for(actor(request), environment, name)
        return Response(MetricQuerySerializer(watched(endpoint).metric_queries(), many=True).data)

    @extend_schema(request=MetricQueryWishSerializer, responses={201: MetricQuerySerializer})
    @idempotent
    def post(self, request: Request, environment: str, name: str) -> Response:
        endpoint = selectors.endpoint_for(actor(request), environment, name, action=Action.OBJECTIVE_EDIT)
        wish = MetricQueryWish(**read_body(MetricQueryWishSerializer, request))
        made = metric_query_define(actor=actor(request), place=watched_in_use(endpoint), wish=wish)
        return Response(MetricQuerySerializer(made).data, status=status.HTTP_201_CREATED)


class MetricQueryEnd(APIView):
    """Ask for a metric no more."""

    permission = Action.OBJECTIVE_EDIT

    @extend_schema(request=ReasonSerializer, responses={200: MetricQuerySerializer})
    @idempotent
    def post(self, request: Request, environment: str, name: str, pk: str) -> Response:
        endpoint = selectors.endpoint_for(actor(request), environment, name, action=Action.OBJECTIVE_EDIT)
        body = read_body(ReasonSerializer, request)
        ended = metric_query_end(actor=actor(request), query=metric_query_of(endpoint, pk), **body)
        return Response(MetricQuerySerializer(ended).data)
