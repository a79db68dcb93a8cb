"""The real channel layer on a private Valkey: a listener that idles longer than any read timeout still hears."""

import asyncio
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from channels.layers import get_channel_layer
from redis.asyncio import Redis

from mlorch_site.launch.supervisor.process_specs import valkey_server
from tests.support.live import async_publish, run, signed_in, socket

IDLE_S = 13  # some client versions end a subscription that was silent for 12 s
START_WITHIN_S = 10.0


@pytest.fixture
def broker(tmp_path_factory):
    """The URL of a Valkey server on a unix socket of its own."""
    folder = tmp_path_factory.mktemp("v")
    path = Path(folder) / "s"
    command = [
        valkey_server(),
        "--port",
        "0",
        "--unixsocket",
        str(path),
        "--unixsocketperm",
        "700",
        "--save",
        "",
        "--dir",
        str(folder),
    ]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + START_WITHIN_S
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    yield f"unix://{path}"
    server.terminate()
    server.wait(10)


@pytest.fixture
def layer(broker, settings):
    """The channel layer as production has it."""
    config = {"hosts": [{"address": broker, "socket_timeout": None}], "prefix": "mlorch"}
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "mlorch_site.live.channel_layer.QuietLayer", "CONFIG": config}}
    return get_channel_layer()


@pytest.mark.slow
def test_listener__idle_for_long__still_hears_what_another_thread_publishes(people, layer):
    vik = signed_in("vik")

    async def scenario():
        async with socket("/ws/live/?topics=releases", vik) as ws:
            assert (await ws.receive_json_from(timeout=5))["type"] == "hello"
            await asyncio.sleep(IDLE_S)
            event = await async_publish("releases")
            began = time.monotonic()
            message = await ws.receive_json_from(timeout=5)
            await layer.flush()
            return event.sequence, message["sequence"], time.monotonic() - began

    published, heard, took_s = run(scenario)
    assert heard == published
    assert took_s < 1


@pytest.mark.slow
def test_layer__in_settings__never_times_out_reading(broker):
    """The settings name the layer and the timeout that the test above relies on."""
    code = "from mlorch_site import settings; print(settings.CHANNEL_LAYERS)"
    env = {**os.environ, "REDIS_URL": broker}
    said = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
    assert "mlorch_site.live.channel_layer.QuietLayer" in said
    assert "'socket_timeout': None" in said


def wakes(layer) -> int:
    """How often the loop of an idle listener turned in two seconds."""
    turns = []

    async def scenario():
        channel = await layer.new_channel()
        await layer.group_add("topic.gateways", channel)
        receiving = asyncio.create_task(layer.receive(channel))
        await asyncio.sleep(0.2)
        loop = asyncio.get_running_loop()
        once = loop._run_once
        loop._run_once = lambda: (turns.append(1), once())[1]
        await asyncio.sleep(2)
        loop._run_once = once
        receiving.cancel()
        await layer.flush()

    asyncio.run(scenario())
    return len(turns)


def test_layer__nothing_is_said__sleeps(layer):
    assert wakes(layer) < 10


def test_layer__broker_was_away__hears_again(broker, layer):
    async def scenario():
        channel = await layer.new_channel()
        await layer.group_add("topic.gateways", channel)
        await disconnect_all(broker)
        async with asyncio.timeout(START_WITHIN_S):
            while True:
                with suppress(TimeoutError):
                    await layer.group_send("topic.gateways", {"type": "live.event"})
                    heard = await asyncio.wait_for(layer.receive(channel), 0.5)
                    await layer.flush()
                    return heard

    assert asyncio.run(scenario())["type"] == "live.event"


async def disconnect_all(url: str) -> None:
    """Let the broker end all connections, as a restart would."""
    client = Redis.from_url(url)
    await client.client_kill_filter(_type="pubsub")
    await client.aclose()
