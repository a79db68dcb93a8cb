"""Who may ask what: the key of a request, and the route that it opens. The same for every protocol."""

import hashlib
import time

from dataplane.gateway import errors
from dataplane.gateway.core.compiled_table import CompiledTable, EndpointRoute, Key

EVERY_ENDPOINT = "*"
type_Tables = dict[str, CompiledTable]  # by environment


def digest_of(authorization: bytes) -> str:
    """The digest of the key in an `Authorization` header, empty when there is none."""
    kind, _, secret = authorization.partition(b" ")
    if kind.lower() != b"bearer" or not secret:
        return ""
    return hashlib.sha256(secret.strip()).hexdigest()


def route_for(tables: type_Tables, environment: str, endpoint: str, digest: str) -> EndpointRoute:
    """The endpoint's route when the key with this digest opens it.

    Raises Refusal (401, 403, 404) and says nothing without a key.
    """
    table = tables.get(environment)
    key = _live_key(table, digest)
    if table is None or key is None:
        raise errors.no_key()
    if not key.opens(endpoint):
        raise errors.foreign_key(endpoint)
    route = table.endpoints.get(endpoint)
    if route is None:
        raise errors.unknown_endpoint(endpoint, environment)
    return route


def check_key(tables: type_Tables, environment: str, digest: str) -> None:
    """Raise Refusal (401) unless the key is alive in the environment, whatever it opens there."""
    if _live_key(tables.get(environment), digest) is None:
        raise errors.no_key()


def is_known(tables: type_Tables, digest: str) -> bool:
    """Whether the key is alive in any environment."""
    return any(_live_key(table, digest) is not None for table in tables.values())


def opens_everything(tables: type_Tables, digest: str) -> bool:
    """Whether the key opens every endpoint of every environment."""
    keys = [_live_key(table, digest) for table in tables.values()]
    return bool(keys) and all(key is not None and key.opens(EVERY_ENDPOINT) for key in keys)


def _live_key(table: CompiledTable | None, digest: str) -> Key | None:
    key = table.keys.get(digest) if table is not None and digest else None
    if key is None or (key.expires_at is not None and key.expires_at <= time.time()):
        return None
    return key
