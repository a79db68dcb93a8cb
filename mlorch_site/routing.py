"""Websocket routes."""

from typing import Any

websocket_routes: list[Any] = []
