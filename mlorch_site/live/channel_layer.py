"""The channel layer over the broker, which sleeps while nothing is said: the library's own wakes the process ten times
a second.
"""

import asyncio
from typing import Any

import structlog
from channels_redis.pubsub import RedisPubSubChannelLayer, RedisPubSubLoopLayer, RedisSingleShardConnection
from channels_redis.utils import decode_hosts

log = structlog.get_logger(__name__)

READ_S = 5.0  # for one read; the next begins at once
UNSUBSCRIBED_LOOK_S = 0.1
RETRY_S = 1.0


class QuietConnection(RedisSingleShardConnection):  # type: ignore[misc]  # channels_redis has no types
    """Reads for as long as it takes. What is said, and any change of what is subscribed to, ends a read at once."""

    async def _do_receiving(self) -> None:
        while True:
            try:
                if self._pubsub and self._pubsub.subscribed:
                    message = await self._pubsub.get_message(ignore_subscribe_messages=True, timeout=READ_S)
                    self._receive_message(message)
                else:
                    await asyncio.sleep(UNSUBSCRIBED_LOOK_S)
            # Whatever the client raises: it connects and subscribes again with the next read.
            except Exception as error:
                log.warning("layer.not_heard", error=type(error).__name__)
                await asyncio.sleep(RETRY_S)


class QuietLoopLayer(RedisPubSubLoopLayer):  # type: ignore[misc]
    """The layer of one event loop."""

    def __init__(self, hosts: Any = None, **options: Any) -> None:
        super().__init__(hosts=hosts, **options)
        self._shards = [QuietConnection(host, self) for host in decode_hosts(hosts)]


class QuietLayer(RedisPubSubChannelLayer):  # type: ignore[misc]
    """The layer of the process."""

    def _get_layer(self) -> Any:
        loop = asyncio.get_running_loop()
        if loop not in self._layers:
            super()._get_layer()  # arranges that it ends with its loop
            self._layers[loop] = QuietLoopLayer(*self._args, **self._kwargs, channel_layer=self)
        return self._layers[loop]
