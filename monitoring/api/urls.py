"""REST addresses of alerts, under /api/v1/."""

from django.urls import path

from monitoring.api import views

urlpatterns = [
    path("alerts", views.AlertList.as_view(), name="api-alerts"),
    path("alerts/<uuid:pk>", views.AlertDetail.as_view(), name="api-alert"),
    path("alerts/<uuid:pk>/acknowledge", views.AlertAcknowledge.as_view(), name="api-alert-acknowledge"),
    path("alerts/<uuid:pk>/silence", views.AlertSilence.as_view(), name="api-alert-silence"),
    path("alerts/<uuid:pk>/unsilence", views.AlertUnsilence.as_view(), name="api-alert-unsilence"),
    path("alert-rules", views.AlertRuleList.as_view(), name="api-alert-rules"),
]
