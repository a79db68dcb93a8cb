"""The index of every address of the site."""

from django.contrib import admin
from django.urls import include, path

from mlorch_site import health
from mlorch_site.accounts.views import sessions
from registry import webhooks
from registry.evidence import external_answers

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    # The admin has no sign-in of its own: one throttle and one record for all.
    path("admin/login/", sessions.admin_sign_in),
    path("admin/logout/", sessions.sign_out),
    path("admin/password_change/", sessions.password),
    path("admin/", admin.site.urls),
    path("webhooks/mlflow", webhooks.mlflow_webhook, name="mlflow-webhook"),
    path("webhooks/external-checks/<uuid:pk>", external_answers.external_answer, name="external-answer"),
    path("internal/v1/", include("deployments.processes.urls")),
    path("internal/v1/", include("monitoring.internal_urls")),
    path("api/v1/", include("deployments.api.urls")),
    path("api/v1/", include("monitoring.api.urls")),
    path("api/v1/", include("registry.api.urls")),
    path("api/v1/", include("mlorch_site.api.urls")),
    path("live/", include("mlorch_site.live.urls")),
    path("live/charts/", include("monitoring.urls")),
    path("", include("registry.urls")),
    path("", include("monitoring.alert_urls")),
    path("", include("deployments.urls")),
    path("", include("mlorch_site.accounts.urls")),
    path("", include("mlorch_site.audit.urls")),
    path("", include("mlorch_site.notices.urls")),
]

handler400 = "mlorch_site.lib.refusals.malformed"
handler403 = "mlorch_site.lib.refusals.forbidden"
handler404 = "mlorch_site.lib.refusals.missing"
handler500 = "mlorch_site.lib.refusals.broken"
