"""Who obeys the routes: which gateways live, which revision each acknowledged, and the sentence that says who does not
yet.
"""

from datetime import datetime, timedelta

from dataplane.wire import shapes
from dataplane.wire.gateway_poll import GatewayStats
from deployments import limits
from deployments.lifecycle import Arm
from deployments.models import GatewayState, Release
from registry.models import Environment


def live_gateways(now: datetime) -> list[GatewayState]:
    """The gateways that reported within their lease."""
    since = now - timedelta(seconds=limits.GATEWAY_LEASE_S)
    return list(GatewayState.objects.filter(last_seen_at__gte=since).order_by("gateway"))


def why_unacknowledged(environment: Environment, revision: int, gateways: list[GatewayState]) -> str:
    """An empty string when every live gateway obeys `revision` or a newer one, else the sentence that says who does
    not.
    """
    if not gateways:
        return "No gateway is connected."
    for gateway in gateways:
        applied = gateway.applied.get(environment.name, 0)
        if applied >= revision:
            continue
        refused = gateway.refused.get(environment.name)
        if refused and refused.get("revision", 0) >= revision:
            return f"Gateway {gateway.gateway} refuses routes {refused['revision']}: {refused.get('error', '')}"
        return f"Gateway {gateway.gateway} has routes {applied}, not yet {revision}."
    return ""


def why_ejected(release: Release, gateways: list[GatewayState]) -> str:
    """An empty string unless one of `gateways` turned away from a replica of the release, else the sentence that says
    so.

    What is left of the candidate's replicas, or the stable arm, then answers for the ejected one: its share is no
    longer what the plan says.
    """
    for gateway in gateways:
        for lane in shapes.convert(GatewayStats, gateway.stats).lanes:
            if lane.release == str(release.pk) and lane.ejections:
                whose = "the fresh baseline" if lane.arm == Arm.BASELINE else "the new version"
                replica, times = next(iter(lane.ejections.items()))
                return (
                    f"Gateway {gateway.gateway} could not use replica {replica} of {whose} ({times} "
                    f"time{'' if times == 1 else 's'}) and sends its requests elsewhere."
                )
    return ""
