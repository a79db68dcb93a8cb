"""What a plan comes to with traffic of a known kind and a candidate of a known truth, by trying it many times. Pure.

The plan is driven by the engine's own `plan` and the judge's own words, a look a second; gateways obey at once, and a
person's hold is granted. Requests come at random (Poisson), in bunches that share their fate: bunches as large as the
traffic's design effect make requests worth as little as they are. The same seed gives the same answer.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from random import Random
from statistics import NormalDist

from deployments.lifecycle import Phase, ReleaseStatus
from deployments.rollout.plan import HARMFUL, Enter, Finish, Revert, plan
from deployments.rollout.snapshot import Judged, ReplicasSnapshot, Snapshot
from deployments.rollout.steps import Step, StepKind, mirror_at
from monitoring.analysis.judge import ArmCounts, Block, Guardrail, JudgeState, assess, fold, initial_state, slo_key

ROLLOUTS_MAX = 2000
LOOKS_MAX = 2_000_000  # over all rollouts, were each to run to its last deadline
RATE_MAX_PER_S = 10_000.0
EXACT_MEAN_MAX = 50.0  # from this mean on a count is drawn from the normal distribution
COUNTING = (Phase.BAKING, Phase.JUDGING)
BAKE_IS_OVER = (Phase.JUDGING, Phase.PROMOTING)
PASSES_MAX = 6  # steps that are over at once, in one second
BEGAN = datetime(2000, 1, 1, tzinfo=UTC)


class TrialOutcome(StrEnum):
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"  # on the judge's word
    DEADLINE = "deadline"  # nothing could be concluded in time


@dataclass(frozen=True)
class SimulatedTraffic:
    """Requests per second of the endpoint, the stable arm's share of errors, and how many requests are worth one."""

    rate_per_s: float
    error_share: float
    design_effect: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.rate_per_s <= RATE_MAX_PER_S:
            raise ValueError(f"the rate is 0 to {RATE_MAX_PER_S:,.0f} requests per second, not {self.rate_per_s}")
        if not 0 <= self.error_share <= 1:
            raise ValueError(f"a share of errors lies between 0 and 1, not {self.error_share}")
        if not 1 <= self.design_effect <= RATE_MAX_PER_S:
            raise ValueError(f"a design effect is at least 1, not {self.design_effect}")


@dataclass(frozen=True)
class PlanTrial:
    """What is tried: a plan, the traffic, and `excess`, by how much the candidate's share of errors is larger in truth.
    Raises ValueError for what cannot be simulated.
    """

    steps: tuple[Step, ...]
    guardrails: tuple[Guardrail, ...]
    traffic: SimulatedTraffic
    excess: float
    deadline_s: int
    rollouts: int
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.rollouts <= ROLLOUTS_MAX:
            raise ValueError(f"1 to {ROLLOUTS_MAX:,} rollouts can be simulated, not {self.rollouts}")
        if not 0 <= self.traffic.error_share + self.excess <= 1:
            raise ValueError("the candidate's share of errors lies between 0 and 1")
        if self.longest_s * self.rollouts > LOOKS_MAX:
            raise ValueError(
                f"{self.rollouts:,} rollouts of up to {self.longest_s:,} s are more than {LOOKS_MAX:,} looks: "
                "simulate fewer, or a shorter plan"
            )
        if not self.guardrails:
            raise ValueError("without a guardrail nothing is judged")

    @property
    def longest_s(self) -> int:
        """How long a rollout lasts when every step waits for its deadline."""
        waits = sum(step.kind in (StepKind.BAKE, StepKind.JUDGE) for step in self.steps)
        return sum(step.duration_s for step in self.steps) + waits * self.deadline_s + len(self.steps)


@dataclass(frozen=True)
class SimulatedRollout:
    """How one rollout ended, after how many seconds, and how many requests of clients the candidate failed."""

    outcome: TrialOutcome
    lasted_s: int
    bad_requests: int


