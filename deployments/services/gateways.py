"""What gateways report of themselves, and what they are answered (docs/wire.md section 3)."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from deployments import limits
from deployments.models import GatewayState, RouteTable
from mlorch_site.lib.errors import Invalid
from mlorch_site.live import outbox
from registry.models import Environment

BESIDE_MAX = 64
SEEN_BY_PEOPLE = ("applied", "refused")


@transaction.atomic
def gateway_report(*, gateway: str, report: dict[str, Any], now: datetime) -> bool:
    """Store a gateway's report: what it obeys, refuses, and has in flight. Returns whether an acknowledgement is new.

    Earlier processes of the gateway are forgotten, except those that still run beside this one. Raises Invalid for a report of another shape.
    """
    values = _read(report)
    boot = values.pop("boot")
    known = GatewayState.objects.select_for_update().filter(gateway=gateway, boot=boot).first()
    GatewayState.objects.update_or_create(
        gateway=gateway,
        boot=boot,
        defaults={**values, "last_seen_at": now},
        create_defaults={**values, "last_seen_at": now, "first_seen_at": now},
    )
    # Only earlier ones: a report that was made before its successor began does not know of it.
    is_earlier = Q(first_seen_at__lte=known.first_seen_at if known else now)
    is_silent = Q(last_seen_at__lt=now - timedelta(seconds=limits.GATEWAY_LEASE_S))
    others = GatewayState.objects.filter(is_earlier | is_silent, gateway=gateway)
    forgotten, _ = others.exclude(boot__in=[boot, *_beside(report)]).delete()
    changed = known is None or bool(forgotten) or any(getattr(known, name) != values[name] for name in SEEN_BY_PEOPLE)
    if changed:
        outbox.publish("gateways", "gateway.changed", {"gateway": gateway})
    return changed


def _beside(report: dict[str, Any]) -> list[str]:
    """Return the boots of the gateway's other processes that run, as far as it says."""
    beside = report.get("beside", [])
    if not isinstance(beside, list) or len(beside) > BESIDE_MAX or not all(isinstance(boot, str) for boot in beside):
        raise Invalid("beside lists the boots of other processes.", details={"beside": f"{BESIDE_MAX} texts at most"})
    return beside


def gateway_touch(*, gateway: str, boot: str, now: datetime) -> None:
    """Note that a gateway whose long poll waits is alive. A poll of an earlier boot says nothing."""
    GatewayState.objects.filter(gateway=gateway, boot=boot).update(last_seen_at=now)


def newer_tables(have: dict[str, int]) -> list[dict[str, Any]]:
    """Return the newest table of each environment that is newer than what the gateway has (also after a restore to an older revision)."""
    tables = []
    for revision, pk, name in _newest():
        if revision != have.get(name, 0):
            tables.append(pk)
    return [table.document for table in RouteTable.objects.filter(pk__in=tables)]


def environment_names() -> list[str]:
    """Return the environments gateways serve."""
    return list(Environment.objects.order_by("position", "name").values_list("name", flat=True))


def _newest() -> list[tuple[int, int, str]]:
    rows = RouteTable.objects.order_by("environment", "-revision").values_list("revision", "pk", "environment__name")
    newest: dict[str, tuple[int, int, str]] = {}
    for row in rows:
        newest.setdefault(row[2], row)
    return list(newest.values())


def _read(report: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a report that are stored. Unknown keys are ignored."""
    have, refused, in_flight = (report.get(name, {}) for name in ("have", "refused", "in_flight"))
    stats, boot = report.get("stats", {}), report.get("boot")
    if not isinstance(boot, str) or not 0 < len(boot) <= 36:
        raise Invalid("boot must be the id of the gateway's process.", details={"boot": "1 to 36 characters"})
    for name, value in {"have": have, "refused": refused, "in_flight": in_flight, "stats": stats}.items():
        if not isinstance(value, dict):
            raise Invalid(f"{name} must be an object.", details={name: "an object"})
    if not all(isinstance(revision, int) and revision >= 0 for revision in have.values()):
        raise Invalid("have maps environments to revisions.", details={"have": "whole numbers"})
    if not all(isinstance(row, dict) and isinstance(row.get("revision", 0), int) for row in refused.values()):
        raise Invalid("refused maps environments to a revision and an error.", details={"refused": "objects"})
    return {"boot": boot, "applied": have, "refused": refused, "in_flight": in_flight, "stats": stats}
