"""The transport: ASGI in, ASGI out. Finds the operation by the path, reads bounded bodies, maps refusals to answers."""

import hashlib
import json
import re
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from deployments.gateway import errors, inference
from deployments.gateway.config import DISCARD_MAX_BYTES, UNIT_MAX_CHARS, URL_MAX_CHARS
from deployments.gateway.errors import Refusal
from deployments.gateway.inference import Call
from deployments.gateway.state import State

type_Message = MutableMapping[str, Any]
type_Receive = Callable[[], Awaitable[type_Message]]
type_Send = Callable[[type_Message], Awaitable[None]]
type_Headers = dict[bytes, bytes]

JSON = b"application/json"
REQUEST_ID = re.compile(rb"^[A-Za-z0-9_.\-]{8,64}$")
SERVER_VERSION = "1"


class Disconnected(Exception):
    """The client went away before its request was whole."""


class App:
    """The gateway as an ASGI application."""

    def __init__(self, state: State) -> None:
        self.state = state

    async def __call__(self, scope: MutableMapping[str, Any], receive: type_Receive, send: type_Send) -> None:
        if scope["type"] != "http":
            return
        headers: type_Headers = dict(scope["headers"])
        offered = headers.get(b"x-request-id", b"")
        request_id = offered if REQUEST_ID.match(offered) else uuid.uuid4().hex.encode()
        extra: tuple[tuple[bytes, bytes], ...] = ()
        try:
            status, content_type, body, extra = await self._answer(scope, headers, receive)
        except Refusal as refusal:
            self.state.metrics.refused.labels(str(refusal.status)).inc()
            status, content_type, extra = refusal.status, JSON, refusal.headers
            body = refusal.body(oip="/v2" in scope["path"])
        except Disconnected:
            return
        answer_headers = [
            (b"content-type", content_type),
            (b"content-length", str(len(body)).encode()),
            (b"x-request-id", request_id),
        ]
        await send({"type": "http.response.start", "status": status, "headers": [*answer_headers, *extra]})
        await send({"type": "http.response.body", "body": body})

    async def _answer(
        self, scope: MutableMapping[str, Any], headers: type_Headers, receive: type_Receive
    ) -> tuple[int, bytes, bytes, tuple[tuple[bytes, bytes], ...]]:
        path: str = scope["path"]
        if len(path) > URL_MAX_CHARS:
            raise errors.unknown_path()
        parts = path.strip("/").split("/")
        if len(parts) == 1:
            return self._own(parts[0])
        environment, kind, *rest = parts
        if kind == "endpoints" and len(rest) == 2 and rest[1] == "invocations":
            return await self._invocations(environment, rest[0], scope["method"], headers, receive)
        if kind == "v2":
            return await self._oip(environment, rest, scope["method"], headers, receive)
        raise errors.unknown_path()

    def _own(self, name: str) -> tuple[int, bytes, bytes, tuple[tuple[bytes, bytes], ...]]:
        if name == "healthz":
            return 200, JSON, b'{"status": "ok"}', ()
        if name == "readyz":
            if self.state.is_ready:
                return 200, JSON, b'{"status": "ok"}', ()
            return 503, JSON, b'{"status": "unready", "reason": "no valid route table yet"}', ()
        if name == "metrics":
            return 200, b"text/plain; version=0.0.4; charset=utf-8", self.state.metrics.render(), ()
        raise errors.unknown_path()

    def _key(self, environment: str, headers: type_Headers) -> Any:
        kind, _, secret = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() != b"bearer" or not secret:
            raise errors.no_key()
        digest = hashlib.sha256(secret.strip()).hexdigest()
        key = inference.key_for(self.state, environment, digest, time.time())
        if key is None:
            raise errors.no_key()
        return key

    async def _invocations(
        self, environment: str, endpoint: str, method: str, headers: type_Headers, receive: type_Receive
    ) -> tuple[int, bytes, bytes, tuple[tuple[bytes, bytes], ...]]:
        route = inference.route_for(self.state, environment, endpoint, self._key(environment, headers))
        if method != "POST":
            raise errors.wrong_method("POST")
        body = await read_body(headers, receive, route.max_body_bytes)
        content_type = headers.get(b"content-type", b"").decode("latin-1")
        header = {"op": "invocations", "content_type": content_type}
        return await self._infer(route, Call(environment, endpoint, header, body, unit_of(headers), ""))

    async def _infer(self, route: Any, call: Call) -> tuple[int, bytes, bytes, tuple[tuple[bytes, bytes], ...]]:
        outcome = await inference.infer(self.state, route, call)
        extra = inference.arm_headers(outcome.arm)
        if outcome.outcome == "server_errors":
            extra = (*extra, (b"x-mlorch-outcome", b"server_error"))
        return outcome.status, outcome.content_type.encode("latin-1"), outcome.body, extra

    async def _oip(
        self, environment: str, rest: list[str], method: str, headers: type_Headers, receive: type_Receive
    ) -> tuple[int, bytes, bytes, tuple[tuple[bytes, bytes], ...]]:
        if rest == ["health", "live"]:
            return 200, JSON, b'{"live": true}', ()
        if rest == ["health", "ready"]:
            ready = environment in self.state.tables
            return 200 if ready else 503, JSON, json.dumps({"ready": ready, "live": ready}).encode(), ()
        key = self._key(environment, headers)
        if not rest:
            server = {"name": "mlorch", "version": SERVER_VERSION, "extensions": []}
            return 200, JSON, json.dumps(server).encode(), ()
        endpoint, version, verb = parse_model_path(rest)
        route = inference.route_for(self.state, environment, endpoint, key)
        if verb == "infer":
            if method != "POST":
                raise errors.wrong_method("POST")
            body = await read_body(headers, receive, route.max_body_bytes)
            header = {"op": "infer", "model_name": endpoint}
            return await self._infer(route, Call(environment, endpoint, header, body, unit_of(headers), version))
        if method not in ("GET", "HEAD"):
            raise errors.wrong_method("GET")
        if verb == "ready":
            ready = self._is_ready(route, version)
            return 200 if ready else 503, JSON, json.dumps({"name": endpoint, "ready": ready}).encode(), ()
        header = {"op": "metadata", "model_name": endpoint}
        named = version or next(arm.version for arm in route.arms if arm.replicas)
        status, kind, body, extra = await self._infer(route, Call(environment, endpoint, header, b"", "", named))
        return status, kind, _with_versions(body, route), extra

    def _is_ready(self, route: Any, version: str) -> bool:
        return any(arm.replicas and (not version or arm.version == version) for arm in route.arms)


