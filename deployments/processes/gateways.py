"""What gateways report of themselves, and what they are answered (docs/wire.md section 3)."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from dataplane.wire import shapes
from dataplane.wire.gateway_poll import PollReport
from deployments import limits
from deployments.models import GatewayState
from deployments.routes.revisions import newest_revisions, newest_tables
from mlorch_site.live import outbox
from registry.models import Environment

SEEN_BY_PEOPLE = ("applied", "refused")


@transaction.atomic
def gateway_report(*, gateway: str, report: PollReport, now: datetime) -> bool:
    """Store a gateway's report: what it obeys, refuses, and has in flight. Returns whether an acknowledgement is new.

    Earlier processes of the gateway are forgotten, except those that still run as peers of this one.
    """
    values = {
        "applied": report.have,
        "refused": shapes.plain(report.refused),
        "in_flight": report.in_flight,
        "stats": shapes.plain(report.stats),
    }
    known = GatewayState.objects.select_for_update().filter(gateway=gateway, boot=report.boot).first()
    if known is not None:
        GatewayState.objects.filter(pk=known.pk).update(**values, last_seen_at=now)
    else:
        GatewayState.objects.update_or_create(
            gateway=gateway,
            boot=report.boot,
            defaults={**values, "last_seen_at": now},
            create_defaults={**values, "last_seen_at": now, "first_seen_at": now},
        )
    # Only earlier ones: a report that was made before its successor began does not know of it.
    is_earlier = Q(first_seen_at__lte=known.first_seen_at if known else now)
    is_silent = Q(last_seen_at__lt=now - timedelta(seconds=limits.GATEWAY_LEASE_S))
    others = GatewayState.objects.filter(is_earlier | is_silent, gateway=gateway)
    forgotten, _ = others.exclude(boot__in=[report.boot, *report.peers]).delete()
    changed = known is None or bool(forgotten) or any(getattr(known, name) != values[name] for name in SEEN_BY_PEOPLE)
    if changed:
        outbox.publish("gateways", "gateway.changed", {"gateway": gateway})
    return changed


def gateway_touch(*, gateway: str, boot: str, now: datetime) -> None:
    """Note that a gateway whose long poll waits is alive. A poll of an earlier boot says nothing."""
    GatewayState.objects.filter(gateway=gateway, boot=boot).update(last_seen_at=now)


def newer_tables(have: dict[str, int]) -> list[dict[str, Any]]:
    """The newest table of each environment that is newer than what the gateway has (also after a restore to an older
    revision).
    """
    stale = [name for name, revision in newest_revisions().items() if revision != have.get(name, 0)]
    return [table.document for table in newest_tables().filter(environment__name__in=stale)] if stale else []


def environment_names() -> list[str]:
    """The environments gateways serve."""
    return list(Environment.objects.order_by("position", "name").values_list("name", flat=True))
