"""Websocket routes."""

from typing import Any

from django.urls import path

from mlorch_site.live.consumers import LiveConsumer
from monitoring.consumers import ChartConsumer

websocket_routes: list[Any] = [
    path("ws/live/", LiveConsumer.as_asgi()),
    path("ws/charts/<str:environment>/<str:endpoint>/", ChartConsumer.as_asgi()),
]