def _with_versions(body: bytes, route: Any) -> bytes:
    """Return model metadata that lists every version the endpoint serves now."""
    metadata = json.loads(body)
    metadata["versions"] = sorted({arm.version for arm in route.arms if arm.replicas}, key=lambda v: (len(v), v))
    return json.dumps(metadata).encode()


def parse_model_path(rest: list[str]) -> tuple[str, str, str]:
    """Return endpoint, version (or empty) and verb (infer, ready or empty) of the part of an OIP path after `/v2/`."""
    if rest[0] != "models" or len(rest) < 2 or not rest[1]:
        raise errors.unknown_path()
    endpoint, tail = rest[1], rest[2:]
    version = ""
    if tail[:1] == ["versions"]:
        if len(tail) < 2 or not tail[1]:
            raise errors.unknown_path()
        version, tail = tail[1], tail[2:]
    if tail in ([], ["infer"], ["ready"]):
        return endpoint, version, tail[0] if tail else ""
    raise errors.unknown_path()


def unit_of(headers: type_Headers) -> str:
    """Return the stable unit id of the request, empty when there is none."""
    return headers.get(b"x-mlorch-unit", b"").decode("latin-1")[:UNIT_MAX_CHARS]


async def read_body(headers: type_Headers, receive: type_Receive, limit: int) -> bytes:
    """Return the whole body. Raises Refusal (413) when it is too large, Disconnected when the client went away.

    What is too large is read on for a while and thrown away: a client that is still sending would not see the answer otherwise.
    """
    told = headers.get(b"content-length", b"")
    is_refused = told.isdigit() and int(told) > limit
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk = message.get("body", b"")
        size += len(chunk)
        is_refused = is_refused or size > limit
        is_whole = not message.get("more_body", False)
        if is_refused and (is_whole or size > limit + DISCARD_MAX_BYTES):
            raise errors.too_large(limit)
        if is_refused:
            chunks.clear()
            continue
        chunks.append(chunk)
        if is_whole:
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)
