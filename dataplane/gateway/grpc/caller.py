"""Who calls and what for: key, environment and endpoint out of a call's metadata and its model name."""

import uuid
from dataclasses import dataclass
from typing import Any

from dataplane.gateway.core import admission
from dataplane.gateway.grpc.messages import invalid
from dataplane.wire.unit_buckets import UNIT_MAX_CHARS

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
    headers: dict[bytes, bytes]


def caller_of(metadata: Any) -> Caller:
    """The caller of a call with this metadata, a sequence of pairs. Raises Refusal (400) when it has two keys."""
    if sum(name == "authorization" for name, _ in metadata or ()) > 1:
        raise invalid("The metadata authorization may stand there once.")
    named = {str(name): value for name, value in metadata or () if isinstance(value, str)}
    offered = named.get(REQUEST_ID, "")
    is_fit = len(offered) in REQUEST_ID_LENGTHS and set(offered) <= REQUEST_ID_CHARS
    return Caller(
        digest=admission.digest_of(named.get("authorization", "").encode()),
        environment=named.get(ENVIRONMENT, ""),
        unit=named.get(UNIT, "")[:UNIT_MAX_CHARS],
        request_id=offered if is_fit else uuid.uuid4().hex,
        headers={name.encode(): value.encode() for name, value in named.items()},
    )


def place_of(caller: Caller, model_name: str) -> tuple[str, str]:
    """Environment and endpoint. Raises Refusal (400) when neither metadata nor name says the environment."""
    first, slash, rest = model_name.partition("/")
    environment, endpoint = (first, rest) if slash else (caller.environment, model_name)
    if not environment:
        raise invalid(
            f"Say the environment: as metadata {ENVIRONMENT}, or as environment/endpoint in the model's name."
        )
    if slash and caller.environment not in ("", environment):
        raise invalid(f"The metadata {ENVIRONMENT} and the model's name say different environments.")
    return environment, endpoint
