"""Websockets are opened by our own pages only: a browser says whose page asks, and does not let the page say it."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from channels.db import database_sync_to_async
from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.http.request import validate_host
from django.utils.encoding import force_str
from django.utils.http import is_same_domain

from mlorch_site.live.refused_sockets import refused_socket_note

NOT_OURS = "The page that asks is not one of this site's, or does not say which it is."

type_Scope = MutableMapping[str, Any]
type_Application = Callable[[type_Scope, Any, Any], Awaitable[Any]]


class SameOrigin:
    """Refuses what has no `Origin`, or one of another host or port, unless it is among the trusted ones."""

    def __init__(self, application: type_Application) -> None:
        self._application = application

    async def __call__(self, scope: type_Scope, receive: Any, send: Any) -> Any:
        if is_of_ours(scope["headers"]):
            return await self._application(scope, receive, send)
        await database_sync_to_async(refused_socket_note)(scope, user=None, reason=NOT_OURS)
        return await WebsocketDenier()(scope, receive, send)


def _is_trusted(parts: SplitResult, trusted: str) -> bool:
    """Whether an origin is this one; `https://*.example.org` stands for all below, as for forms."""
    scheme, _, place = trusted.lower().partition("://")
    return parts.scheme == scheme and is_same_domain(parts.netloc, place.removeprefix("*"))


def is_of_ours(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether the one `Origin` is the one `Host` that was asked, port included, or a trusted one."""
    origins, hosts = ([value for name, value in headers if name == wanted] for wanted in (b"origin", b"host"))
    if len(origins) != 1 or len(hosts) != 1:
        return False
    origin, host = (force_str(value, "latin-1").lower() for value in (origins[0], hosts[0]))
    try:
        parts = urlsplit(origin)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False
    if any(_is_trusted(parts, trusted) for trusted in settings.CSRF_TRUSTED_ORIGINS):
        return True
    return is_web and parts.netloc == host and validate_host(str(parts.hostname), settings.ALLOWED_HOSTS)
