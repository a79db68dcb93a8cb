"""Addresses for gateway and agent, under /internal/v1/."""

from django.urls import path

from deployments.processes import calls

urlpatterns = [
    path("gateways/<slug:gateway>/poll", calls.gateway_poll, name="gateway-poll"),
    path("agents/<slug:agent>/sync", calls.agent_sync, name="agent-sync"),
]
