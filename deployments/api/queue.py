"""REST resources of the queues of endpoints."""

from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deployments import services
from deployments.api.serializers import QueuedRequestSerializer, ReasonSerializer
from deployments.api.views import actor
from deployments.filters import QueueFilter
from deployments.models import QueuedRequest
from deployments.queue_selectors import queue_visible_to, queued_for
from mlorch_site.accounts.roles import Action
from mlorch_site.api.idempotency import idempotent
from mlorch_site.lib.api import read_body


class QueueList(generics.ListAPIView[QueuedRequest]):
    """Requests that wait for their endpoint, by endpoint and place; with `ended` those that had their turn too."""

    permission = Action.VIEW
    serializer_class = QueuedRequestSerializer
    filterset_class = QueueFilter
    queryset = QueuedRequest.objects.none()

    def get_queryset(self) -> QuerySet[QueuedRequest]:
        return queue_visible_to(actor(self.request))


class QueuedDetail(APIView):
    """One request of a queue, and what became of it."""

    permission = Action.VIEW

    @extend_schema(responses={200: QueuedRequestSerializer})
    def get(self, request: Request, pk: UUID) -> Response:
        return Response(QueuedRequestSerializer(queued_for(actor(request), pk)).data)


class QueuedWithdraw(APIView):
    """Take a request out of the queue: the own one, or with the right to abort releases."""

    permission = Action.VIEW

    @extend_schema(request=ReasonSerializer, responses={200: QueuedRequestSerializer})
    @idempotent
    def post(self, request: Request, pk: UUID) -> Response:
        body = read_body(ReasonSerializer, request)
        ended = services.queued_withdraw(actor=actor(request), queued=queued_for(actor(request), pk), **body)
        return Response(QueuedRequestSerializer(ended).data)


class QueuedFirst(APIView):
    """Let a request have the next turn."""

    permission = Action.RELEASE_PROMOTE

    @extend_schema(request=None, responses={200: QueuedRequestSerializer})
    @idempotent
    def post(self, request: Request, pk: UUID) -> Response:
        moved = services.queued_move_first(actor=actor(request), queued=queued_for(actor(request), pk))
        return Response(QueuedRequestSerializer(moved).data)
