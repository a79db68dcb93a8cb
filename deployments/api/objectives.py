"""REST resources of an endpoint's objectives and alert rules."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deployments import selectors
from deployments.api.serializers import ReasonSerializer, StrictSerializer
from deployments.api.views import actor
from deployments.services.watching import alert_rule_of, objective_of, watched, watched_in_use
from mlorch_site.accounts.roles import Action
from mlorch_site.api.idempotency import idempotent
from mlorch_site.lib.api import read_body
from monitoring.alerts.lifecycle import AlertSeverity, BoundSide, RuleMetric, WatchedAct
from monitoring.api.serializers import AlertRuleSerializer, ObjectiveSerializer
from monitoring.services import (
    ObjectiveWish,
    RuleWish,
    alert_rule_add,
    alert_rule_end,
    objective_end,
    objective_set,
)
from monitoring.services.objectives import BAD_MIN

NUMBER_MAX = 2**31 - 1
READ_AND_EDIT = {"GET": Action.VIEW, "POST": Action.OBJECTIVE_EDIT}


class ObjectiveWishSerializer(StrictSerializer):
    """The body of `POST …/objectives`: one of the same kind that the endpoint has ends with it."""

    kind = serializers.CharField(max_length=12, help_text="availability or latency")
    target_pct = serializers.FloatField()
    window_days = serializers.IntegerField(default=28, max_value=NUMBER_MAX)
    slo_ms = serializers.FloatField(required=False, allow_null=True, default=None)
    bad_min = serializers.IntegerField(default=BAD_MIN, max_value=NUMBER_MAX)


class RuleWishSerializer(StrictSerializer):
    """The body of `POST …/alert-rules`."""

    kind = serializers.CharField(max_length=12, help_text="threshold, change, absence or audit")
    metric = serializers.ChoiceField(choices=list(RuleMetric), allow_blank=True, default="")
    direction = serializers.ChoiceField(choices=list(BoundSide), default=BoundSide.ABOVE.value)
    watched_act = serializers.ChoiceField(choices=list(WatchedAct), allow_blank=True, default="")
    bound = serializers.FloatField(default=0.0)
    over_min = serializers.IntegerField(default=5, max_value=NUMBER_MAX)
    minimum = serializers.IntegerField(default=0, max_value=NUMBER_MAX)
    for_min = serializers.IntegerField(default=0, max_value=NUMBER_MAX)
    clear_min = serializers.IntegerField(default=5, max_value=NUMBER_MAX)
    severity = serializers.ChoiceField(choices=list(AlertSeverity), default=AlertSeverity.URGENT.value)
    escalate_after_min = serializers.IntegerField(required=False, allow_null=True, default=None, max_value=NUMBER_MAX)
    escalate_to = serializers.CharField(max_length=20, allow_blank=True, default="")


class ObjectiveList(APIView):
    """What an endpoint is to keep, and how much of its error budget is left."""

    permission = READ_AND_EDIT

    @extend_schema(responses={200: ObjectiveSerializer(many=True)})
    def get(self, request: Request, environment: str, name: str) -> Response:
        endpoint = selectors.endpoint_for(actor(request), environment, name)
        return Response(ObjectiveSerializer(watched(endpoint).objectives(), many=True).data)

    @extend_schema(request=ObjectiveWishSerializer, responses={201: ObjectiveSerializer})
    @idempotent
    def post(self, request: Request, environment: str, name: str) -> Response:
        endpoint = selectors.endpoint_for(actor(request), environment, name, action=Action.OBJECTIVE_EDIT)
        body = read_body(ObjectiveWishSerializer, request)
        wish = ObjectiveWish(**body)
        made = objective_set(actor=actor(request), place=watched_in_use(endpoint), wish=wish)
        return Response(ObjectiveSerializer(made).data, status=status.HTTP_201_CREATED)


class ObjectiveEnd(APIView):
    """End an objective with its burn-rate rules."""

    permission = Action.OBJECTIVE_EDIT

    @extend_schema(request=ReasonSerializer, responses={200: ObjectiveSerializer})
    @idempotent
    def post(self, request: Request, environment: str, name: str, pk: str) -> Response:
        endpoint = selectors.endpoint_for(actor(request), environment, name, action=Action.OBJECTIVE_EDIT)
        body = read_body(ReasonSerializer, request)
        found = objective_of(endpoint, pk)
        return Response(ObjectiveSerializer(objective_end(actor=actor(request), objective=found, **body)).data)


class EndpointRules(APIView):
    """The alert rules of an endpoint, and how they stand."""

    permission = READ_AND_EDIT

    @extend_schema(responses={200: AlertRuleSerializer(many=True)})
    def get(self, request: Request, environment: str, name: str) -> Response:
        endpoint = selectors.endpoint_for(actor(request), environment, name)
        return Response(AlertRuleSerializer(watched(endpoint).rules(), many=True).data)

    @extend_schema(request=RuleWishSerializer, responses={201: AlertRuleSerializer})
    @idempotent
    def post(self, request: Request, environment: str, name: str) -> Response:
        endpoint = selectors.endpoint_for(actor(request), environment, name, action=Action.OBJECTIVE_EDIT)
        body = read_body(RuleWishSerializer, request)
        wish = RuleWish(**body)
        made = alert_rule_add(actor=actor(request), place=watched_in_use(endpoint), wish=wish)
        return Response(AlertRuleSerializer(made).data, status=status.HTTP_201_CREATED)


class AlertRuleEnd(APIView):
    """End an alert rule; its open alert is resolved with the reason."""

    permission = Action.OBJECTIVE_EDIT

    @extend_schema(request=ReasonSerializer, responses={200: AlertRuleSerializer})
    @idempotent
    def post(self, request: Request, environment: str, name: str, pk: str) -> Response:
        endpoint = selectors.endpoint_for(actor(request), environment, name, action=Action.OBJECTIVE_EDIT)
        body = read_body(ReasonSerializer, request)
        found = alert_rule_end(actor=actor(request), rule=alert_rule_of(endpoint, pk), **body)
        return Response(AlertRuleSerializer(found).data)
