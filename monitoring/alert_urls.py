"""Addresses of the pages of alerts."""

from django.urls import path

from monitoring.views import alerts

urlpatterns = [
    path("alerts/", alerts.alerts, name="alerts"),
    path("alerts/rules/", alerts.alert_rules, name="alert-rules"),
    path("alerts/<uuid:pk>/", alerts.alert, name="alert"),
    path("alerts/<uuid:pk>/<slug:action>/", alerts.alert_action, name="alert-action"),
]
