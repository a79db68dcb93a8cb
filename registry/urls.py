"""Addresses of the registry's pages."""

from typing import Any

urlpatterns: list[Any] = []
