"""Addresses for gateway and agent, under /internal/v1/."""

from django.urls import path

from deployments import internal

urlpatterns = [
    path("gateways/<slug:gateway>/poll", internal.gateway_poll, name="gateway-poll"),
    path("agents/<slug:agent>/sync", internal.agent_sync, name="agent-sync"),
]
