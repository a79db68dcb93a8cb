"""Websockets as a signed-in browser opens them, and scenarios that run in the test's own transaction."""

from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from unittest import mock

from asgiref.sync import async_to_sync, sync_to_async
from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.db import transaction
from django.test import Client, TestCase

from mlorch_site.live import outbox
from mlorch_site.live.models import Event
from mlorch_site.routing import websocket_routes
from tests.factories import PASSWORD
from tests.support.waiting import patience

APPLICATION = AuthMiddlewareStack(URLRouter(websocket_routes))


def run(scenario: Callable[[], Awaitable[Any]]) -> Any:
    """Run an async scenario so that its database work happens on this thread, inside the test's transaction.

    Channels closes a connection on which a transaction is open after each message, and a loop now and then; here that
    is the test's own.
    """
    with (
        mock.patch("channels.db.close_old_connections"),
        mock.patch("mlorch_site.lib.connections.close_old_connections"),
    ):
        return async_to_sync(scenario)()


def signed_in(username: str) -> Client:
    client = Client()
    assert client.login(username=username, password=PASSWORD)
    return client


def publish(topic: str, kind: str = "release.changed", data: dict[str, Any] | None = None) -> Event:
    """Publish an event and let what follows its commit happen."""
    with TestCase.captureOnCommitCallbacks(execute=True), transaction.atomic():
        return outbox.publish(topic, kind, data)


async_publish = sync_to_async(publish)


@asynccontextmanager
async def socket(path: str, client: Client | None):
    """Open `path` with the cookies of `client`; close it in the end."""
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value if client else ""
    headers = [(b"cookie", f"{settings.SESSION_COOKIE_NAME}={cookie}".encode())] if cookie else []
    communicator = WebsocketCommunicator(APPLICATION, path, headers=headers)
    connected, _ = await communicator.connect(timeout=patience())
    assert connected
    try:
        yield communicator
    finally:
        await communicator.disconnect(timeout=patience())


async def close_code(communicator: WebsocketCommunicator) -> int:
    """The code the server closes with, past whatever it says before."""
    while True:
        message = await communicator.receive_output(timeout=patience())
        if message["type"] == "websocket.close":
            return message["code"]


async def hello(ws: WebsocketCommunicator) -> int:
    """The position that a socket is greeted with."""
    message = await ws.receive_json_from(timeout=5)
    assert message["type"] == "hello"
    return message["sequence"]
