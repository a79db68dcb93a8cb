"""What is said of the server and of the versions of an endpoint, by both protocols."""

from dataplane.gateway import errors
from dataplane.gateway.core.compiled_table import EndpointRoute
from dataplane.gateway.core.inference import Call
from dataplane.wire.frames import RequestHeader
from dataplane.wire.route_table import STABLE

SERVER_METADATA = {"name": "mlorch", "version": "1", "extensions": ["binary_tensor_data"]}


def versions_of(route: EndpointRoute) -> list[str]:
    """Every version that the endpoint serves now, in the order of their numbers."""
    return sorted({arm.version for arm in route.arms if arm.replicas}, key=lambda version: (len(version), version))


def is_ready(route: EndpointRoute, version: str) -> bool:
    """Whether a version is served now, or any when none is named."""
    return any(arm.replicas and version in ("", arm.version) for arm in route.arms)


def metadata_call(environment: str, route: EndpointRoute, version: str) -> Call:
    """The question for a model's metadata.

    A version is always named, so it counts in no window: metadata is no prediction.

    Raises Refusal (503) when no version is served.
    """
    return Call(
        environment, route.name, RequestHeader("metadata", model_name=route.name), b"", "", version or _described(route)
    )


def _described(route: EndpointRoute) -> str:
    """The version whose metadata stands for the endpoint: the stable one, or else another that is served."""
    served = {arm.arm: arm.version for arm in route.arms if arm.replicas}
    if not served:
        raise errors.no_replica(route.name)
    return served.get(STABLE) or next(iter(served.values()))
