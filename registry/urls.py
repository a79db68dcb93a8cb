"""Addresses of the registry's pages."""

from django.urls import path

from registry.views import cards, delegations, environments, lifecycle, models, policies, policy_drafts

urlpatterns = [
    path("delegations/", delegations.delegations, name="delegations"),
    path("delegations/<uuid:pk>/end/", delegations.delegation_stop, name="delegation-end"),
    path("environments/", environments.environments, name="environments"),
    path("environments/<str:name>/", environments.environment, name="environment"),
    path("policies/", policies.policies, name="policies"),
    path("policies/<str:environment>/<int:revision>/", policies.policy, name="policy"),
    path("policies/drafts/<uuid:pk>/", policy_drafts.policy_draft, name="policy-draft"),
    path("policies/drafts/<uuid:pk>/moves/", policy_drafts.policy_draft_move, name="policy-draft-move"),
    path("policies/<str:environment>/<int:revision>/end/", policy_drafts.policy_end, name="policy-end"),
    path("environments/<str:environment>/window-preview/", policy_drafts.window_preview, name="window-preview"),
    path("policies/import/", policy_drafts.policy_import, name="policy-import"),
    path("policies/drafts/<uuid:pk>/document/", policy_drafts.policy_draft_document, name="policy-draft-document"),
    path("policies/<str:environment>/<int:revision>/document/", policies.policy_document, name="policy-document"),
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
