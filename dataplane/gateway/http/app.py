"""The transport: ASGI in, ASGI out. Finds the operation by the path, reads bounded bodies, maps refusals to answers."""

import asyncio
import hashlib
import json
import random
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any, NamedTuple

from dataplane.gateway import errors
from dataplane.gateway.config import DISCARD_MAX_BYTES, PATHS_KEPT, STREAM_PART_TIMEOUT_S, UNIT_MAX_CHARS, URL_MAX_CHARS
from dataplane.gateway.core import inference
from dataplane.gateway.core.compiled_table import EndpointRoute, Key
from dataplane.gateway.core.inference import Call, Outcome
from dataplane.gateway.core.pending import ClientGone
from dataplane.gateway.errors import Refusal
from dataplane.gateway.exposition import Exposition
from dataplane.gateway.state import State
from dataplane.wire.route_table import STABLE

type_Message = MutableMapping[str, Any]
type_Receive = Callable[[], Awaitable[type_Message]]
type_Send = Callable[[type_Message], Awaitable[None]]
type_Headers = dict[bytes, bytes]
type_Pairs = tuple[tuple[bytes, bytes], ...]

JSON = b"application/json"
REQUEST_ID = re.compile(rb"^[A-Za-z0-9_.\-]{8,64}$")
EVENT_STREAM = b"text/event-stream"
HEADER_LENGTH = b"inference-header-content-length"
SERVER_METADATA = {"name": "mlorch", "version": "1", "extensions": ["binary_tensor_data"]}


class Disconnected(Exception):
    """The client went away before its request was whole."""


class Reply(NamedTuple):
    """An answer on its way out. `parts` brings the rest of a streamed body."""

    status: int
    content_type: bytes
    body: bytes
    headers: type_Pairs = ()
    parts: "asyncio.Queue[bytes | None] | None" = None


class Target(NamedTuple):
    """What the address of an inference request names; `version` is empty when it leaves the choice to the routes."""

    environment: str
    endpoint: str
    op: str
    version: str


type_Gone = list[Callable[[], None]] | None


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
        identity = request_id(headers.get(b"x-request-id"))
        try:
            reply = await self._answer(scope, headers, receive, identity)
        except Refusal as refusal:
            reply = self.refusal(refusal, is_oip="/v2" in scope["path"])
        except (Disconnected, ClientGone):
            return
        answer_headers = [(b"content-type", reply.content_type), (b"x-request-id", identity), *reply.headers]
        if reply.parts is None:
            answer_headers.append((b"content-length", b"%d" % len(reply.body)))
        await send({"type": "http.response.start", "status": reply.status, "headers": answer_headers})
        await send({"type": "http.response.body", "body": reply.body, "more_body": reply.parts is not None})
        if reply.parts is not None:
            await send_parts(reply.parts, send)

    def refusal(self, refusal: Refusal, *, is_oip: bool) -> Reply:
        """Return what the gateway itself answers, and count it."""
        self.state.metrics.refused(refusal.status)
        return Reply(refusal.status, JSON, refusal.body(oip=is_oip), refusal.headers)

    async def _answer(
        self, scope: MutableMapping[str, Any], headers: type_Headers, receive: type_Receive, identity: bytes
    ) -> Reply:
        path, method = scope["path"], scope["method"]
        target = target_of(path.encode())
        if target is not None:
            if method != "POST":
                self._check_key(target, headers)
                raise errors.wrong_method("POST")
            return await self._infer(target, headers, receive, identity, scope.get("mlorch.gone"))
        environment, kind, rest = split_path(path)
        if not kind:
            return await self._own(environment)
        if kind == "v2":
            return await self._oip(environment, list(rest), method, headers)
        raise errors.unknown_path()

    async def _own(self, name: str) -> Reply:
        if name == "healthz":
            return Reply(200, JSON, b'{"status": "ok"}')
        if name == "readyz":
            if self.state.is_ready:
                return Reply(200, JSON, b'{"status": "ok"}')
            return Reply(503, JSON, b'{"status": "unready", "reason": "no valid route table yet"}')
        if name == "metrics":
            return Reply(200, b"text/plain; version=0.0.4; charset=utf-8", await self.exposition.render())
        raise errors.unknown_path()

    def _check_key(self, target: Target, headers: type_Headers) -> EndpointRoute:
        """Return the route when the request's key opens it. Raises Refusal (401, 403, 404)."""
        key = key_of(self.state, target.environment, headers)
        return inference.route_for(self.state, target.environment, target.endpoint, key)

    async def _infer(
        self, target: Target, headers: type_Headers, receive: type_Receive, identity: bytes, gone: type_Gone
    ) -> Reply:
        body = await read_body(headers, receive, self._check_key(target, headers).max_body_bytes)
        route, call = call_of(self.state, target, headers, body, identity)
        return reply_to(await inference.infer(self.state, route, call, gone))

    async def _oip(self, environment: str, rest: list[str], method: str, headers: type_Headers) -> Reply:
        if rest == ["health", "live"]:
            return Reply(200, JSON, b'{"live": true}')
        if rest == ["health", "ready"]:
            ready = environment in self.state.tables
            return Reply(200 if ready else 503, JSON, json.dumps({"ready": ready, "live": ready}).encode())
        key = key_of(self.state, environment, headers)
        if not rest:
            return Reply(200, JSON, json.dumps(SERVER_METADATA).encode())
        endpoint, version, verb = parse_model_path(rest)
        route = inference.route_for(self.state, environment, endpoint, key)
        if method not in ("GET", "HEAD"):
            raise errors.wrong_method("GET")
        if verb == "ready":
            ready = self._is_ready(route, version)
            return Reply(200 if ready else 503, JSON, json.dumps({"name": endpoint, "ready": ready}).encode())
        named = version or served_version(route)
        header = {"op": "metadata", "model_name": endpoint}
        reply = reply_to(await inference.infer(self.state, route, Call(environment, endpoint, header, b"", "", named)))
        return reply._replace(body=_with_versions(reply.body, route)) if reply.status == 200 else reply

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


