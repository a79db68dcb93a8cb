"""The protocol's six calls, each from a message to a message. Knows no transport beyond the metadata of a call."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from dataplane.gateway import errors
from dataplane.gateway.core import admission, inference, metadata
from dataplane.gateway.core.compiled_table import EndpointRoute
from dataplane.gateway.core.inference import Call, Outcome
from dataplane.gateway.grpc import inference_pb2 as pb
from dataplane.gateway.grpc import messages
from dataplane.gateway.grpc.caller import Caller, place_of
from dataplane.gateway.state import State
from dataplane.wire.frames import RequestHeader

type_Headers = tuple[tuple[bytes, bytes], ...]
MODELS_FAULT = (b"x-mlorch-outcome", b"server_error")


class GrpcReply(NamedTuple):
    """A message and the headers that name who answered.

    With a status other than 200, `error` is the worker's refusal.
    """

    message: Any
    headers: type_Headers = ()
    status: int = 200
    error: str = ""


class Service:
    """Answers calls out of one gateway's state."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.calls: dict[str, tuple[Callable[[Any, Caller], Awaitable[GrpcReply]], Any]] = {
            "ServerLive": (self.server_live, pb.ServerLiveRequest),
            "ServerReady": (self.server_ready, pb.ServerReadyRequest),
            "ServerMetadata": (self.server_metadata, pb.ServerMetadataRequest),
            "ModelReady": (self.model_ready, pb.ModelReadyRequest),
            "ModelMetadata": (self.model_metadata, pb.ModelMetadataRequest),
            "ModelInfer": (self.model_infer, pb.ModelInferRequest),
        }

    def _route(self, caller: Caller, model_name: str) -> tuple[str, EndpointRoute]:
        """Environment and route of the endpoint that is called. Raises Refusal (400, 401, 403, 404)."""
        environment, endpoint = place_of(caller, model_name)
        return environment, admission.route_for(self._state.tables, environment, endpoint, caller.digest)

    async def server_live(self, request: Any, caller: Caller) -> GrpcReply:
        return GrpcReply(pb.ServerLiveResponse(live=True))

    async def server_ready(self, request: Any, caller: Caller) -> GrpcReply:
        ready = caller.environment in self._state.tables if caller.environment else self._state.is_ready
        return GrpcReply(pb.ServerReadyResponse(ready=ready))

    async def server_metadata(self, request: Any, caller: Caller) -> GrpcReply:
        if caller.environment:
            admission.check_key(self._state.tables, caller.environment, caller.digest)
        fields: dict[str, Any] = dict(metadata.SERVER_METADATA)
        return GrpcReply(pb.ServerMetadataResponse(**fields))

    async def model_ready(self, request: Any, caller: Caller) -> GrpcReply:
        _, route = self._route(caller, request.name)
        return GrpcReply(pb.ModelReadyResponse(ready=metadata.is_ready(route, request.version)))

    async def model_metadata(self, request: Any, caller: Caller) -> GrpcReply:
        environment, route = self._route(caller, request.name)
        versions = metadata.versions_of(route)
        call = metadata.metadata_call(environment, route, request.version)
        outcome = await inference.infer(self._state, route, call)
        return _reply(outcome, lambda: messages.metadata_from_worker(outcome.body, versions))

    async def model_infer(self, request: Any, caller: Caller) -> GrpcReply:
        environment, route = self._route(caller, request.model_name)
        body, header_length = messages.to_worker(request)
        if len(body) > route.max_body_bytes:
            raise errors.too_large(route.max_body_bytes)
        header = RequestHeader("infer", model_name=route.name, header_length=header_length)
        version, identity = request.model_version, caller.request_id.encode()
        call = Call(environment, route.name, header, body, caller.unit, version, identity, caller.headers)
        outcome = await inference.infer(self._state, route, call)
        return _reply(outcome, lambda: messages.from_worker(outcome.body, outcome.header_length))


def _reply(outcome: Outcome, message: Callable[[], Any]) -> GrpcReply:
    headers = outcome.arm.headers
    if outcome.outcome == "server_errors":
        headers = (*headers, MODELS_FAULT)
    if outcome.status != 200:
        return GrpcReply(None, headers, outcome.status, messages.error_of(outcome.body))
    return GrpcReply(message(), headers)
