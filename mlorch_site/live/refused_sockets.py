"""Websockets that are refused are recorded as refused acts of pages are, however often a program tries."""

from collections.abc import MutableMapping
from dataclasses import replace
from typing import Any

from django.conf import settings

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import User
from mlorch_site.accounts.selectors import actor_for_user
from mlorch_site.audit.refusal_counts import refusal_count
from mlorch_site.lib.peer import peer_of_socket

ROUTE = "websocket"


def refused_socket_note(scope: MutableMapping[str, Any], *, user: User | None, reason: str) -> None:
    """Record that the websocket of `scope` is refused to `user`, or to whoever comes from its address."""
    address = peer_of_socket(tuple(settings.TRUSTED_PROXIES), scope)
    actor = replace(actor_for_user(user) if user else Actor.anonymous(), address=address)
    refusal_count(actor=actor, route=ROUTE, path=scope["path"], reason=reason)
