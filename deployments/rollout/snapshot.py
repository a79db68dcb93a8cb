"""What the plan looks at: facts about one rollout, all read at one moment. Pure."""

from dataclasses import dataclass
from datetime import datetime

from deployments.lifecycle import Phase, ReleaseStatus
from deployments.rollout.steps import Step, is_targeted_at, mirror_at
from registry.lifecycle import ChangedOutside


@dataclass(frozen=True)
class ReplicasSnapshot:
    """Replicas of the candidate. `failed` says why one can never become ready; `waiting` what they are doing now."""

    wanted: int
    ready: int
    failed: str = ""
    waiting: str = ""

    @property
    def all_ready(self) -> bool:
        return self.wanted > 0 and self.ready >= self.wanted


@dataclass(frozen=True)
class Judged:
    """The judge's newest word: `verdict` is `healthy`, `harmful`, `inconclusive` or `no_data`; `waiting` says what it
    still needs. `for_a_person` is empty unless a guardrail that is not critical is harmful: then it is the sentence
    that says so, and the rollout waits for a person.
    """

    verdict: str
    sentence: str
    waiting: str = ""
    for_a_person: str = ""


@dataclass(frozen=True)
class Snapshot:
    """One rollout as it stands.

    `unacknowledged` is empty when every live gateway serves the newest weights, else the sentence that says who does
    not. `guarded` means that there are guardrails and a stable arm to compare with. `step_requests` are the candidate's
    since `applied_at`. `ejected` is empty unless a live gateway turned away from a replica of the candidate.
    `disagrees` is empty unless the mirrored answers agree less often than asked for, `unsettled` unless that may still
    be so; both are sentences. `closed` is empty unless the environment is closed and its policy holds rollouts that run
    then, or an alert holds it: it is the sentence that says so, and `held_at` when that was first seen. `alarmed` is
    empty unless an alert takes the rollout back: it is the sentence that says so. `split_off` is empty unless the
    traffic is not split as asked: then it is the sentence that says so, and nothing goes up. `joint` is empty unless
    others of its group are not ready to be promoted yet: it is the sentence that says so. `restores` means that an
    earlier version comes back. `changed_outside` is empty unless the version was deleted or changed in MLflow since it
    was approved; `when_changed_outside` is what the policy wants then.
    """

    phase: Phase
    step: int
    steps: tuple[Step, ...]
    weight_pct: int
    candidate: ReplicasSnapshot
    step_began_at: datetime
    version: int = 0
    restores: bool = False
    has_stable: bool = True
    guarded: bool = False
    judge_deadline_s: int = 900
    gateways_live: int = 1
    unacknowledged: str = ""
    applied_at: datetime | None = None
    deadline_at: datetime | None = None
    joint: str = ""
    paused_at: datetime | None = None
    paused_s: float = 0.0
    closed: str = ""
    alarmed: str = ""
    held_at: datetime | None = None
    step_requests: int = 0
    judged: Judged | None = None
    split_off: str = ""
    ejected: str = ""
    changed_outside: str = ""
    when_changed_outside: ChangedOutside = ChangedOutside.GO_BACK
    disagrees: str = ""
    unsettled: str = ""
    wish: str = ""
    wish_by: str = ""
    wish_reason: str = ""
    outcome: ReleaseStatus | None = None
    outcome_reason: str = ""

    @property
    def current(self) -> Step:
        return self.steps[self.step]

    @property
    def held(self) -> str:
        """Why the next change of the traffic has to wait, and the clock stands still; empty when neither is so."""
        return "" if self.phase in (Phase.PROMOTING, Phase.REVERTING, Phase.DONE) else self.closed

    @property
    def for_a_person(self) -> str:
        """What a person has to decide on before the next step; empty when there is nothing."""
        is_watched = self.phase in (Phase.BAKING, Phase.JUDGING)
        return self.judged.for_a_person if self.judged is not None and is_watched else ""

    @property
    def has_traffic(self) -> bool:
        """Whether requests of clients, or copies of them, reach the candidate."""
        is_fed = mirror_at(self.steps, self.step) is not None or is_targeted_at(self.steps, self.step)
        return self.weight_pct > 0 or is_fed
