"""Live charts: windows as data, one message per arrival, resumed by window id."""

from typing import Any

from channels.db import database_sync_to_async

from mlorch_site.lib import clock
from mlorch_site.live.consumers import LiveConsumer
from monitoring.selectors import CHART_SPAN, series_after


class ChartConsumer(LiveConsumer):
    """`/ws/charts/<environment>/<endpoint>/?since=<window id>`: the points that arrived since, then each as it arrives."""

    @property
    def _place(self) -> tuple[str, str]:
        route = self.scope["url_route"]["kwargs"]
        return route["environment"], route["endpoint"]

    def wanted_topics(self, query: dict[str, list[str]]) -> list[str]:
        return ["endpoint.{}.{}".format(*self._place)]

    async def catch_up(self) -> None:
        await self._send_new()

    async def live_event(self, message: dict[str, Any]) -> None:
        if message["kind"] == "windows.stored":
            await self._send_new()

    async def _send_new(self) -> None:
        # `sequence` is a window id here: the position in the endpoint's own stream.
        points, newest = await database_sync_to_async(series_after)(
            *self._place, after_id=self.sequence, not_before=clock.now() - CHART_SPAN
        )
        if newest > self.sequence:
            self.sequence = newest
            await self.send_json(
                {"type": "points", "sequence": newest, "points": [point.to_dict() for point in points]}
            )
