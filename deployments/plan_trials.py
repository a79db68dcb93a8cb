"""What is tried by simulation: a plan as a request writes it, with traffic and truths, as trials of the simulator."""

from dataclasses import asdict, dataclass
from typing import Any

from deployments.rollout.guardrails import guardrail_kinds as kinds
from deployments.rollout.guardrails import read_guardrails
from deployments.rollout.simulation import LOOKS_MAX, PlanTrial, SimulatedTraffic
from deployments.rollout.strategies import compile_strategy
from mlorch_site.lib.errors import Invalid

EFFECTS_PP = (0.0, 1.0, 5.0, 100.0)  # as good; a little worse; much worse; every request fails
EFFECTS_MAX = 8
ROLLOUTS = 50


@dataclass(frozen=True)
class TrialWish:
    """A plan, the truths to try it with (`effects_pp`: by how many points the candidate's share of errors is larger; a
    truth beyond all requests is all requests), and how often.
    """

    strategy: dict[str, Any]
    guardrails: list[dict[str, Any]]
    traffic: SimulatedTraffic
    deadline_s: int
    effects_pp: tuple[float, ...] = EFFECTS_PP
    rollouts: int = ROLLOUTS
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "effects_pp": list(self.effects_pp)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrialWish":
        traffic = SimulatedTraffic(**values["traffic"])
        return cls(**{**values, "traffic": traffic, "effects_pp": tuple(values["effects_pp"])})


def trials_of(wish: TrialWish) -> list[PlanTrial]:
    """The trials, one for each truth. Raises Invalid with what cannot be simulated."""
    if not 1 <= len(wish.effects_pp) <= EFFECTS_MAX:
        raise Invalid(f"1 to {EFFECTS_MAX} truths are tried together.", details={"effects": f"1 to {EFFECTS_MAX}"})
    rows = read_guardrails(wish.guardrails)
    steps, guardrails = tuple(compile_strategy(wish.strategy)), tuple(kinds.counted(rows))
    if len(guardrails) < len(rows):
        said = "Only guardrails on shares of requests by mlorch's own method can be simulated."
        raise Invalid(said, details={"guardrails": said})
    try:
        trials = [
            PlanTrial(steps, guardrails, wish.traffic, _excess(wish, pp), wish.deadline_s, wish.rollouts, wish.seed)
            for pp in wish.effects_pp
        ]
    except ValueError as error:
        said = f"{str(error)[:1].upper()}{str(error)[1:]}."
        raise Invalid(said, details={"simulation": said}) from error
    looks = sum(trial.longest_s * trial.rollouts for trial in trials)
    if looks > LOOKS_MAX:
        said = f"That would be up to {looks:,} looks, and {LOOKS_MAX:,} are the most: try fewer rollouts or truths."
        raise Invalid(said, details={"rollouts": said})
    return trials


def _excess(wish: TrialWish, points: float) -> float:
    """The excess as a share, no larger than it can be."""
    return min(points / 100, 1 - wish.traffic.error_share)