@lru_cache(PATHS_KEPT)
def split_path(path: str) -> tuple[str, str, tuple[str, ...]]:
    """Return environment, kind and the rest of a path; a path of one part has no kind. Raises Refusal (404) for one that is too long."""
    if len(path) > URL_MAX_CHARS:
        raise errors.unknown_path()
    first, *others = path.strip("/").split("/")
    return (first, others[0], tuple(others[1:])) if others else (first, "", ())


@lru_cache(PATHS_KEPT)
def target_of(url: bytes) -> Target | None:
    """Return what the address of an inference request names, None when it is another address. Raises Refusal (404) for one that is none."""
    if b"?" in url or b"%" in url:
        return None
    environment, kind, rest = split_path(url.decode("ascii"))
    if kind == "endpoints" and len(rest) == 2 and rest[1] == "invocations":
        return Target(environment, rest[0], "invocations", "")
    if kind == "v2" and len(rest) > 2 and rest[0] == "models" and rest[-1] == "infer":
        endpoint, version, _ = parse_model_path(list(rest))
        return Target(environment, endpoint, "infer", version)
    return None


def key_of(state: State, environment: str, headers: type_Headers) -> Key:
    """Return the live key that the request carries. Raises Refusal (401)."""
    kind, _, secret = headers.get(b"authorization", b"").partition(b" ")
    if kind.lower() != b"bearer" or not secret:
        raise errors.no_key()
    digest = hashlib.sha256(secret.strip()).hexdigest()
    key = inference.key_for(state, environment, digest, time.time())
    if key is None:
        raise errors.no_key()
    return key


def call_of(
    state: State, target: Target, headers: type_Headers, body: bytes, identity: bytes
) -> tuple[EndpointRoute, Call]:
    """Return the route and the call of an inference request whose body is whole. Raises Refusal."""
    environment, endpoint, op, version = target
    route = inference.route_for(state, environment, endpoint, key_of(state, environment, headers))
    if len(body) > route.max_body_bytes:
        raise errors.too_large(route.max_body_bytes)
    header: dict[str, Any]
    if op == "infer":
        header = {"op": "infer", "model_name": endpoint, "header_length": header_length_of(headers)}
    else:
        header = {"op": op, "content_type": headers.get(b"content-type", b"").decode("latin-1")}
        accept = headers.get(b"accept", b"")
        if b'"stream"' in body or EVENT_STREAM in accept:
            header = {**header, "op": "stream", "accept": accept.decode("latin-1")}
    return route, Call(environment, endpoint, header, body, unit_of(headers), version, identity)


def reply_to(outcome: Outcome) -> Reply:
    """Return a worker's answer as the client gets it."""
    extra = outcome.arm.headers
    if outcome.outcome == "server_errors":
        extra = (*extra, (b"x-mlorch-outcome", b"server_error"))
    if outcome.header_length is not None:
        extra = (*extra, (HEADER_LENGTH, b"%d" % outcome.header_length))
    return Reply(outcome.status, outcome.content_type.encode("latin-1"), outcome.body, extra, outcome.parts)


def request_id(offered: bytes | None) -> bytes:
    """Return the client's own request id when it is a decent one, else a new one."""
    return offered if offered and REQUEST_ID.match(offered) else b"%032x" % random.getrandbits(128)


def served_version(route: EndpointRoute) -> str:
    """Return the version whose metadata stands for the endpoint: the stable one, or another that is served when there is none."""
    served = [arm for arm in route.arms if arm.replicas]
    return next((arm.version for arm in served if arm.arm == STABLE), served[0].version)


def unit_of(headers: type_Headers) -> str:
    """Return the stable unit id of the request, empty when there is none."""
    return headers.get(b"x-mlorch-unit", b"").decode("latin-1")[:UNIT_MAX_CHARS]


def header_length_of(headers: type_Headers) -> int | None:
    """Return the length of the JSON part of a body with binary tensors, None without. Raises Refusal (400)."""
    told = headers.get(HEADER_LENGTH)
    if told is None:
        return None
    if not told.isdigit() or len(told) > 10:
        raise errors.bad_header("Inference-Header-Content-Length is a number of bytes.")
    return int(told)


async def send_parts(parts: "asyncio.Queue[bytes | None]", send: type_Send) -> None:
    """Send the rest of a streamed body as it comes; a stream that stops coming is ended."""
    while True:
        try:
            async with asyncio.timeout(STREAM_PART_TIMEOUT_S):
                part = await parts.get()
        except TimeoutError:
            part = None
        await send({"type": "http.response.body", "body": part or b"", "more_body": part is not None})
        if part is None:
            return


async def read_body(headers: type_Headers, receive: type_Receive, limit: int) -> bytes:
    """Return the whole body. Raises Refusal (413), Disconnected when the client went away."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes = message.get("body", b"")
        if len(body) > limit:
            raise errors.too_large(limit)
        return body
    return await _read_parts(message, headers, receive, limit)


async def _read_parts(message: type_Message, headers: type_Headers, receive: type_Receive, limit: int) -> bytes:
    """Read a body that comes in parts.

    What is too large is read on for a while and thrown away: a client that is still sending would not see the answer otherwise.
    """
    told = headers.get(b"content-length", b"")
    is_refused = told.isdigit() and int(told) > limit
    chunks: list[bytes] = []
    size = 0
    while True:
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
        else:
            chunks.append(chunk)
        if is_whole:
            return b"".join(chunks)
        message = await receive()