@dataclass(frozen=True)
class Simulation:
    """How often a plan came to what. Shares are of all rollouts.

    `rolled_back_low` and `rolled_back_high` are the 95 % interval of that share (Wilson 1927). `detected_median_s` and
    `detected_90_s` are None where fewer than half, or 90 %, were rolled back: those that were not count as later.
    """

    excess: float
    rollouts: int
    promoted: float
    rolled_back: float
    deadline: float
    rolled_back_low: float
    rolled_back_high: float
    detected_median_s: int | None
    detected_90_s: int | None
    bad_requests_mean: float


def simulate(trial: PlanTrial, progress: Callable[[int], None] = lambda done: None) -> Simulation:
    """Try it; `progress` hears how many rollouts have ended."""
    ended = []
    for number in range(trial.rollouts):
        ended.append(_rollout(trial, Random(f"{trial.seed} {number}")))  # noqa: S311 - chance, no secret
        progress(number + 1)
    counts = {outcome: sum(one.outcome is outcome for one in ended) for outcome in TrialOutcome}
    low, high = share_interval(counts[TrialOutcome.ROLLED_BACK], trial.rollouts)
    found = sorted(one.lasted_s for one in ended if one.outcome is TrialOutcome.ROLLED_BACK)
    return Simulation(
        excess=trial.excess,
        rollouts=trial.rollouts,
        promoted=counts[TrialOutcome.PROMOTED] / trial.rollouts,
        rolled_back=counts[TrialOutcome.ROLLED_BACK] / trial.rollouts,
        deadline=counts[TrialOutcome.DEADLINE] / trial.rollouts,
        rolled_back_low=low,
        rolled_back_high=high,
        detected_median_s=_reached(found, 0.5, trial.rollouts),
        detected_90_s=_reached(found, 0.9, trial.rollouts),
        bad_requests_mean=sum(one.bad_requests for one in ended) / trial.rollouts,
    )


def share_interval(count: int, of: int, level: float = 0.95) -> tuple[float, float]:
    """The interval of a share by Wilson's score (1927)."""
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share, spread = count / of, z * z / of
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / of + spread / (4 * of)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def _reached(found_s: Sequence[int], share: float, of: int) -> int | None:
    """When a share of all rollouts had been rolled back."""
    needed = math.ceil(share * of)
    return found_s[needed - 1] if len(found_s) >= needed else None


def _rollout(trial: PlanTrial, random: Random) -> SimulatedRollout:
    steps = tuple(step for step in trial.steps if step.kind is not StepKind.HOLD)
    snapshot = Snapshot(
        phase=Phase.STARTING,
        step=0,
        steps=steps,
        weight_pct=0,
        candidate=ReplicasSnapshot(1, 1),
        step_began_at=BEGAN,
        guarded=True,
        judge_deadline_s=trial.deadline_s,
    )
    state, bad = initial_state(list(trial.guardrails)), 0
    for second in range(1, trial.longest_s + 1):
        now = BEGAN + timedelta(seconds=second)
        if snapshot.has_traffic:
            block = _block(trial, snapshot, second, random)
            bad += block.candidate.errors if snapshot.weight_pct else 0
            state = fold(state, block)
            counted = block.candidate.requests if snapshot.phase in COUNTING else 0
            snapshot = _judged(replace(snapshot, step_requests=snapshot.step_requests + counted), state)
        for _ in range(PASSES_MAX):
            decision = plan(snapshot, now)
            if isinstance(decision, Finish | Revert):
                return SimulatedRollout(_outcome(snapshot, decision), second, bad)
            if not isinstance(decision, Enter):
                break
            if decision.weight_pct is not None and mirror_at(snapshot.steps, snapshot.step):
                # As in the engine: what copies showed is no evidence on clients' own requests.
                state, snapshot = initial_state(list(trial.guardrails)), replace(snapshot, judged=None)
            snapshot = _entered(snapshot, decision, now)
            snapshot = _judged(snapshot, state) if snapshot.judged else snapshot
    return SimulatedRollout(TrialOutcome.DEADLINE, trial.longest_s, bad)


