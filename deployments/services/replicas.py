"""Replicas on their way out: kept warm, drained, stopped, forgotten. The tick calls this; twice is harmless."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from deployments import limits
from deployments.journal import announce_goal
from deployments.models import GatewayState, Replica, ReplicaState
from deployments.routes.acknowledgement import live_gateways, why_unacknowledged


def replicas_leave(now: datetime) -> bool:
    """Whether there is a replica to stop wanting, or to forget."""
    leaving = Q(wanted=True, removed_from_routes_at__isnull=False) & (Q(keep_until=None) | Q(keep_until__lte=now))
    return Replica.objects.filter(leaving | Q(wanted=False)).exists()


@transaction.atomic
def replicas_reap(*, now: datetime) -> int:
    """Stop wanting replicas that are out of the routes, no longer kept, and drained; forget those that are gone.

    Returns how many.
    """
    gateways = live_gateways(now)
    leaving = Replica.objects.filter(wanted=True, removed_from_routes_at__isnull=False)
    over = leaving.filter(Q(keep_until=None) | Q(keep_until__lte=now)).select_related(
        "serving_config", "endpoint__environment"
    )
    drained = [replica.pk for replica in over if _is_drained(replica, gateways, now)]
    still = Replica.objects.filter(pk__in=drained, wanted=True, removed_from_routes_at__isnull=False)
    if drained and still.update(wanted=False):
        announce_goal()
    return len(drained) + _forget(now)


def _is_drained(replica: Replica, gateways: list[GatewayState], now: datetime) -> bool:
    """Every live gateway obeys a table without the replica, and none has a request open on it (or the time for that is
    over).
    """
    if gateways and why_unacknowledged(replica.endpoint.environment, replica.removal_revision, gateways):
        return False
    if not any(gateway.in_flight.get(replica.pk) for gateway in gateways):
        return True
    assert replica.removed_from_routes_at is not None
    return now >= replica.removed_from_routes_at + timedelta(seconds=replica.serving_config.drain_s)


def _forget(now: datetime) -> int:
    """Delete unwanted replicas that their agent reported stopped or no longer reports, or whose agent is gone."""
    unwanted = list(Replica.objects.filter(wanted=False).values_list("pk", flat=True))
    if not unwanted:
        return 0
    silent = now - timedelta(seconds=limits.REPLICA_GONE_S)
    running = ReplicaState.objects.filter(pk__in=unwanted, reported_at__gt=silent).exclude(state="stopped")
    gone = set(unwanted) - set(running.values_list("pk", flat=True))
    ReplicaState.objects.filter(pk__in=gone).delete()
    Replica.objects.filter(pk__in=gone, wanted=False).delete()
    return len(gone)
