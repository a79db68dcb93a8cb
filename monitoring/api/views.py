"""REST resources of alerts and their rules. Each view: get by policy, serializer, service, answer."""

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.api.idempotency import idempotent
from mlorch_site.lib import clock
from mlorch_site.lib.api import read_body
from monitoring.alert_selectors import alert_for, alerts_visible_to, rules_visible_to, silence_for, silence_of
from monitoring.api.serializers import (
    AcknowledgeSerializer,
    AlertDetailSerializer,
    AlertRuleSerializer,
    AlertSerializer,
    SilenceSerializer,
    SilenceWishSerializer,
)
from monitoring.filters import AlertFilter, RuleFilter
from monitoring.models import Alert, AlertRule
from monitoring.services import alert_acknowledge, alert_silence, silence_end


class AlertList(generics.ListAPIView[Alert]):
    """Alerts, those that fire first."""

    permission = Action.VIEW
    serializer_class = AlertSerializer
    filterset_class = AlertFilter
    queryset = Alert.objects.none()

    def get_queryset(self) -> QuerySet[Alert]:
        return alerts_visible_to(actor_of(self.request._request))


class AlertDetail(generics.RetrieveAPIView[Alert]):
    """One alert with its history."""

    permission = Action.VIEW
    serializer_class = AlertDetailSerializer

    def get_object(self) -> Alert:
        return alert_for(actor_of(self.request._request), self.kwargs["pk"])


class AlertAcknowledge(APIView):
    """Say that one sees to it: it is escalated no more."""

    permission = Action.ALERT_ANSWER

    @extend_schema(request=AcknowledgeSerializer, responses={200: AlertDetailSerializer})
    @idempotent
    def post(self, request: Request, pk: str) -> Response:
        body = read_body(AcknowledgeSerializer, request)
        actor = actor_of(request._request)
        alert_acknowledge(actor=actor, alert=alert_for(actor, pk, action=Action.ALERT_ANSWER), **body)
        return Response(AlertDetailSerializer(alert_for(actor, pk)).data)


class AlertSilence(APIView):
    """Tell nobody of the alerts of this one's rule until a moment; it ends by itself."""

    permission = Action.ALERT_ANSWER

    @extend_schema(request=SilenceWishSerializer, responses={201: SilenceSerializer})
    @idempotent
    def post(self, request: Request, pk: str) -> Response:
        body = read_body(SilenceWishSerializer, request)
        actor = actor_of(request._request)
        found = alert_for(actor, pk, action=Action.ALERT_ANSWER)
        made = alert_silence(actor=actor, rule=found.rule, **body)
        return Response(SilenceSerializer(made).data, status=status.HTTP_201_CREATED)


class AlertUnsilence(APIView):
    """End the silence of an alert's rule; what still fires is told anew. Without a silence nothing happens."""

    permission = Action.ALERT_ANSWER

    @extend_schema(request=None, responses={200: AlertDetailSerializer})
    @idempotent
    def post(self, request: Request, pk: str) -> Response:
        actor = actor_of(request._request)
        found = alert_for(actor, pk, action=Action.ALERT_ANSWER)
        holding = silence_of(found.rule, clock.now())
        if holding is not None:
            silence_end(actor=actor, silence=silence_for(actor, holding.pk))
        return Response(AlertDetailSerializer(alert_for(actor, pk)).data)


class AlertRuleList(generics.ListAPIView[AlertRule]):
    """The rules that hold, and how they stand."""

    permission = Action.VIEW
    serializer_class = AlertRuleSerializer
    filterset_class = RuleFilter
    queryset = AlertRule.objects.none()

    def get_queryset(self) -> QuerySet[AlertRule]:
        return rules_visible_to(actor_of(self.request._request))
