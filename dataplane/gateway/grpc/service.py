"""The protocol's six calls, each from a message to a message. Knows no transport beyond the metadata of a call."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from dataplane.gateway import errors
from dataplane.gateway.core import inference
from dataplane.gateway.core.compiled_table import EndpointRoute
from dataplane.gateway.core.inference import Call, Outcome
from dataplane.gateway.grpc import caller as callers
from dataplane.gateway.grpc import inference_pb2 as pb
from dataplane.gateway.grpc import messages
from dataplane.gateway.grpc.caller import Caller
from dataplane.gateway.http.app import SERVER_METADATA
from dataplane.gateway.state import State
from dataplane.wire.route_table import STABLE

type_Headers = tuple[tuple[bytes, bytes], ...]
MODELS_FAULT = (b"x-mlorch-outcome", b"server_error")


class Reply(NamedTuple):
    """A message and the headers that name who answered. A status other than 200 is a worker's refusal, told in `error`."""

    message: Any
    headers: type_Headers = ()
    status: int = 200
    error: str = ""


class Service:
    """Answers calls out of one gateway's state."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.calls: dict[str, tuple[Callable[[Any, Caller], Awaitable[Reply]], Any]] = {
            "ServerLive": (self.server_live, pb.ServerLiveRequest),
            "ServerReady": (self.server_ready, pb.ServerReadyRequest),
            "ServerMetadata": (self.server_metadata, pb.ServerMetadataRequest),
            "ModelReady": (self.model_ready, pb.ModelReadyRequest),
            "ModelMetadata": (self.model_metadata, pb.ModelMetadataRequest),
            "ModelInfer": (self.model_infer, pb.ModelInferRequest),
        }

    async def server_live(self, request: Any, caller: Caller) -> Reply:
        return Reply(pb.ServerLiveResponse(live=True))

    async def server_ready(self, request: Any, caller: Caller) -> Reply:
        ready = caller.environment in self._state.tables if caller.environment else self._state.is_ready
        return Reply(pb.ServerReadyResponse(ready=ready))

    async def server_metadata(self, request: Any, caller: Caller) -> Reply:
        if caller.environment:
            callers.key_of(self._state, caller, caller.environment)
        told: dict[str, Any] = dict(SERVER_METADATA)
        return Reply(pb.ServerMetadataResponse(**told))

    async def model_ready(self, request: Any, caller: Caller) -> Reply:
        _, route = callers.route_of(self._state, caller, request.name)
        versions = _versions(route)
        return Reply(pb.ModelReadyResponse(ready=request.version in versions if request.version else bool(versions)))

    async def model_metadata(self, request: Any, caller: Caller) -> Reply:
        environment, route = callers.route_of(self._state, caller, request.name)
        versions = _versions(route)
        if not versions:
            raise errors.no_replica(route.name)
        header = {"op": "metadata", "model_name": route.name}
        # A named version is not counted in windows: metadata is no prediction.
        call = Call(environment, route.name, header, b"", "", request.version or _usual_version(route, versions))
        outcome = await inference.infer(self._state, route, call)
        return _reply(outcome, lambda: messages.metadata_from_worker(outcome.body, versions))

    async def model_infer(self, request: Any, caller: Caller) -> Reply:
        environment, route = callers.route_of(self._state, caller, request.model_name)
        body, header_length = messages.to_worker(request)
        if len(body) > route.max_body_bytes:
            raise errors.too_large(route.max_body_bytes)
        header = {"op": "infer", "model_name": route.name, "header_length": header_length}
        call = Call(
            environment, route.name, header, body, caller.unit, request.model_version, caller.request_id.encode()
        )
        outcome = await inference.infer(self._state, route, call)
        return _reply(outcome, lambda: messages.from_worker(outcome.body, outcome.header_length))


def _reply(outcome: Outcome, message: Callable[[], Any]) -> Reply:
    headers = outcome.arm.headers
    if outcome.outcome == "server_errors":
        headers = (*headers, MODELS_FAULT)
    if outcome.status != 200:
        return Reply(None, headers, outcome.status, messages.error_of(outcome.body))
    return Reply(message(), headers)


def _usual_version(route: EndpointRoute, versions: list[str]) -> str:
    stable = next((arm.version for arm in route.arms if arm.arm == STABLE and arm.replicas), None)
    return stable or versions[-1]


def _versions(route: EndpointRoute) -> list[str]:
    """Return every version that the endpoint serves now, in the order of their numbers."""
    return sorted({arm.version for arm in route.arms if arm.replicas}, key=lambda version: (len(version), version))
