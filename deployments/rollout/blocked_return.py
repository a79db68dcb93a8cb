"""A rollout that goes back to a version which was blocked while it served: said, never silent (ADR 0014)."""

from deployments import selectors
from deployments.models import Endpoint
from registry.version_lifecycle import is_blocked


def why_blocked_serves(endpoint: Endpoint) -> str:
    """What to tell people when the stable version of an endpoint is blocked, with the way out; empty when it is not
    (reads the database).
    """
    stable = endpoint.stable_release
    if stable is None or not is_blocked(stable.version, stable.digest):
        return ""
    target = selectors.rollback_target(endpoint)
    way_out = (
        f"Roll the endpoint back once more: it goes to version {target.version.number}."
        if target
        else "No earlier version may serve either: release another one, or retire the endpoint."
    )
    said = f"Version {stable.version.number} serves again and is blocked: taking traffic back waits for nobody."
    return f"{said} {way_out}"
