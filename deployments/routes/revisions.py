"""The newest published revision of each environment: the one every gateway should obey.

All of it reads the database.
"""

from django.db.models import Max, OuterRef, QuerySet, Subquery

from deployments.models import RouteTable
from registry.models import Environment


def newest_tables() -> QuerySet[RouteTable]:
    """The newest table of every environment that has one."""
    same = RouteTable.objects.filter(environment=OuterRef("environment")).order_by("-revision")
    return RouteTable.objects.filter(revision=Subquery(same.values("revision")[:1])).select_related("environment")


def newest_revisions() -> dict[str, int]:
    """Environment's name → its newest revision; an environment without a table is missing."""
    rows = RouteTable.objects.order_by().values("environment__name").annotate(newest=Max("revision"))
    return dict(rows.values_list("environment__name", "newest"))


def newest_table(environment: Environment) -> RouteTable | None:
    """The environment's newest table, None before the first."""
    return newest_tables().filter(environment=environment).first()


def newest_revision(environment: Environment) -> int:
    """The environment's newest revision, 0 before the first."""
    return newest_revisions().get(environment.name, 0)
