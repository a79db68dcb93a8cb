"""REST resources of plan templates."""

from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deployments import services
from deployments.api.serializers import ReasonSerializer, StrictSerializer
from deployments.api.views import actor
from deployments.filters import PlanTemplateFilter
from deployments.models import PlanTemplate
from deployments.plan_template_selectors import plan_template_for, plan_templates_visible_to
from deployments.services.plan_templates import TemplateWish
from mlorch_site.accounts.roles import Action
from mlorch_site.api.idempotency import idempotent
from mlorch_site.lib.api import read_body
from registry.selectors import environment_for, model_for


class PlanTemplateSerializer(serializers.ModelSerializer[PlanTemplate]):
    """One revision of a template; without `environment` and `model` it is offered everywhere."""

    environment = serializers.CharField(source="environment.name", default=None)
    model = serializers.CharField(source="model.name", default=None)

    class Meta:
        model = PlanTemplate
        fields = [
            *("id", "name", "revision", "environment", "model", "strategy", "guardrails", "note"),
            *("created_at", "created_by", "ended_at"),
        ]


class TemplateWishSerializer(StrictSerializer):
    """The body of `POST /plan-templates`."""

    name = serializers.CharField(max_length=60)
    strategy = serializers.DictField()
    guardrails = serializers.ListField(child=serializers.DictField(), default=list)
    environment = serializers.CharField(max_length=40, allow_blank=True, default="")
    model = serializers.CharField(max_length=255, allow_blank=True, default="")
    note = serializers.CharField(max_length=500, allow_blank=True, default="")


class PlanTemplateList(generics.ListAPIView[PlanTemplate]):
    """Templates that hold, by name; with `ended` earlier revisions too."""

    permission = {"GET": Action.VIEW, "POST": Action.ENDPOINT_MANAGE}
    serializer_class = PlanTemplateSerializer
    filterset_class = PlanTemplateFilter
    queryset = PlanTemplate.objects.none()

    def get_queryset(self) -> QuerySet[PlanTemplate]:
        return plan_templates_visible_to(actor(self.request))

    @extend_schema(request=TemplateWishSerializer, responses={201: PlanTemplateSerializer})
    @idempotent
    def post(self, request: Request) -> Response:
        """Save a plan under a name: its next revision."""
        body, by = read_body(TemplateWishSerializer, request), actor(request)
        environment, model = body.pop("environment"), body.pop("model")
        wish = TemplateWish(
            **body,
            environment=environment_for(by, environment) if environment else None,
            model=model_for(by, model) if model else None,
        )
        made = services.plan_template_save(actor=by, wish=wish)
        return Response(PlanTemplateSerializer(made).data, status=status.HTTP_201_CREATED)


class PlanTemplateDetail(APIView):
    """One revision of a template."""

    permission = Action.VIEW

    @extend_schema(responses={200: PlanTemplateSerializer})
    def get(self, request: Request, pk: UUID) -> Response:
        return Response(PlanTemplateSerializer(plan_template_for(actor(request), pk)).data)


class PlanTemplateEnd(APIView):
    """Offer a template no longer."""

    permission = Action.ENDPOINT_MANAGE

    @extend_schema(request=ReasonSerializer, responses={200: PlanTemplateSerializer})
    @idempotent
    def post(self, request: Request, pk: UUID) -> Response:
        body = read_body(ReasonSerializer, request)
        found = plan_template_for(actor(request), pk)
        ended = services.plan_template_end(actor=actor(request), template=found, **body)
        return Response(PlanTemplateSerializer(ended).data)
