"""REST addresses of releases, endpoints and gateway keys, and of the past, under /api/v1/."""

from django.urls import path

from deployments.api import (
    approvals,
    delegations,
    emergencies,
    gates,
    keys,
    monitoring,
    objectives,
    past,
    reports,
    views,
)

ENDPOINT = "endpoints/<str:environment>/<str:name>"

urlpatterns = [
    path("releases", views.ReleaseList.as_view(), name="api-releases"),
    path("releases/preview", views.ReleasePreview.as_view(), name="api-release-preview"),
    path("releases/<uuid:pk>", views.ReleaseDetail.as_view(), name="api-release"),
    path("releases/<uuid:pk>/report", reports.ReleaseReport.as_view(), name="api-release-report"),
    path("releases/<uuid:pk>/decisions", views.ReleaseDecisions.as_view(), name="api-release-decisions"),
    path("releases/<uuid:pk>/pause", views.ReleasePause.as_view(), name="api-release-pause"),
    path("releases/<uuid:pk>/resume", views.ReleaseResume.as_view(), name="api-release-resume"),
    path("releases/<uuid:pk>/promote", views.ReleasePromote.as_view(), name="api-release-promote"),
    path("releases/<uuid:pk>/abort", views.ReleaseAbort.as_view(), name="api-release-abort"),
    path("releases/<uuid:pk>/emergency", emergencies.ReleaseEmergency.as_view(), name="api-release-emergency"),
    path("reports", reports.ReportList.as_view(), name="api-reports"),
    path("reports/schema/", reports.ReportSchema.as_view(), name="api-report-schema"),
    path("reports/period", reports.PeriodDetail.as_view(), name="api-reports-period"),
    path("reports/compare", reports.ReportComparison.as_view(), name="api-reports-compare"),
    path("reports/<int:pk>", reports.ReportDetail.as_view(), name="api-report"),
    path("reports/<int:pk>/pdf", reports.ReportPrint.as_view(), name="api-report-pdf"),
    path("reviews", emergencies.ReviewList.as_view(), name="api-reviews"),
    path("reviews/<uuid:pk>", emergencies.ReviewDetail.as_view(), name="api-review"),
    path("reviews/<uuid:pk>/close", emergencies.ReviewClose.as_view(), name="api-review-close"),
    path("releases/<uuid:pk>/gates", gates.ReleaseGates.as_view(), name="api-release-gates"),
    path("releases/<uuid:pk>/gates/<slug:gate>/run", gates.ReleaseGateRun.as_view(), name="api-release-gate-run"),
    path("releases/<uuid:pk>/gates/<slug:gate>/waive", gates.ReleaseGateWaive.as_view(), name="api-release-gate-waive"),
    path(
        "releases/<uuid:pk>/waivers/<uuid:waiver>/withdraw",
        gates.ReleaseWaiverWithdraw.as_view(),
        name="api-release-waiver-withdraw",
    ),
    path(f"{ENDPOINT}/objectives", objectives.ObjectiveList.as_view(), name="api-objectives"),
    path(f"{ENDPOINT}/objectives/<uuid:pk>/end", objectives.ObjectiveEnd.as_view(), name="api-objective-end"),
    path(f"{ENDPOINT}/alert-rules", objectives.EndpointRules.as_view(), name="api-endpoint-alert-rules"),
    path(f"{ENDPOINT}/alert-rules/<uuid:pk>/end", objectives.AlertRuleEnd.as_view(), name="api-alert-rule-end"),
    path("endpoints", views.EndpointList.as_view(), name="api-endpoints"),
    path("endpoints/<str:environment>/<str:name>", views.EndpointDetail.as_view(), name="api-endpoint"),
    path(
        "endpoints/<str:environment>/<str:name>/rollback",
        views.EndpointRollback.as_view(),
        name="api-endpoint-rollback",
    ),
    path("endpoints/<str:environment>/<str:name>/retire", views.EndpointRetire.as_view(), name="api-endpoint-retire"),
    path(
        "endpoints/<str:environment>/<str:name>/restore", views.EndpointRestore.as_view(), name="api-endpoint-restore"
    ),
    path(
        "endpoints/<str:environment>/<str:name>/serving-config",
        views.EndpointServing.as_view(),
        name="api-endpoint-serving",
    ),
    path(
        "endpoints/<str:environment>/<str:name>/metrics", views.EndpointMetrics.as_view(), name="api-endpoint-metrics"
    ),
    path("endpoints/<str:environment>/<str:name>/past", past.EndpointPastDetail.as_view(), name="api-endpoint-past"),
    path("models/<str:name>/past", past.ModelPastDetail.as_view(), name="api-model-past"),
    path("environments/<str:name>/past", past.EnvironmentPastDetail.as_view(), name="api-environment-past"),
    path("monitoring", monitoring.MonitoringDetail.as_view(), name="api-monitoring"),
    path(
        "endpoints/<str:environment>/<str:name>/history",
        monitoring.EndpointHistoryDetail.as_view(),
        name="api-endpoint-history",
    ),
    path("approvals", approvals.ApprovalList.as_view(), name="api-approvals"),
    path("approvals/decisions", approvals.ApprovalDecisions.as_view(), name="api-approvals-decisions"),
    path("approvals/<uuid:pk>", approvals.ApprovalDetail.as_view(), name="api-approval"),
    path("approvals/<uuid:pk>/withdraw", approvals.ApprovalWithdraw.as_view(), name="api-approval-withdraw"),
    path("approvals/<uuid:pk>/comments", approvals.ApprovalComments.as_view(), name="api-approval-comments"),
    path("approvals/<uuid:pk>/comments/<int:number>", approvals.ApprovalComment.as_view(), name="api-approval-comment"),
    path("delegations", delegations.DelegationList.as_view(), name="api-delegations"),
    path("delegations/<uuid:pk>/end", delegations.DelegationEnd.as_view(), name="api-delegation-end"),
    path("saved-filters", delegations.SavedFilterList.as_view(), name="api-saved-filters"),
    path("saved-filters/<int:number>", delegations.SavedFilterRemove.as_view(), name="api-saved-filter"),
    path("gateway-keys", keys.KeyList.as_view(), name="api-gateway-keys"),
    path("gateway-keys/<uuid:pk>/revoke", keys.KeyRevoke.as_view(), name="api-gateway-key-revoke"),
]
