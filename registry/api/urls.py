"""REST addresses of the registry, under /api/v1/."""

from django.urls import path

from registry.api import cards, evidence, lifecycle, views

urlpatterns = [
    path("models", views.ModelList.as_view(), name="api-models"),
    path("models/<str:name>", views.ModelDetail.as_view(), name="api-model"),
    path("models/<str:name>/renames", views.ModelRenames.as_view(), name="api-model-renames"),
    path("models/<str:name>/versions", views.VersionList.as_view(), name="api-versions"),
    path("models/<str:name>/versions/<int:number>", views.VersionDetail.as_view(), name="api-version"),
    path(
        "models/<str:name>/versions/<int:number>/lifecycle",
        lifecycle.VersionLifecycleView.as_view(),
        name="api-version-lifecycle",
    ),
    path("models/<str:name>/versions/<int:number>/card", cards.Card.as_view(), name="api-card"),
    path(
        "models/<str:name>/versions/<int:number>/card/revisions",
        cards.CardRevisions.as_view(),
        name="api-card-revisions",
    ),
    path("models/<str:name>/versions/<int:number>/card/export", cards.CardExport.as_view(), name="api-card-export"),
    path("environments", views.EnvironmentList.as_view(), name="api-environments"),
    path("policies", views.PolicyList.as_view(), name="api-policies"),
    path("advisories", evidence.AdvisorySetList.as_view(), name="api-advisories"),
    path("signing-keys", evidence.SigningKeyList.as_view(), name="api-signing-keys"),
    path("external-checks", evidence.ExternalCheckList.as_view(), name="api-external-checks"),
    path("policies/schema/", views.PolicySchema.as_view(), name="api-policy-schema"),
    path("policies/<str:environment>/<int:revision>", views.PolicyDetail.as_view(), name="api-policy"),
]
