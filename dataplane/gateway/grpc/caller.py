"""Who calls and what for: key, environment and endpoint out of a call's metadata and its model name."""

import hashlib
import time
import uuid
from dataclasses import dataclass
from typing import Any

from dataplane.gateway import errors
from dataplane.gateway.config import UNIT_MAX_CHARS
from dataplane.gateway.core import inference
from dataplane.gateway.core.compiled_table import EndpointRoute, Key
from dataplane.gateway.grpc.messages import invalid
from dataplane.gateway.state import State

ENVIRONMENT = "mlorch-environment"
UNIT = "x-mlorch-unit"
REQUEST_ID = "x-request-id"
REQUEST_ID_CHARS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")
REQUEST_ID_LENGTHS = range(8, 65)


@dataclass(frozen=True)
class Caller:
    """What the metadata of one call says. `digest` is of the key, empty without one."""

    digest: str
    environment: str
    unit: str
    request_id: str


def caller_of(metadata: Any) -> Caller:
    """Return the caller of a call with this metadata, a sequence of pairs."""
    named = {str(name): value for name, value in metadata or () if isinstance(value, str)}
    kind, _, secret = named.get("authorization", "").partition(" ")
    digest = hashlib.sha256(secret.strip().encode()).hexdigest() if kind.lower() == "bearer" and secret.strip() else ""
    offered = named.get(REQUEST_ID, "")
    is_fit = len(offered) in REQUEST_ID_LENGTHS and set(offered) <= REQUEST_ID_CHARS
    return Caller(
        digest=digest,
        environment=named.get(ENVIRONMENT, ""),
        unit=named.get(UNIT, "")[:UNIT_MAX_CHARS],
        request_id=offered if is_fit else uuid.uuid4().hex,
    )


def is_known(state: State, caller: Caller) -> bool:
    """Return whether the key opens anything in any environment: who has none is not even read."""
    return any(inference.key_for(state, name, caller.digest, time.time()) for name in list(state.tables))


def place_of(caller: Caller, model_name: str) -> tuple[str, str]:
    """Return environment and endpoint. Raises Refusal (400) when neither metadata nor name says the environment."""
    first, slash, rest = model_name.partition("/")
    environment, endpoint = (first, rest) if slash else (caller.environment, model_name)
    if not environment:
        raise invalid(
            f"Say the environment: as metadata {ENVIRONMENT}, or as environment/endpoint in the model's name."
        )
    if slash and caller.environment not in ("", environment):
        raise invalid(f"The metadata {ENVIRONMENT} and the model's name say different environments.")
    return environment, endpoint


def key_of(state: State, caller: Caller, environment: str) -> Key:
    """Return the caller's live key in an environment. Raises Refusal (401)."""
    key = inference.key_for(state, environment, caller.digest, time.time())
    if key is None:
        raise errors.no_key()
    return key


def route_of(state: State, caller: Caller, model_name: str) -> tuple[str, EndpointRoute]:
    """Return environment and route of the endpoint that is called. Raises Refusal (400, 401, 403, 404)."""
    environment, endpoint = place_of(caller, model_name)
    return environment, inference.route_for(state, environment, endpoint, key_of(state, caller, environment))