def _outcome(snapshot: Snapshot, decision: Finish | Revert) -> TrialOutcome:
    if isinstance(decision, Finish) and decision.status is ReleaseStatus.SUCCEEDED:
        return TrialOutcome.PROMOTED
    is_harm = snapshot.judged is not None and snapshot.judged.verdict == HARMFUL
    return TrialOutcome.ROLLED_BACK if is_harm else TrialOutcome.DEADLINE


def _entered(snapshot: Snapshot, decision: Enter, now: datetime) -> Snapshot:
    begins = decision.phase is Phase.BAKING
    return replace(
        snapshot,
        phase=decision.phase,
        step=decision.step,
        weight_pct=snapshot.weight_pct if decision.weight_pct is None else decision.weight_pct,
        step_began_at=now,
        applied_at=now if begins else snapshot.applied_at,
        step_requests=0 if begins else snapshot.step_requests,
        deadline_at=decision.deadline_at,
    )


def _judged(snapshot: Snapshot, state: JudgeState) -> Snapshot:
    word = assess(state, bake_done=snapshot.phase in BAKE_IS_OVER)
    return replace(snapshot, judged=Judged(word.verdict.value, word.sentence))


def _block(trial: PlanTrial, snapshot: Snapshot, second: int, random: Random) -> Block:
    """What both arms answered in one second."""
    traffic = trial.traffic
    mirror = mirror_at(snapshot.steps, snapshot.step)
    candidate_pct = mirror.weight_pct if mirror else snapshot.weight_pct
    stable_pct = 100 if mirror else 100 - snapshot.weight_pct
    slos = [slo_key(guardrail.slo_ms) for guardrail in trial.guardrails if guardrail.slo_ms is not None]

    def arm(pct: int, share: float) -> ArmCounts:
        requests, errors = _requests(traffic, pct / 100, share, random)
        return ArmCounts(requests, errors, 0, dict.fromkeys(slos, 0))

    return Block(
        arm(candidate_pct, traffic.error_share + trial.excess), arm(stable_pct, traffic.error_share), start=second
    )


def _requests(traffic: SimulatedTraffic, part: float, share: float, random: Random) -> tuple[int, int]:
    """Requests and errors of one arm in one second, in bunches of two neighbouring sizes, of which an average request
    meets the design effect.
    """
    small = math.floor(traffic.design_effect)
    in_large = traffic.design_effect - small
    requests = errors = 0
    for size, of_requests in ((small, 1 - in_large), (small + 1, in_large)):
        bunches = poisson(random, traffic.rate_per_s * part * of_requests / size) if of_requests else 0
        bad = binomial(random, bunches, share)
        requests, errors = requests + bunches * size, errors + bad * size
    return requests, errors


def poisson(random: Random, mean: float) -> int:
    """A Poisson number (Knuth), from `EXACT_MEAN_MAX` on rounded from the normal distribution of its mean and
    variance.
    """
    if mean > EXACT_MEAN_MAX:
        return max(0, round(random.gauss(mean, math.sqrt(mean))))
    least, product, count = math.exp(-mean), random.random(), 0
    while product > least:
        product *= random.random()
        count += 1
    return count


def binomial(random: Random, of: int, share: float) -> int:
    """A binomial number, by the gaps between hits; from `EXACT_MEAN_MAX` hits and misses on rounded from the normal
    distribution.
    """
    if share > 0.5:
        return of - binomial(random, of, 1 - share)
    if share <= 0 or not of:
        return 0
    if of * share * (1 - share) > EXACT_MEAN_MAX:
        return min(of, max(0, round(random.gauss(of * share, math.sqrt(of * share * (1 - share))))))
    per_gap, at, hits = math.log1p(-share), 0, 0
    while True:
        at += math.floor(math.log(1 - random.random()) / per_gap) + 1
        if at > of:
            return hits
        hits += 1
