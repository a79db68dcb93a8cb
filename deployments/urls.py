"""Addresses of the pages of releases, approvals and endpoints, and of the past."""

from django.urls import path

from deployments.views import approvals, decisions, endpoints, overview, past, releases, renames, system

urlpatterns = [
    path("", overview.overview, name="overview"),
    path("approvals/", approvals.approvals, name="approvals"),
    path("approvals/bulk/", approvals.approvals_bulk, name="approvals-bulk"),
    path("approvals/filters/", approvals.filter_keep, name="saved-filter-keep"),
    path("approvals/filters/<int:number>/remove/", approvals.filter_remove, name="saved-filter-remove"),
    path("approvals/<uuid:pk>/", decisions.approval, name="approval"),
    path("approvals/<uuid:pk>/decide/", decisions.approval_decide, name="approval-decide"),
    path("approvals/<uuid:pk>/withdraw/", decisions.approval_withdraw, name="approval-withdraw"),
    path("approvals/<uuid:pk>/thread/", decisions.approval_thread, name="approval-thread"),
    path("approvals/<uuid:pk>/comment/", decisions.approval_comment, name="approval-comment"),
    path("approvals/<uuid:pk>/seen/", decisions.approval_mention_done, name="approval-mention-done"),
    path("releases/", releases.releases, name="releases"),
    path("releases/new/", releases.release_new, name="release-new"),
    path("releases/form/", releases.release_form, name="release-form"),
    path("releases/preview/", releases.release_preview, name="release-preview"),
    path("releases/<uuid:pk>/", releases.release, name="release"),
    path("releases/<uuid:pk>/report/", releases.release_report, name="release-report"),
    path("releases/<uuid:pk>/<slug:action>/", releases.release_action, name="release-action"),
    path("endpoints/", endpoints.endpoints, name="endpoints"),
    path("endpoints/<str:environment>/<str:name>/", endpoints.endpoint, name="endpoint"),
    path("endpoints/<str:environment>/<str:name>/rollback/", endpoints.endpoint_rollback, name="endpoint-rollback"),
    path("endpoints/<str:environment>/<str:name>/retire/", endpoints.endpoint_retire, name="endpoint-retire"),
    path("endpoints/<str:environment>/<str:name>/restore/", endpoints.endpoint_restore, name="endpoint-restore"),
    path("endpoints/<str:environment>/<str:name>/serving/", endpoints.endpoint_serving, name="endpoint-serving"),
    path("endpoints/<str:environment>/<str:name>/try/", endpoints.endpoint_try, name="endpoint-try"),
    path("models/<str:name>/is/<str:other>/", renames.model_rename, name="model-rename"),
    path("endpoints/<str:environment>/<str:name>/past/", past.endpoint_then, name="endpoint-past"),
    path("models/<str:name>/past/", past.model_then, name="model-past"),
    path("environments/<str:name>/past/", past.environment_then, name="environment-past"),
    path("system/", system.system, name="system"),
    path("gateways/", system.gateways, name="gateways"),
]
