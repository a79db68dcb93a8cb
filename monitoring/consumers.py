"""Live charts: windows as data, one message per arrival, resumed by window id."""

from collections.abc import Hashable
from typing import Any

from channels.db import database_sync_to_async

from mlorch_site.live.consumers import LiveConsumer
from mlorch_site.live.shared import read_once
from monitoring.news import points_since
from monitoring.selectors import newest_window


class ChartConsumer(LiveConsumer):
    """`/ws/charts/<environment>/<endpoint>/?since=<window id>`: the points that arrived since, then each as it
    arrives.
    """

    @property
    def _place(self) -> tuple[str, str]:
        route = self.scope["url_route"]["kwargs"]
        return route["environment"], route["endpoint"]

    def wanted_topics(self, query: dict[str, list[str]]) -> list[str]:
        return ["endpoint.{}.{}".format(*self._place)]

    async def catch_up(self) -> None:
        # `sequence` of this connection is a window id: the position in the endpoint's own stream.
        newest = await database_sync_to_async(newest_window)(*self._place)
        if newest > self.sequence:
            await self._read("to window", newest)

    async def look_again(self) -> None:
        """Nothing: windows come every second, and the next ones bring those that were missed."""

    async def live_event(self, message: dict[str, Any]) -> None:
        if message["kind"] == "windows.stored":
            await self._read("to event", message["sequence"])

    async def _read(self, *until: Hashable) -> None:
        """Send what came up to the window or event that is the reason to read: once read for all who stand at the same
        position.
        """
        key = ("points", self._place, self.sequence, until)
        await self._send(await read_once(key, points_since, *self._place, self.sequence))

    async def _send(self, message: dict[str, Any]) -> None:
        if message["sequence"] > self.sequence:
            self.sequence = message["sequence"]
            await self.send_json(message)
