"""How far what gateways count has reached the site."""

from datetime import datetime, timedelta

from deployments.models import GatewayState
from deployments.processes.gateway_status import stats_of
from deployments.routes.acknowledgement import live_gateways


def told_until(now: datetime) -> datetime | None:
    """The moment up to which everything that live gateways counted has come; None when none is connected.

    A gateway that is not asked sends nothing, so its reports say that it would. What it has spooled and not sent yet is
    a batch for each second.
    """
    return min((_told_until(gateway) for gateway in live_gateways(now)), default=None)


def _told_until(gateway: GatewayState) -> datetime:
    return gateway.last_seen_at - timedelta(seconds=stats_of(gateway).spooled_batches)
