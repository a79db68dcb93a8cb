"""The one step language every strategy compiles to. Pure."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class StepKind(StrEnum):
    START = "start"  # replicas of the candidate start and warm up
    TARGET = "target"  # requests that the plan chose go to the candidate, and no others
    WEIGHT = "weight"  # the candidate gets `weight_pct` of the traffic
    MIRROR = (
        "mirror"  # the candidate gets a copy of `weight_pct` of the traffic; its answers are compared and thrown away
    )
    BAKE = "bake"  # wait `duration_s` and for `min_requests` of the candidate
    JUDGE = "judge"  # every guardrail must be healthy
    HOLD = "hold"  # a person must promote
    PROMOTE = "promote"  # all traffic; the candidate becomes the stable arm


@dataclass(frozen=True)
class Step:
    """One step. Fields that a kind does not use are zero. `agreement_pct` of the compared answers must agree while
    mirroring; `headers` and `units` are how many choose requests. `baseline_pct` of the traffic goes to freshly started
    replicas of the stable version.
    """

    kind: StepKind
    weight_pct: int = 0
    baseline_pct: int = 0
    agreement_pct: int = 0
    duration_s: int = 0
    min_requests: int = 0
    headers: int = 0
    units: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The step as stored in a plan, without the fields its kind does not use."""
        values = asdict(self)
        stored = {"kind": self.kind.value} | {name: values[name] for name in USED_FIELDS[self.kind]}
        return stored | ({"baseline_pct": self.baseline_pct} if self.baseline_pct else {})

    @property
    def title(self) -> str:
        """The step in a few words, as people read it."""
        return {
            StepKind.START: "Start replicas",
            StepKind.TARGET: f"Chosen requests only{self._chosen}",
            StepKind.WEIGHT: f"{self.weight_pct} % of traffic{self._baseline}",
            StepKind.MIRROR: f"Mirror {self.weight_pct} % of traffic{self._agreement}",
            StepKind.BAKE: f"Watch for {self.duration_s} s",
            StepKind.JUDGE: "Judge",
            StepKind.HOLD: "Hold for a person",
            StepKind.PROMOTE: "Promote",
        }[self.kind]

    @property
    def _chosen(self) -> str:
        counted = (("header", self.headers), ("unit", self.units))
        named = [f"{count:,} {noun}{'' if count == 1 else 's'}" for noun, count in counted if count]
        return f": {', '.join(named)}" if named else ""

    @property
    def _baseline(self) -> str:
        return f", {self.baseline_pct} % to a fresh baseline" if self.baseline_pct else ""

    @property
    def _agreement(self) -> str:
        return f", {self.agreement_pct} % must agree" if self.agreement_pct else ""


USED_FIELDS: dict[StepKind, tuple[str, ...]] = {
    StepKind.START: (),
    StepKind.TARGET: ("headers", "units"),
    StepKind.WEIGHT: ("weight_pct",),
    StepKind.MIRROR: ("weight_pct", "agreement_pct"),
    StepKind.BAKE: ("duration_s", "min_requests"),
    StepKind.JUDGE: (),
    StepKind.HOLD: (),
    StepKind.PROMOTE: (),
}


def step_from_dict(data: dict[str, Any]) -> Step:
    """A stored step; the inverse of `Step.to_dict`."""
    kind = StepKind(data["kind"])
    values = {name: int(data[name]) for name in USED_FIELDS[kind]}
    return Step(kind, baseline_pct=int(data.get("baseline_pct", 0)), **values)


def steps_from_plan(plan: dict[str, Any]) -> tuple[Step, ...]:
    """The steps of a stored plan."""
    return tuple(step_from_dict(row) for row in plan["steps"])


def watch_s_of(plan: dict[str, Any]) -> int:
    """The seconds for which a stored plan watches what was promoted; 0 for none."""
    return int(plan.get("watch_s", 0))


def has_baseline(steps: tuple[Step, ...]) -> bool:
    """Whether the candidate is compared with replicas of the stable version that start when its own do."""
    return any(step.baseline_pct for step in steps)


def baseline_pct_at(steps: tuple[Step, ...], index: int) -> int:
    """The share of the traffic that the fresh baseline has while step `index` is on."""
    for step in reversed(steps[: index + 1]):
        if step.kind in (StepKind.WEIGHT, StepKind.MIRROR, StepKind.PROMOTE):
            return step.baseline_pct
    return 0


def mirror_at(steps: tuple[Step, ...], index: int) -> Step | None:
    """The mirror step that is in force while step `index` is on, None when the candidate has traffic of its own, or
    none.
    """
    step = _source_at(steps, index)
    return step if step is not None and step.kind is StepKind.MIRROR else None


def is_targeted_at(steps: tuple[Step, ...], index: int) -> bool:
    """Whether the candidate has none but chosen requests while step `index` is on."""
    step = _source_at(steps, index)
    return step is not None and step.kind is StepKind.TARGET


def _source_at(steps: tuple[Step, ...], index: int) -> Step | None:
    """The step that says which requests the candidate gets while step `index` is on."""
    sources = (StepKind.TARGET, StepKind.MIRROR, StepKind.WEIGHT, StepKind.PROMOTE)
    return next((step for step in reversed(steps[: index + 1]) if step.kind in sources), None)
