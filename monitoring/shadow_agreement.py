"""Reads of shadow agreement: how often the mirrored version said what the answer to the client said."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Max, Sum

from mlorch_site.lib import clock
from monitoring.selectors import spanning


@dataclass(frozen=True)
class ShadowAgreement:
    """Answers of a shadow arm held against the clients' own.

    The difference is absolute, per compared answer the sum over its numbers.
    """

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
        """The agreement as people read it."""
        return (
            f"{self.agreement_share * 100:.1f} % of {self.compared:,} compared answers of version "
            f"{self.version} agree; "
            f"the numbers of an answer differ by {self.difference_mean:.3g} on average, by "
            f"{self.difference_max:.3g} at most."
        )


def shadow_agreements(*, environment: str, endpoint: str, since: datetime, release: str = "") -> list[ShadowAgreement]:
    """What was compared from `since` on, per version, of one release when it is named.

    Versions without a comparison are left out.
    """
    rows = spanning(since, clock.now()).filter(environment=environment, endpoint=endpoint, compared__gt=0)
    if release:
        rows = rows.filter(release=release)
    sums = rows.values("version").annotate(
        all=Sum("compared"), same=Sum("agreed"), total=Sum("difference_sum"), most=Max("difference_max")
    )
    return [
        ShadowAgreement(row["version"], row["all"], row["same"], row["total"] / row["all"], row["most"])
        for row in sums.order_by("version")
    ]
