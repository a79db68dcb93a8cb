"""Route tables follow what they are built from: arms, replicas, keys.

Whatever changes these says so by an event, and a key ends by its time.
"""

from datetime import datetime, timedelta

from deployments import limits
from deployments.models import GatewayKey, RouteTable
from deployments.routes.publish import publish_changed
from mlorch_site.live.models import Event, Follower
from mlorch_site.live.selectors import newest_sequence
from registry.models import Environment

FOLLOWER = "routes"
SAYS_NOTHING = ("windows.stored", "gateway.changed")  # of what tables are built from


def routes_are_due(now: datetime) -> bool:
    """Whether tables may have changed since they were built last, or that is long ago. Cheap."""
    last = Follower.objects.filter(pk=FOLLOWER).first()
    if last is None or not last.looked_at <= now < last.looked_at + timedelta(seconds=limits.ROUTES_SWEEP_S):
        return True
    news = Event.objects.filter(sequence__gt=last.sequence).exclude(kind__in=SAYS_NOTHING)
    ended = GatewayKey.objects.filter(revoked_at=None, expires_at__gt=last.looked_at, expires_at__lte=now)
    return news.exists() or ended.exists()


def routes_refresh(now: datetime) -> list[RouteTable]:
    """Publish the tables whose content changed. Calling twice is harmless."""
    sequence = newest_sequence()  # read before anything else: what is committed meanwhile is looked at again
    tables = publish_changed(Environment.objects.order_by("pk"), reason="replicas or keys changed", now=now)
    Follower.objects.update_or_create(pk=FOLLOWER, defaults={"sequence": sequence, "looked_at": now})
    return tables
