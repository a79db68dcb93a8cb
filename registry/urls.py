"""Addresses of the registry's pages."""

from django.urls import path

from registry.views import models

urlpatterns = [
    path("models/", models.models, name="models"),
    path("models/<str:name>/", models.model, name="model"),
    path("models/<str:name>/edit/", models.model_edit, name="model-edit"),
    path("models/<str:name>/findings/<uuid:pk>/", models.finding_resolve, name="finding-resolve"),
    path("models/<str:name>/versions/<int:number>/", models.version, name="version"),
]
