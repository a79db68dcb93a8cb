"""What the path of a request names."""

from functools import lru_cache
from typing import NamedTuple

from dataplane.gateway import errors
from dataplane.gateway.config import PATHS_KEPT, URL_MAX_CHARS
from dataplane.gateway.errors import Refusal


class InferencePath(NamedTuple):
    """An inference request; `version` is empty when it leaves the choice to the routes."""

    environment: str
    endpoint: str
    op: str
    version: str


class MetadataPath(NamedTuple):
    """What the Open Inference Protocol answers without inference: for a version, an endpoint, the server.

    Without an `endpoint` it is for the server. `asks` is `live`, `ready` or `metadata`; empty when there is nothing at
    the path, which only somebody with a key may know.
    """

    environment: str
    endpoint: str
    version: str
    asks: str


class ProcessPath(NamedTuple):
    """The process itself: health and metrics."""

    name: str


type_Path = InferencePath | MetadataPath | ProcessPath


def express_path(url: bytes) -> InferencePath | None:
    """What the URL of an inference request names, as it was sent; None for any other or unusual one."""
    try:
        return _inference_path(url)
    except (Refusal, UnicodeDecodeError):
        return None


@lru_cache(PATHS_KEPT)
def _inference_path(url: bytes) -> InferencePath | None:
    if b"?" in url or b"%" in url:
        raise errors.unknown_path()  # not kept, unlike a result: there is no end of such URLs
    path = path_of(url.decode("ascii"))
    return path if isinstance(path, InferencePath) else None


@lru_cache(PATHS_KEPT)
def path_of(path: str) -> type_Path:
    """What a decoded path names. Raises Refusal (404) for one that names nothing, or is too long."""
    if len(path) > URL_MAX_CHARS:
        raise errors.unknown_path()
    environment, *rest = path.strip("/").split("/")
    match rest:
        case []:
            return ProcessPath(environment)
        case ["endpoints", endpoint, "invocations"]:
            return InferencePath(environment, endpoint, "invocations", "")
        case ["v2", "models", _, *_, "infer"]:
            return _infer_path(environment, rest)
        case ["v2", *about]:
            return _metadata_path(environment, about)
    raise errors.unknown_path()


def _infer_path(environment: str, rest: list[str]) -> InferencePath:
    match rest[2:]:
        case [endpoint, "infer"] if endpoint:
            return InferencePath(environment, endpoint, "infer", "")
        case [endpoint, "versions", version, "infer"] if endpoint and version:
            return InferencePath(environment, endpoint, "infer", version)
    raise errors.unknown_path()


def _metadata_path(environment: str, about: list[str]) -> MetadataPath:
    match about:
        case ["health", ("live" | "ready") as asks]:
            return MetadataPath(environment, "", "", asks)
        case []:
            return MetadataPath(environment, "", "", "metadata")
        case ["models", endpoint, "versions", version, *tail] if endpoint and version and tail in ([], ["ready"]):
            return MetadataPath(environment, endpoint, version, "ready" if tail else "metadata")
        case ["models", endpoint, *tail] if endpoint and tail in ([], ["ready"]):
            return MetadataPath(environment, endpoint, "", "ready" if tail else "metadata")
    return MetadataPath(environment, "", "", "")
