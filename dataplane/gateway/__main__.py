"""`python -m dataplane.gateway`: serve until SIGTERM or SIGINT, then finish what is open and spool the last window."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from functools import partial

import aiohttp
import uvloop

from dataplane.gateway import handover
from dataplane.gateway.config import from_environment
from dataplane.gateway.http.app import App
from dataplane.gateway.http.http_server import Server, type_Drain
from dataplane.gateway.site import drift_push, poll, push
from dataplane.gateway.site.loops import kept_up
from dataplane.gateway.state import State
from dataplane.wire import log_lines


async def start_grpc(state: State, listener: socket.socket) -> type_Drain:
    """Answer gRPC on a listening socket; return how to drain it."""
    # Here and not above: a gateway without a gRPC port does not load the library.
    from dataplane.gateway.grpc import grpc_server

    return (await grpc_server.start(state, listener)).stop


@contextlib.asynccontextmanager
async def loops(state: State) -> AsyncIterator[None]:
    """Speak with the site, write the request log and send traces until the end; windows that are left are spooled."""
    headers = {"Authorization": f"Bearer {state.config.control_token}"}
    # The sink is somebody else: the control token of the other session is not for it.
    async with aiohttp.ClientSession(headers=headers) as session, aiohttp.ClientSession() as sink:
        wanted = [
            ("poll", partial(poll.poll_forever, state, session)),
            ("windows", partial(push.windows_forever, state)),
            ("push", partial(push.push_forever, state, session)),
            ("drift", partial(drift_push.drift_forever, state, session)),
            ("request_log", partial(state.request_log.drain_forever, sink)),
        ]
        if state.traces is not None:
            wanted.append(("traces", partial(state.traces.send_forever, sink)))
        running = [asyncio.create_task(kept_up(state, name, loop)) for name, loop in wanted]
        try:
            yield
        finally:
            for loop in running:
                loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*running)
            push.spool_windows(state, everything=True)
            await state.request_log.drain(None)
            if state.traces is not None:
                await state.traces.send_last(sink)


async def main() -> None:
    config = from_environment()
    log_lines.configure(config.log_format)
    handler = logging.StreamHandler()
    handler.setFormatter(log_lines.formatter(config.log_format))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    state = State(config)
    state.peers.enter()
    state.load_from_disk()
    application = App(state)
    try:
        async with loops(state):
            await handover.prepare(state)
            await application.exposition.start()
            listeners = handover.listeners_of(config)
            server = Server(application, lambda: handover.report_ready(config, listeners))
            for listener in listeners[1:]:
                server.other_drains.append(await start_grpc(state, listener))
            await server.serve(sockets=listeners[:1])
    finally:
        await application.exposition.stop()
        state.close()
        # Only now: a process of the same gateway sends what is left in this one's spool.
        state.peers.leave()


if __name__ == "__main__":
    # Told to end before it serves.
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(main())
