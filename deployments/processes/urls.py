"""Addresses for gateway, agent and Prometheus, under /internal/v1/."""

from django.urls import path

from deployments.processes import drift_reports, long_polls, site_metrics

urlpatterns = [
    path("gateways/<slug:gateway>/poll", long_polls.gateway_poll, name="gateway-poll"),
    path("gateways/<slug:gateway>/drift", drift_reports.gateway_drift, name="gateway-drift"),
    path("agents/<slug:agent>/sync", long_polls.agent_sync, name="agent-sync"),
    path("metrics", site_metrics.metrics, name="internal-metrics"),
]
