"""Addresses of the registry's pages."""

from django.urls import path

from registry.views import delegations, environments, models

urlpatterns = [
    path("delegations/", delegations.delegations, name="delegations"),
    path("delegations/<uuid:pk>/end/", delegations.delegation_stop, name="delegation-end"),
    path("environments/", environments.environments, name="environments"),
    path("environments/<str:name>/", environments.environment, name="environment"),
    path("environments/<str:name>/proposals/<uuid:pk>/", environments.proposal_decide, name="proposal-decide"),
    path("models/", models.models, name="models"),
    path("models/<str:name>/", models.model, name="model"),
    path("models/<str:name>/edit/", models.model_edit, name="model-edit"),
    path("models/<str:name>/findings/<uuid:pk>/", models.finding_resolve, name="finding-resolve"),
    path("models/<str:name>/versions/<int:number>/", models.version, name="version"),
]
