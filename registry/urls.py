"""Addresses of the registry's pages."""

from django.urls import path

from registry.views import environments, lifecycle, models, policies

urlpatterns = [
    path("environments/", environments.environments, name="environments"),
    path("environments/<str:name>/", environments.environment, name="environment"),
    path("environments/<str:name>/proposals/<uuid:pk>/", environments.proposal_decide, name="proposal-decide"),
    path("policies/", policies.policies, name="policies"),
    path("policies/<str:environment>/<int:revision>/", policies.policy, name="policy"),
    path("models/", models.models, name="models"),
    path("models/<str:name>/", models.model, name="model"),
    path("models/<str:name>/edit/", models.model_edit, name="model-edit"),
    path("models/<str:name>/findings/<uuid:pk>/", models.finding_resolve, name="finding-resolve"),
    path("models/<str:name>/versions/<int:number>/", models.version, name="version"),
    path("models/<str:name>/versions/<int:number>/lifecycle/", lifecycle.version_lifecycle, name="version-lifecycle"),
]
