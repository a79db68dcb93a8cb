"""REST resources of simulations."""

from dataclasses import asdict
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deployments import selectors, services
from deployments.api.serializers import StrictSerializer
from deployments.api.views import actor
from deployments.models import PlanSimulation
from deployments.plan_forecast import traffic_of
from deployments.plan_trials import EFFECTS_PP, ROLLOUTS, TrialWish
from deployments.rollout.simulation import RATE_MAX_PER_S, ROLLOUTS_MAX, SimulatedTraffic
from mlorch_site.accounts.roles import Action
from mlorch_site.api.idempotency import idempotent
from mlorch_site.lib.api import read_body
from registry.selectors import ruling_policy


class PlanSimulationSerializer(serializers.ModelSerializer[PlanSimulation]):
    """A simulation: `done` of `total` rollouts have ended; `results` has a row for each truth."""

    environment = serializers.CharField(source="endpoint.environment.name")
    endpoint = serializers.CharField(source="endpoint.name")

    class Meta:
        model = PlanSimulation
        fields = [
            *("id", "environment", "endpoint", "asked_by", "inputs", "created_at", "done", "total", "results"),
            *("error", "cancelled_by", "ended_at"),
        ]


class TrialWishSerializer(StrictSerializer):
    """The body of `POST …/simulations`; traffic that is not given is what was measured."""

    strategy = serializers.DictField()
    guardrails = serializers.ListField(child=serializers.DictField(), allow_null=True, default=None)
    effects_pp = serializers.ListField(
        child=serializers.FloatField(min_value=0, max_value=100), default=list(EFFECTS_PP), max_length=8
    )
    rate_per_s = serializers.FloatField(min_value=0, max_value=RATE_MAX_PER_S, required=False)
    error_share = serializers.FloatField(min_value=0, max_value=1, required=False)
    design_effect = serializers.FloatField(min_value=1, max_value=RATE_MAX_PER_S, required=False)
    rollouts = serializers.IntegerField(min_value=1, max_value=ROLLOUTS_MAX, default=ROLLOUTS)
    seed = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=0)


class SimulationList(APIView):
    """Try a plan at an endpoint by simulation."""

    permission = Action.RELEASE_REQUEST

    @extend_schema(request=TrialWishSerializer, responses={202: PlanSimulationSerializer})
    @idempotent
    def post(self, request: Request, environment: str, name: str) -> Response:
        endpoint = selectors.endpoint_for(actor(request), environment, name, action=Action.RELEASE_REQUEST)
        body = read_body(TrialWishSerializer, request)
        policy = ruling_policy(endpoint.environment, endpoint.model)
        measured = asdict(traffic_of((environment, name)))
        given = {key: body.pop(key) for key in measured if key in body}
        guardrails = body.pop("guardrails")
        wish = TrialWish(
            strategy=body["strategy"],
            guardrails=policy.default_guardrails if guardrails is None else guardrails,
            traffic=SimulatedTraffic(**measured | given),
            deadline_s=policy.judge_deadline_s,
            effects_pp=tuple(body["effects_pp"]),
            rollouts=body["rollouts"],
            seed=body["seed"],
        )
        run = services.simulation_ask(actor=actor(request), endpoint=endpoint, wish=wish)
        return Response(PlanSimulationSerializer(run).data, status=status.HTTP_202_ACCEPTED)


class SimulationDetail(APIView):
    """One simulation, how far it is, and what came of it."""

    permission = Action.VIEW

    @extend_schema(responses={200: PlanSimulationSerializer})
    def get(self, request: Request, pk: UUID) -> Response:
        return Response(PlanSimulationSerializer(selectors.simulation_for(actor(request), pk)).data)


class SimulationCancel(APIView):
    """Try it no further: one's own, or with the right to abort releases."""

    permission = Action.VIEW

    @extend_schema(request=None, responses={200: PlanSimulationSerializer})
    @idempotent
    def post(self, request: Request, pk: UUID) -> Response:
        run = services.simulation_cancel(actor=actor(request), run=selectors.simulation_for(actor(request), pk))
        return Response(PlanSimulationSerializer(run).data)
