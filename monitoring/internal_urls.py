"""Addresses for gateways, under /internal/v1/."""

from django.urls import path

from monitoring import internal

urlpatterns = [
    path("gateways/<str:gateway>/windows", internal.windows, name="internal-windows"),
]
