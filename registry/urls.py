"""Addresses of the registry's pages."""

from django.urls import path

from registry.views import cards, environments, lifecycle, models

urlpatterns = [
    path("environments/", environments.environments, name="environments"),
    path("environments/<str:name>/", environments.environment, name="environment"),
    path("environments/<str:name>/proposals/<uuid:pk>/", environments.proposal_decide, name="proposal-decide"),
    path("models/", models.models, name="models"),
    path("models/<str:name>/", models.model, name="model"),
    path("models/<str:name>/edit/", models.model_edit, name="model-edit"),
    path("models/<str:name>/findings/<uuid:pk>/", models.finding_resolve, name="finding-resolve"),
    path("models/<str:name>/versions/<int:number>/", models.version, name="version"),
    path("models/<str:name>/versions/<int:number>/card/", cards.card, name="card"),
    path("models/<str:name>/versions/<int:number>/card/edit/", cards.card_edit, name="card-edit"),
    path("models/<str:name>/versions/<int:number>/card/preview/", cards.card_preview, name="card-preview"),
    path("models/<str:name>/versions/<int:number>/card/import/", cards.card_import, name="card-import"),
    path("models/<str:name>/versions/<int:number>/card/revisions/", cards.card_revisions, name="card-revisions"),
    path("models/<str:name>/versions/<int:number>/card/export/", cards.card_export, name="card-export"),
    path("models/<str:name>/versions/<int:number>/card/print/", cards.card_print, name="card-print"),
    path("models/<str:name>/versions/<int:number>/card/pdf/", cards.card_pdf, name="card-pdf"),
    path("models/<str:name>/versions/<int:number>/lifecycle/", lifecycle.version_lifecycle, name="version-lifecycle"),
]
