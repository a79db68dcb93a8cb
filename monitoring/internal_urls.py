"""Addresses for gateways and Prometheus, under /internal/v1/."""

from django.urls import path

from monitoring import internal

urlpatterns = [
    path("gateways/<str:gateway>/windows", internal.windows, name="internal-windows"),
    path("metrics", internal.metrics, name="internal-metrics"),
]
