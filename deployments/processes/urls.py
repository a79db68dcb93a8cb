"""Addresses for gateway, agent and Prometheus, under /internal/v1/."""

from django.urls import path

from deployments.processes import long_polls, site_metrics

urlpatterns = [
    path("gateways/<slug:gateway>/poll", long_polls.gateway_poll, name="gateway-poll"),
    path("agents/<slug:agent>/sync", long_polls.agent_sync, name="agent-sync"),
    path("metrics", site_metrics.metrics, name="internal-metrics"),
]
