"""Publish a route table as the next revision of its environment when its content changed."""

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction

from deployments import limits
from deployments.models import RouteTable
from deployments.routes.build import build
from deployments.routes.revisions import newest_table
from mlorch_site.lib.hashing import content_hash
from mlorch_site.live import outbox
from registry.models import Environment

ROUTES_TOPIC = "gateways"


@transaction.atomic
def publish_if_changed(environment: Environment, *, reason: str, now: datetime) -> RouteTable | None:
    """Publish the next revision when the content differs from the newest one; return it, or None.

    Serialised by the environment's row, so that revisions rise without gaps. Calling twice is harmless.
    """
    Environment.objects.select_for_update().get(pk=environment.pk)
    document = build(environment, now)
    digest = content_hash(document)
    newest = newest_table(environment)
    if newest is not None and newest.content_hash == digest:
        return None
    revision = newest.revision + 1 if newest else 1
    table = RouteTable.objects.create(
        environment=environment,
        revision=revision,
        document={**document, "revision": revision},
        content_hash=digest,
        reason=reason[:300],
        created_at=now,
    )
    RouteTable.objects.filter(environment=environment, revision__lte=revision - limits.ROUTE_TABLES_KEPT).delete()
    outbox.publish(ROUTES_TOPIC, "gateway.changed", {"environment": environment.name, "revision": revision})
    return table


def publish_changed(environments: Iterable[Environment], *, reason: str, now: datetime) -> list[RouteTable]:
    """Publish the tables among `environments` whose content changed."""
    tables = [publish_if_changed(environment, reason=reason, now=now) for environment in environments]
    return [table for table in tables if table is not None]
