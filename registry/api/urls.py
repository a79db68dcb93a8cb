"""REST addresses of the registry, under /api/v1/."""

from django.urls import path

from registry.api import views

urlpatterns = [
    path("models", views.ModelList.as_view(), name="api-models"),
    path("models/<str:name>", views.ModelDetail.as_view(), name="api-model"),
    path("models/<str:name>/renames", views.ModelRenames.as_view(), name="api-model-renames"),
    path("models/<str:name>/versions", views.VersionList.as_view(), name="api-versions"),
    path("models/<str:name>/versions/<int:number>", views.VersionDetail.as_view(), name="api-version"),
    path("environments", views.EnvironmentList.as_view(), name="api-environments"),
    path("policies", views.PolicyList.as_view(), name="api-policies"),
    path("policies/schema/", views.PolicySchema.as_view(), name="api-policy-schema"),
    path("policies/<str:environment>/<int:revision>", views.PolicyDetail.as_view(), name="api-policy"),
]
