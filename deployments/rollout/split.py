"""The split of the traffic since the present weights apply: what was asked for, what was seen.

A wrong split makes the counts worthless.

Only requests whose arm was drawn count: those with a unit come back to the arm they had.
"""

import math
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from deployments import limits
from deployments.lifecycle import Phase
from deployments.models import Release, Rollout
from deployments.rollout.steps import baseline_pct_at, steps_from_plan
from monitoring.analysis.sample_ratio import is_sample_ratio_off
from monitoring.selectors import drawn_since, slowest_answer_s

LOOKED_AT = (Phase.BAKING, Phase.JUDGING, Phase.HOLDING)


@dataclass(frozen=True)
class Split:
    """Drawn requests of the arms under one weight of the candidate, and of its fresh baseline if it has one."""

    weight_pct: int
    candidate: int
    stable: int
    baseline: int = 0
    baseline_pct: int = 0

    @property
    def total(self) -> int:
        return self.candidate + self.stable + self.baseline

    @property
    def is_off(self) -> bool:
        """Whether the split is so unlikely under the weights (p < .001) that nothing may be concluded from the
        counts. With a fresh baseline both its share and the candidate's are looked at, each against all the rest.
        """
        if self.baseline_pct:
            arms = ((self.candidate, self.weight_pct), (self.baseline, self.baseline_pct))
            return any(is_sample_ratio_off((n, self.total - n), (pct, 100 - pct)) for n, pct in arms)
        weights = (self.weight_pct * 10, 1000 - self.weight_pct * 10)
        if self.weight_pct == 100:
            weights = (1000 - limits.STRAY_PER_MILLE, limits.STRAY_PER_MILLE)
        return is_sample_ratio_off((self.candidate, self.stable), weights)

    @property
    def sentence(self) -> str:
        """The split as people read it; empty while nothing was drawn."""
        if not self.total:
            return ""
        share = f"{self.candidate / self.total * 100:.1f} %"
        if not self.is_off:
            return (
                f"{share} of {self.total:,} drawn requests reached the new version; {self.weight_pct} % was asked for."
            )
        return (
            f"The traffic is not split as asked: {self.weight_pct} % of {self.total:,} drawn requests "
            f"({self.total * self.weight_pct / 100:,.0f}) should have reached the new version, "
            f"{share} ({self.candidate:,}) did. {self._baseline}"
            "Nothing is concluded from such counts."
        )

    @property
    def _baseline(self) -> str:
        if not self.baseline_pct:
            return ""
        return f"The fresh baseline had {self.baseline:,}; {self.baseline_pct} % was asked for. "

    def to_dict(self) -> dict[str, Any]:
        """The split as JSON-able values, with its sentence."""
        return {**asdict(self), "is_off": self.is_off, "sentence": self.sentence}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Split":
        """The split of `to_dict`."""
        return cls(
            data["weight_pct"], data["candidate"], data["stable"], data.get("baseline", 0), data.get("baseline_pct", 0)
        )


def split_of(release: Release, rollout: Rollout, now: datetime) -> Split | None:
    """The split under the present weights (reads the database), the last one seen while weights change, None before the
    first.

    Answers that come as late as the slowest one seen may have been drawn under the weights before, so counting begins
    that much later.
    """
    if release.replaces_id is None:
        return None
    if rollout.applied_at is None or rollout.weight_pct == 0 or Phase(rollout.phase) not in LOOKED_AT:
        stored = rollout.assessment.get("split")
        return Split.from_dict(stored) if stored else None
    place = {"environment": release.endpoint.environment.name, "endpoint": release.endpoint.name}
    slowest_s = slowest_answer_s(**place, since=rollout.applied_at, now=now)
    since = rollout.applied_at + timedelta(seconds=limits.SPLIT_SETTLE_S + math.ceil(slowest_s))
    drawn = drawn_since(**place, release=str(release.pk), since=since, now=now)
    return Split(rollout.weight_pct, *drawn, baseline_pct_at(steps_from_plan(release.plan), rollout.step))
