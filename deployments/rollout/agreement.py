"""The answers of a mirrored version held against those that clients got, and whether they agree as often as was asked
for.
"""

from dataclasses import asdict, dataclass
from typing import Any

from deployments.models import Release, Rollout
from deployments.rollout.steps import Step, is_targeted_at, mirror_at, steps_from_plan
from monitoring.analysis.judge import DEFAULT_ALPHA
from monitoring.analysis.sequential import share_interval
from monitoring.shadow_agreement import ShadowAgreement, shadow_agreements

NOTHING_YET = "No answer has been compared yet."


@dataclass(frozen=True)
class MirrorAgreement:
    """What was compared while a release was mirrored. `wanted_pct` of the answers must agree; with 0 none must."""

    wanted_pct: int
    measured: ShadowAgreement | None

    @property
    def disagrees(self) -> bool:
        """Whether the share that agrees is below the wanted one, whenever one looks (error 5 %)."""
        return self.measured is not None and self.wanted_pct > 0 and self._interval[1] < self.wanted_pct / 100

    @property
    def is_settled(self) -> bool:
        """Whether the share that agrees is known to be at least the wanted one, or nothing was asked for."""
        return not self.wanted_pct or (self.measured is not None and self._interval[0] >= self.wanted_pct / 100)

    @property
    def _interval(self) -> tuple[float, float]:
        assert self.measured is not None
        interval = share_interval(self.measured.compared, self.measured.agreed, DEFAULT_ALPHA)
        return interval.low, interval.high

    @property
    def sentence(self) -> str:
        """The agreement as people read it."""
        sentence = self.measured.sentence if self.measured else NOTHING_YET
        if not self.wanted_pct:
            return sentence
        wanted = f"At least {self.wanted_pct} % must agree"
        if self.measured is None:
            return f"{sentence} {wanted}."
        low, high = self._interval
        span = f"the true share lies between {low * 100:.1f} % and {high * 100:.1f} %"
        doubt = "" if self.is_settled or self.disagrees else ", which is not certain yet"
        return f"{sentence} {wanted}{doubt}: {span}."

    def to_dict(self) -> dict[str, Any]:
        """The agreement as JSON-able values, with its sentence and what follows from it."""
        numbers = asdict(self.measured) if self.measured else {}
        judged = {"disagrees": self.disagrees, "is_settled": self.is_settled, "sentence": self.sentence}
        return {"wanted_pct": self.wanted_pct, **numbers, **judged}


def mirror_agreement(release: Release, rollout: Rollout) -> dict[str, Any]:
    """The agreement of a rollout that mirrors now (reads the database), else its last one, an empty dict without
    any.
    """
    step = mirror_in_force(release, rollout)
    if step is None:
        stored: dict[str, Any] = rollout.assessment.get("comparison", {})
        return stored
    found = shadow_agreements(
        environment=release.endpoint.environment.name,
        endpoint=release.endpoint.name,
        since=rollout.began_at,
        release=str(release.pk),
    )
    return MirrorAgreement(step.agreement_pct, found[0] if found else None).to_dict()


def mirror_in_force(release: Release, rollout: Rollout) -> Step | None:
    """The mirror step in force, None when there is none."""
    return mirror_at(steps_from_plan(release.plan), rollout.step)


def target_in_force(release: Release, rollout: Rollout) -> bool:
    """Whether the candidate has none but chosen requests now."""
    return is_targeted_at(steps_from_plan(release.plan), rollout.step)
