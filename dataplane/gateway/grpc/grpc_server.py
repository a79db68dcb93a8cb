"""The transport: grpc.aio in the gateway's own event loop.

Keys before bodies, bounded messages and calls, refusals as status codes.
"""

import socket
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import structlog
from google.protobuf.message import DecodeError

from dataplane.gateway import errors
from dataplane.gateway.config import HEADER_MAX_BYTES
from dataplane.gateway.core import admission
from dataplane.gateway.errors import Refusal
from dataplane.gateway.grpc.caller import REQUEST_ID, Caller, caller_of
from dataplane.gateway.grpc.messages import invalid
from dataplane.gateway.grpc.service import GrpcReply, Service
from dataplane.gateway.grpc.tunnel import Tunnel
from dataplane.gateway.state import State
from dataplane.wire.frames import BODY_MAX_BYTES

log = structlog.get_logger(__name__)

SERVICE = "inference.GRPCInferenceService"
OPEN_TO_ALL = ("ServerLive", "ServerReady")
CALLS_MAX = 1024
IDLE_MAX_MS = 600_000
PING_INTERVAL_MIN_MS = 10_000
OPTIONS = (
    ("grpc.max_receive_message_length", BODY_MAX_BYTES),
    ("grpc.max_send_message_length", BODY_MAX_BYTES),
    ("grpc.max_metadata_size", HEADER_MAX_BYTES),
    ("grpc.max_connection_idle_ms", IDLE_MAX_MS),
    ("grpc.http2.min_ping_interval_without_data_ms", PING_INTERVAL_MIN_MS),
)
CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    501: grpc.StatusCode.UNIMPLEMENTED,
    502: grpc.StatusCode.UNAVAILABLE,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


class GrpcServer:
    """A listening server and the port it got."""

    def __init__(self, server: Any, tunnel: Tunnel, port: int) -> None:
        self._server = server
        self._tunnel = tunnel
        self.port = port

    async def stop(self, grace_s: float, linger_s: float) -> None:
        """Send clients elsewhere, give idle ones `linger_s` seconds to go and open calls `grace_s`, cancel the rest."""
        await self._tunnel.stop(grace_s, linger_s)
        await self._server.stop(0)


async def start(state: State, listener: socket.socket) -> GrpcServer:
    """Answer who connects to `listener`, in the running event loop."""
    server = grpc.aio.server(options=OPTIONS, maximum_concurrent_rpcs=CALLS_MAX)
    server.add_generic_rpc_handlers((Handlers(state),))
    name = f"mlorch-grpc-{uuid.uuid4()}"
    server.add_insecure_port(f"unix-abstract:{name}")
    await server.start()
    tunnel = Tunnel(name)
    await tunnel.start(listener)
    return GrpcServer(server, tunnel, listener.getsockname()[1])


def code_of(status: int) -> Any:
    """The gRPC status code for an HTTP status."""
    return CODES.get(status, grpc.StatusCode.INVALID_ARGUMENT if status < 500 else grpc.StatusCode.INTERNAL)


class Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Finds the handler of a call. Who has no key at all is refused before the message is read."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._calls = Service(state).calls

    def service(self, details: Any) -> Any:
        service, _, name = details.method.strip("/").partition("/")
        if service != SERVICE or name not in self._calls:
            return None
        caller = caller_of(details.invocation_metadata)
        if name not in OPEN_TO_ALL and not admission.is_known(self._state.tables, caller.digest):
            # As a stream nothing of the request is read before the refusal.
            return grpc.stream_unary_rpc_method_handler(self._refuse)
        answer, kind = self._calls[name]
        return grpc.unary_unary_rpc_method_handler(
            self._handler(answer, kind, caller), response_serializer=lambda message: message.SerializeToString()
        )

    async def _refuse(self, requests: Any, context: Any) -> None:
        await self._abort(context, errors.no_key(), caller_of(context.invocation_metadata()))

    def _handler(
        self, answer: Callable[[Any, Caller], Awaitable[GrpcReply]], kind: Any, caller: Caller
    ) -> Callable[[bytes, Any], Awaitable[Any]]:
        async def handle(raw: bytes, context: Any) -> Any:
            try:
                reply = await answer(kind.FromString(raw), caller)
            except DecodeError:
                await self._abort(context, invalid(f"The message is not a {kind.__name__}."), caller)
            except Refusal as refusal:
                await self._abort(context, refusal, caller)
            except Exception:
                log.exception("grpc.failed", call=kind.__name__)
                await self._abort(context, Refusal(500, "INTERNAL_ERROR", "The gateway failed."), caller)
            trailing = trailing_metadata(reply.headers, caller)
            if reply.status != 200:
                await context.abort(code_of(reply.status), reply.error, trailing)
            context.set_trailing_metadata(trailing)
            return reply.message

        return handle

    async def _abort(self, context: Any, refusal: Refusal, caller: Caller) -> None:
        self._state.metrics.refused(refusal.status)
        await context.abort(code_of(refusal.status), refusal.message, trailing_metadata(refusal.headers, caller))


def trailing_metadata(headers: tuple[tuple[bytes, bytes], ...], caller: Caller) -> tuple[tuple[str, str], ...]:
    """An answer's headers as metadata, with the request's id."""
    named = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)
    return (*named, (REQUEST_ID, caller.request_id))
