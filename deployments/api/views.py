"""REST resources of releases and endpoints. Each view: get by policy, serializer, service, answer."""

from collections.abc import Callable

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deployments import selectors, services
from deployments.api.preview_serializers import PreviewSerializer
from deployments.api.serializers import (
    DecisionSerializer,
    EndpointDetailSerializer,
    EndpointSerializer,
    QueuedRequestSerializer,
    ReasonSerializer,
    ReleaseDetailSerializer,
    ReleaseRequestSerializer,
    ReleaseSerializer,
    RetireSerializer,
    RollbackSerializer,
    ServingChangesSerializer,
    ServingConfigSerializer,
)
from deployments.filters import EndpointFilter, ReleaseFilter
from deployments.models import Endpoint, QueuedRequest, Release
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.api.idempotency import idempotent
from mlorch_site.lib.api import read_body
from mlorch_site.lib.errors import Invalid
from mlorch_site.lib.readable import whole_number
from monitoring.selectors import summary

MINUTES_MAX = 24 * 60


def actor(request: Request) -> Actor:
    """Who asks."""
    return actor_of(request._request)


class ReleaseList(generics.ListAPIView[Release]):
    """Releases, newest first."""

    permission = {"GET": Action.VIEW, "POST": Action.RELEASE_REQUEST}
    serializer_class = ReleaseSerializer
    filterset_class = ReleaseFilter
    queryset = Release.objects.none()

    def get_queryset(self) -> QuerySet[Release]:
        return selectors.releases_visible_to(actor(self.request)).select_related("policy")

    @extend_schema(
        request=ReleaseRequestSerializer, responses={201: ReleaseDetailSerializer, 202: QueuedRequestSerializer}
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Request a release: 201 with its id and status, which is `checking`; with `queue` 202 when it has to wait."""
        body = ReleaseRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        ask = services.release_request_or_queue if body.may_wait else services.release_request
        release = ask(actor=actor(request), command=body.command())
        if isinstance(release, QueuedRequest):
            return Response(QueuedRequestSerializer(release).data, status=status.HTTP_202_ACCEPTED)
        return Response(ReleaseDetailSerializer(release).data, status=status.HTTP_201_CREATED)


class ReleasePreview(APIView):
    """What a release would do and need, and who must approve it, before it is requested. Writes nothing."""

    permission = Action.RELEASE_REQUEST

    @extend_schema(request=ReleaseRequestSerializer, responses={200: PreviewSerializer})
    def post(self, request: Request) -> Response:
        body = ReleaseRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        preview = services.release_preview(actor=actor(request), command=body.command())
        return Response(PreviewSerializer(preview).data)


class ReleaseDetail(generics.RetrieveAPIView[Release]):
    """One release with approval, rollout and history."""

    permission = Action.VIEW
    serializer_class = ReleaseDetailSerializer

    def get_object(self) -> Release:
        return selectors.release_for(actor(self.request), self.kwargs["pk"])


class ReleaseDecisions(APIView):
    """Approve, reject or request changes."""

    permission = Action.RELEASE_DECIDE

    @extend_schema(request=DecisionSerializer, responses={200: ReleaseDetailSerializer})
    @idempotent
    def post(self, request: Request, pk: str) -> Response:
        body = read_body(DecisionSerializer, request)
        release = selectors.release_for(actor(request), pk, action=Action.RELEASE_DECIDE)
        release = services.release_decide(actor=actor(request), release=release, **body)
        return Response(ReleaseDetailSerializer(release).data)


class ReleaseControl(APIView):
    """One control of a rollout; which, its address says."""

    permission = Action.RELEASE_PAUSE
    service: Callable[..., Release] = staticmethod(services.release_pause)

    @extend_schema(request=ReasonSerializer, responses={200: ReleaseDetailSerializer})
    @idempotent
    def post(self, request: Request, pk: str) -> Response:
        body = read_body(ReasonSerializer, request)
        release = selectors.release_for(actor(request), pk, action=self.permission)
        self.service(actor=actor(request), release=release, **body)
        return Response(ReleaseDetailSerializer(selectors.release_for(actor(request), pk)).data)


class ReleasePause(ReleaseControl):
    """Hold the steps; harm still takes the release back."""


class ReleaseResume(ReleaseControl):
    """Let a paused rollout go on."""

    service = staticmethod(services.release_resume)


class ReleasePromote(ReleaseControl):
    """Skip the rest of the plan."""

    permission = Action.RELEASE_PROMOTE
    service = staticmethod(services.release_promote)


class ReleaseAbort(ReleaseControl):
    """Send the traffic back and end the release."""

    permission = Action.RELEASE_ABORT
    service = staticmethod(services.release_abort)


class EndpointList(generics.ListAPIView[Endpoint]):
    """Endpoints with their arms."""

    permission = Action.VIEW
    serializer_class = EndpointSerializer
    filterset_class = EndpointFilter
    queryset = Endpoint.objects.none()

    def get_queryset(self) -> QuerySet[Endpoint]:
        return selectors.endpoints_visible_to(actor(self.request)).prefetch_related("arms__version")


class EndpointDetail(generics.RetrieveAPIView[Endpoint]):
    """One endpoint with arms, replicas, routes."""

    permission = Action.VIEW
    serializer_class = EndpointDetailSerializer

    def get_object(self) -> Endpoint:
        return selectors.endpoint_for(actor(self.request), self.kwargs["environment"], self.kwargs["name"])


class EndpointRollback(APIView):
    """Return to the last fully promoted release before the present one, or end the rollout under way."""

    permission = Action.ENDPOINT_ROLLBACK

    @extend_schema(request=RollbackSerializer, responses={200: ReleaseDetailSerializer})
    @idempotent
    def post(self, request: Request, environment: str, name: str) -> Response:
        endpoint = selectors.endpoint_for(actor(request), environment, name, action=Action.ENDPOINT_ROLLBACK)
        body = read_body(RollbackSerializer, request)
        release = services.endpoint_rollback(actor=actor(request), endpoint=endpoint, **body)
        return Response(ReleaseDetailSerializer(release).data)


class EndpointRetire(APIView):
    """Take an endpoint out of service and free its quota. It can be restored."""

    permission = Action.ENDPOINT_MANAGE

    @extend_schema(request=RetireSerializer, responses={200: EndpointDetailSerializer})
    @idempotent
    def post(self, request: Request, environment: str, name: str) -> Response:
        endpoint = selectors.endpoint_for(actor(request), environment, name, action=Action.ENDPOINT_MANAGE)
        body = read_body(RetireSerializer, request)
        endpoint = services.endpoint_retire(actor=actor(request), endpoint=endpoint, **body)
        return Response(EndpointDetailSerializer(endpoint).data)


class EndpointRestore(APIView):
    """Let a retired endpoint serve again what it served."""

    permission = Action.ENDPOINT_MANAGE

    @extend_schema(request=ReasonSerializer, responses={200: EndpointDetailSerializer})
    @idempotent
    def post(self, request: Request, environment: str, name: str) -> Response:
        endpoint = selectors.endpoint_for(actor(request), environment, name, action=Action.ENDPOINT_MANAGE)
        body = read_body(ReasonSerializer, request)
        services.endpoint_restore(actor=actor(request), endpoint=endpoint, **body)
        endpoint = selectors.endpoint_for(actor(request), environment, name)
        return Response(EndpointDetailSerializer(endpoint).data)


class EndpointServing(APIView):
    """How an endpoint is served. A change is a new revision; it takes effect with the endpoint's next release."""

    permission = {"GET": Action.VIEW, "PATCH": Action.ENDPOINT_MANAGE}

    @extend_schema(responses={200: ServingConfigSerializer})
    def get(self, request: Request, environment: str, name: str) -> Response:
        endpoint = selectors.endpoint_for(actor(request), environment, name)
        return Response(ServingConfigSerializer(services.serving_config_of(endpoint)).data)

    @extend_schema(request=ServingChangesSerializer, responses={200: ServingConfigSerializer})
    @idempotent
    def patch(self, request: Request, environment: str, name: str) -> Response:
        body = read_body(ServingChangesSerializer, request)
        endpoint = selectors.endpoint_for(actor(request), environment, name, action=Action.ENDPOINT_MANAGE)
        config = services.serving_config_revise(actor=actor(request), endpoint=endpoint, **body)
        return Response(ServingConfigSerializer(config).data)


class EndpointMetrics(APIView):
    """Requests, error share and latency quantiles per arm over the last minutes."""

    permission = Action.VIEW

    @extend_schema(parameters=[OpenApiParameter("minutes", int)], responses={200: dict})
    def get(self, request: Request, environment: str, name: str) -> Response:
        endpoint = selectors.endpoint_for(actor(request), environment, name)
        minutes = whole_number(request.query_params.get("minutes", "10"))
        if minutes is None or not 1 <= minutes <= MINUTES_MAX:
            raise Invalid(f"minutes is a whole number from 1 to {MINUTES_MAX}.", details={"minutes": "out of range"})
        rows = summary(endpoint.environment.name, endpoint.name, minutes=minutes, born=endpoint.created_at)
        return Response({"minutes": minutes, "arms": [row.__dict__ for row in rows]})
