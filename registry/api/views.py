"""REST resources of the registry: read only, because MLflow owns what they show and the admin writes policy."""

from django.db.models import QuerySet
from rest_framework import generics

from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import actor_of
from registry.api.serializers import EnvironmentSerializer, ModelSerializer, PolicySerializer, VersionSerializer
from registry.filters import ModelFilter
from registry.models import Environment, Model, Policy, Version
from registry.selectors import environments_visible_to, model_for, models_visible_to, version_for


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
    """All revisions of the policies, newest first per environment."""

    permission = Action.VIEW
    serializer_class = PolicySerializer
    queryset = Policy.objects.none()

    def get_queryset(self) -> QuerySet[Policy]:
        environments = environments_visible_to(actor_of(self.request._request))
        return Policy.objects.filter(environment__in=environments).select_related("environment")
