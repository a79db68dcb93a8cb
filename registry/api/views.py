"""REST resources of the registry: MLflow owns what they show and the admin writes policy, so nearly all only read."""

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.api.idempotency import idempotent
from mlorch_site.lib.api import read_body
from mlorch_site.lib.errors import Conflict
from registry.api.serializers import (
    EnvironmentSerializer,
    ModelSerializer,
    PolicySerializer,
    RenameCandidateSerializer,
    RenameDeclarationSerializer,
    VersionSerializer,
    rename_told,
)
from registry.filters import ModelFilter
from registry.models import Environment, Model, Policy, Version
from registry.policy_schema import policy_schema
from registry.rename_candidates import rename_candidates, rename_effect
from registry.selectors import (
    environments_visible_to,
    model_for,
    models_visible_to,
    policies_visible_to,
    policy_revision_for,
    version_for,
)
from registry.services import rename_declare
from registry.services.environments import policy_values


class ModelList(generics.ListAPIView[Model]):
    """Models that the caller may see."""

    permission = Action.VIEW
    serializer_class = ModelSerializer
    filterset_class = ModelFilter
    queryset = Model.objects.none()

    def get_queryset(self) -> QuerySet[Model]:
        return models_visible_to(actor_of(self.request._request)).prefetch_related("aliases")


class ModelDetail(generics.RetrieveAPIView[Model]):
    """One model with its aliases."""

    permission = Action.VIEW
    serializer_class = ModelSerializer

    def get_object(self) -> Model:
        return model_for(actor_of(self.request._request), self.kwargs["name"])


class ModelRenames(APIView):
    """A model that was deleted in MLflow: which models it may be, and the act that says so."""

    permission = {"GET": Action.VIEW, "POST": Action.MODEL_EDIT}

    @extend_schema(responses={200: RenameCandidateSerializer(many=True)})
    def get(self, request: Request, name: str) -> Response:
        """The candidates, likeliest first, each with its reasons and what it would change."""
        actor = actor_of(request._request)
        missing = model_for(actor, name, gone=True)
        if missing.deleted_at is None:
            raise Conflict(f"{missing} is in MLflow, so it was not renamed.")
        rows = [(row, rename_effect(missing, row.model)) for row in rename_candidates(actor, missing)]
        return Response([rename_told(candidate, effect) for candidate, effect in rows])

    @extend_schema(request=RenameDeclarationSerializer, responses={200: ModelSerializer})
    @idempotent
    def post(self, request: Request, name: str) -> Response:
        """Declare that the missing model is another one; `expects` is what GET said of it. 409 when either changed."""
        actor = actor_of(request._request)
        given = read_body(RenameDeclarationSerializer, request)
        missing = model_for(actor, name, action=Action.MODEL_EDIT, gone=True)
        found = model_for(actor, given["model"], action=Action.MODEL_EDIT)
        model = rename_declare(
            actor=actor, missing=missing, found=found, expects=given["expects"], reason=given["reason"]
        )
        return Response(ModelSerializer(model).data)


class VersionList(generics.ListAPIView[Version]):
    """Versions of a model, newest first."""

    permission = Action.VIEW
    serializer_class = VersionSerializer
    queryset = Version.objects.none()

    def get_queryset(self) -> QuerySet[Version]:
        model = model_for(actor_of(self.request._request), self.kwargs["name"])
        return model.versions.filter(superseded_at=None).select_related("model")


class VersionDetail(generics.RetrieveAPIView[Version]):
    """One version."""

    permission = Action.VIEW
    serializer_class = VersionSerializer

    def get_object(self) -> Version:
        return version_for(actor_of(self.request._request), self.kwargs["name"], self.kwargs["number"])


class EnvironmentList(generics.ListAPIView[Environment]):
    """Environments that the caller may see, in order."""

    permission = Action.VIEW
    serializer_class = EnvironmentSerializer
    queryset = Environment.objects.none()

    def get_queryset(self) -> QuerySet[Environment]:
        return environments_visible_to(actor_of(self.request._request))


class PolicyList(generics.ListAPIView[Policy]):
    """All revisions of the policies, newest first per environment; `retired_at` is null for the one in force of each
    line.
    """

    permission = Action.VIEW
    serializer_class = PolicySerializer
    queryset = Policy.objects.none()

    def get_queryset(self) -> QuerySet[Policy]:
        return policies_visible_to(actor_of(self.request._request))


class PolicySchema(APIView):
    """The JSON Schema of a policy as a document."""

    permission = Action.VIEW

    @extend_schema(responses={200: OpenApiTypes.OBJECT})
    def get(self, request: Request) -> Response:
        """The schema of what `manage.py policy_export` writes and an import reads."""
        return Response(policy_schema())


class PolicyDetail(APIView):
    """A revision of a policy as a document."""

    permission = Action.VIEW

    @extend_schema(responses={200: OpenApiTypes.OBJECT})
    def get(self, request: Request, environment: str, revision: int) -> Response:
        """What the revision says, in the shape of the schema."""
        policy = policy_revision_for(actor_of(request._request), environment, revision)
        said = {name: value for name, value in policy_values(policy).items() if name != "note"}
        line = {"environment": policy.environment.name, "tier": policy.tier, "note": policy.note}
        return Response({**line, "model": policy.model.name if policy.model else None, **said})
