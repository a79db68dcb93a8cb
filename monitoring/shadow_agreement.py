"""Reads of shadow comparisons: how often the mirrored version said what the clients were told."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Max, Sum

from mlorch_site.lib import clock
from monitoring.selectors import spanning


@dataclass(frozen=True)
class Comparison:
    """Answers of a shadow arm held against the clients' own. The difference is absolute, per compared answer the sum over its numbers."""

    version: int
    compared: int
    agreed: int
    difference_mean: float
    difference_max: float

    @property
    def agreement_share(self) -> float:
        return self.agreed / self.compared

    @property
    def sentence(self) -> str:
        """The comparison as people read it."""
        return (
            f"{self.agreement_share * 100:.1f} % of {self.compared:,} compared answers of version {self.version} agree; "
            f"the numbers of an answer differ by {self.difference_mean:.3g} on average, by {self.difference_max:.3g} at most."
        )


def comparisons(*, environment: str, endpoint: str, since: datetime, release: str = "") -> list[Comparison]:
    """Return what was compared from `since` on, per version, of one release when it is named. Versions without a comparison are left out."""
    rows = spanning(since, clock.now()).filter(environment=environment, endpoint=endpoint, compared__gt=0)
    if release:
        rows = rows.filter(release=release)
    sums = rows.values("version").annotate(
        all=Sum("compared"), same=Sum("agreed"), total=Sum("difference_sum"), most=Max("difference_max")
    )
    return [
        Comparison(row["version"], row["all"], row["same"], row["total"] / row["all"], row["most"])
        for row in sums.order_by("version")
    ]
