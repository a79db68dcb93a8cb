"""REST resources of outcomes: what an endpoint wants to know, and what clients report."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deployments import selectors
from deployments.api.serializers import ReasonSerializer, StrictSerializer
from deployments.api.views import actor
from deployments.services.outcomes import outcomes_post
from deployments.services.watching import outcome_of, watched, watched_in_use
from mlorch_site.accounts.roles import Action
from mlorch_site.api.idempotency import idempotent
from mlorch_site.lib.api import read_body
from monitoring import limits
from monitoring.models import OutcomeDefinition
from monitoring.outcome_figures import outcome_figures
from monitoring.services import OutcomeWish, outcome_define, outcome_end


class OutcomeWishSerializer(StrictSerializer):
    """The body of `POST …/outcomes`. Bounds are needed of a number: only what is bounded can be judged at any time."""

    name = serializers.CharField(max_length=40)
    kind = serializers.CharField(max_length=6, help_text="binary or number")
    larger_is = serializers.CharField(max_length=6, help_text="better or worse")
    low = serializers.FloatField(default=0.0)
    high = serializers.FloatField(default=1.0)
    unit = serializers.CharField(max_length=20, allow_blank=True, default="")


class ArmOutcomesSerializer(serializers.Serializer[Any]):
    """What was reported of one arm over the last day; `mean` is in the outcome's own unit."""

    arm = serializers.CharField()
    version = serializers.IntegerField()
    release = serializers.CharField()
    outcomes = serializers.IntegerField()
    mean = serializers.FloatField()
    requests = serializers.IntegerField()
    late_s = serializers.FloatField(help_text="From the request to its outcome, on average.")


class OutcomeDefinitionSerializer(serializers.ModelSerializer[OutcomeDefinition]):
    kind = serializers.CharField(help_text="binary or number")
    larger_is = serializers.CharField(help_text="better or worse")
    sentence = serializers.CharField()
    arms = ArmOutcomesSerializer(many=True)

    class Meta:
        model = OutcomeDefinition
        fields = [
            *("id", "name", "kind", "larger_is", "low", "high", "unit", "sentence"),
            *("created_at", "created_by", "ended_at", "arms"),
        ]


class PostedOutcomesSerializer(StrictSerializer):
    """The body of `POST /outcomes`."""

    outcomes = serializers.ListField(
        child=serializers.JSONField(),
        max_length=limits.OUTCOMES_PER_POST_MAX,
        allow_empty=False,
        help_text="Objects with environment, endpoint, name, value, at, and unit or request_id with release.",
    )


class RowResultSerializer(serializers.Serializer[Any]):
    status = serializers.CharField(help_text="taken, corrected, unchanged, older or refused")
    reason = serializers.CharField()
    details = serializers.DictField()


class OutcomeResultsSerializer(serializers.Serializer[Any]):
    """What became of each row, in the order of the rows."""

    taken = serializers.IntegerField()
    refused = serializers.IntegerField()
    results = RowResultSerializer(many=True)


class OutcomeList(APIView):
    """Say what became of requests: each row is taken or refused for itself."""

    permission = Action.OUTCOME_POST

    @extend_schema(request=PostedOutcomesSerializer, responses={200: OutcomeResultsSerializer})
    @idempotent
    def post(self, request: Request) -> Response:
        body = read_body(PostedOutcomesSerializer, request)
        results = outcomes_post(actor=actor(request), rows=body["outcomes"])
        refused = sum(result.status == "refused" for result in results)
        shown = {"taken": len(results) - refused, "refused": refused, "results": results}
        return Response(OutcomeResultsSerializer(shown).data)


class EndpointOutcomes(APIView):
    """The outcomes that are reported for an endpoint, with what came over the last day."""

    permission = {"GET": Action.VIEW, "POST": Action.OBJECTIVE_EDIT}

    @extend_schema(responses={200: OutcomeDefinitionSerializer(many=True)})
    def get(self, request: Request, environment: str, name: str) -> Response:
        endpoint = selectors.endpoint_for(actor(request), environment, name)
        return Response(OutcomeDefinitionSerializer(outcome_figures(watched(endpoint)), many=True).data)

    @extend_schema(request=OutcomeWishSerializer, responses={201: OutcomeDefinitionSerializer})
    @idempotent
    def post(self, request: Request, environment: str, name: str) -> Response:
        endpoint = selectors.endpoint_for(actor(request), environment, name, action=Action.OBJECTIVE_EDIT)
        wish = OutcomeWish(**read_body(OutcomeWishSerializer, request))
        made = outcome_define(actor=actor(request), place=watched_in_use(endpoint), wish=wish)
        made.arms = []  # type: ignore[attr-defined]
        return Response(OutcomeDefinitionSerializer(made).data, status=status.HTTP_201_CREATED)


class OutcomeEnd(APIView):
    """Take no more of an outcome; what came stays."""

    permission = Action.OBJECTIVE_EDIT

    @extend_schema(request=ReasonSerializer, responses={200: OutcomeDefinitionSerializer})
    @idempotent
    def post(self, request: Request, environment: str, name: str, pk: str) -> Response:
        endpoint = selectors.endpoint_for(actor(request), environment, name, action=Action.OBJECTIVE_EDIT)
        body = read_body(ReasonSerializer, request)
        ended = outcome_end(actor=actor(request), definition=outcome_of(endpoint, pk), **body)
        ended.arms = []  # type: ignore[attr-defined]
        return Response(OutcomeDefinitionSerializer(ended).data)
