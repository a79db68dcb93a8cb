"""The gateway as an ASGI application: every request that the express path of `connection.py` does not take."""

import asyncio
import json
from collections.abc import MutableMapping
from typing import Any

from dataplane.gateway import errors
from dataplane.gateway.config import METRICS_FOR_ALL, METRICS_FOR_LOOPBACK
from dataplane.gateway.core import admission, inference, metadata
from dataplane.gateway.core.compiled_table import EndpointRoute
from dataplane.gateway.core.pending_request import ClientGone
from dataplane.gateway.errors import Refusal
from dataplane.gateway.exposition import Exposition
from dataplane.gateway.http.asgi import RUNNING, Disconnected, read_body, send_reply, type_Receive, type_Send
from dataplane.gateway.http.calls import call_of, request_id, single, type_Headers
from dataplane.gateway.http.content_encoding import IDENTITY, decoded, encoding_of
from dataplane.gateway.http.paths import InferencePath, MetadataPath, path_of
from dataplane.gateway.http.replies import JSON, HttpReply, refused, reply_to
from dataplane.gateway.state import State


class App:
    """The gateway as an ASGI application."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.is_draining = False
        self.exposition = Exposition(state)

    async def __call__(self, scope: MutableMapping[str, Any], receive: type_Receive, send: type_Send) -> None:
        if scope["type"] != "http":
            return
        headers: type_Headers = dict(scope["headers"])
        identity = request_id(headers)
        try:
            single(scope["headers"])
            reply = await self._answer(scope, headers, receive, identity)
        except Refusal as refusal:
            reply = refused(self.state.metrics, refusal, is_oip="/v2" in scope["path"])
        except (Disconnected, ClientGone):
            return
        await send_reply(reply, identity, send)

    async def _answer(
        self, scope: MutableMapping[str, Any], headers: type_Headers, receive: type_Receive, identity: bytes
    ) -> HttpReply:
        path, method = path_of(scope["path"]), scope["method"]
        if isinstance(path, InferencePath):
            route = self._route(path, headers)
            if method != "POST":
                raise errors.wrong_method("POST")
            encoding = encoding_of(headers)
            body = await read_body(headers, receive, route.max_body_bytes)
            if encoding != IDENTITY:
                body = await asyncio.to_thread(decoded, encoding, body, route.max_body_bytes)
            return await self._infer(path, headers, body, identity, scope.get(RUNNING))
        if isinstance(path, MetadataPath):
            return await self._metadata(path, method, headers)
        return await self._process(path.name, scope, headers)

    def _route(self, path: InferencePath | MetadataPath, headers: type_Headers) -> EndpointRoute:
        return admission.route_for(self.state.tables, path.environment, path.endpoint, _digest(headers))

    async def _infer(
        self,
        path: InferencePath,
        headers: type_Headers,
        body: bytes,
        identity: bytes,
        running: set[inference.Inference] | None,
    ) -> HttpReply:
        """Answer an inference request. Its route is that of now: it may have changed while the body came."""
        route = self._route(path, headers)
        call = call_of(path, headers, body, identity, route.max_body_bytes)
        return reply_to(await inference.infer(self.state, route, call, running))

    async def _process(self, name: str, scope: MutableMapping[str, Any], headers: type_Headers) -> HttpReply:
        if name == "healthz":
            return HttpReply(200, JSON, b'{"status": "ok"}')
        if name == "readyz":
            if self.state.is_ready:
                return HttpReply(200, JSON, b'{"status": "ok"}')
            return HttpReply(503, JSON, b'{"status": "unready", "reason": "no valid route table yet"}')
        if name == "metrics":
            if not self._may_read_metrics(scope, headers):
                raise errors.no_key()
            return HttpReply(200, b"text/plain; version=0.0.4; charset=utf-8", await self.exposition.render())
        raise errors.unknown_path()

    def _may_read_metrics(self, scope: MutableMapping[str, Any], headers: type_Headers) -> bool:
        """Metrics name every endpoint: they are for who may be trusted with that, by setting."""
        readers = self.state.config.metrics_readers
        if readers == METRICS_FOR_ALL or (readers == METRICS_FOR_LOOPBACK and is_loopback(scope.get("client"))):
            return True
        return admission.opens_everything(self.state.tables, _digest(headers))

    async def _metadata(self, path: MetadataPath, method: str, headers: type_Headers) -> HttpReply:
        if path.endpoint:
            route = self._route(path, headers)
            if method not in ("GET", "HEAD"):
                raise errors.wrong_method("GET")
            return await self._of_endpoint(path, route)
        if path.asks == "live":
            return HttpReply(200, JSON, b'{"live": true}')
        if path.asks == "ready":
            ready = path.environment in self.state.tables
            return _json(200 if ready else 503, {"ready": ready, "live": ready})
        admission.check_key(self.state.tables, path.environment, _digest(headers))
        if not path.asks:
            raise errors.unknown_path()
        return _json(200, metadata.SERVER_METADATA)

    async def _of_endpoint(self, path: MetadataPath, route: EndpointRoute) -> HttpReply:
        if path.asks == "ready":
            ready = metadata.is_ready(route, path.version)
            return _json(200 if ready else 503, {"name": route.name, "ready": ready})
        call = metadata.metadata_call(path.environment, route, path.version)
        reply = reply_to(await inference.infer(self.state, route, call))
        return reply._replace(body=_with_versions(reply.body, route)) if reply.status == 200 else reply


def is_loopback(client: Any) -> bool:
    """Whether a peer is on this machine: of a unix socket, or of the loopback network."""
    host = str(client[0]) if client else ""
    return host in ("", "::1") or host.removeprefix("::ffff:").startswith("127.")


def _digest(headers: type_Headers) -> str:
    return admission.digest_of(headers.get(b"authorization", b""))


def _json(status: int, document: dict[str, Any]) -> HttpReply:
    return HttpReply(status, JSON, json.dumps(document).encode())


def _with_versions(body: bytes, route: EndpointRoute) -> bytes:
    """Model metadata that lists every version the endpoint serves now."""
    document = json.loads(body)
    document["versions"] = metadata.versions_of(route)
    return json.dumps(document).encode()
