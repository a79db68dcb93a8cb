"""What a gate is, gets and gives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import ModuleType
from typing import Any

from mlorch_site.lib.hashing import content_hash
from registry.cards.selectors import card_said
from registry.gates.parameters import GateParameter
from registry.lifecycle import GateOutcome
from registry.models import Environment, Policy, Version

DEADLINE_S = 60
LEASE_SLACK_S = 10
USUAL_LOOKS = ("digest", "evidence", "signature", "serving version")


@dataclass(frozen=True)
class Proof:
    """How the same files did in one environment. `why_not` says what speaks against them, empty when nothing does."""

    environment: str
    endpoint: str
    minutes: float
    requests: int
    why_not: str = ""


@dataclass(frozen=True)
class Cost:
    """What serving costs a day: of this release, and of what else the environment serves. `unpriced` names what has no
    cost written down.
    """

    of_this: float
    of_others: float
    unpriced: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outlook:
    """What the frozen plan can conclude with the traffic of now. `reason` says why there is nothing to tell (then the
    rest says nothing).

    `steps` are sentences, one a step; `too_fine` is about the step that sees too few requests, `offer` about one that
    would see enough.
    """

    can_conclude: bool
    sentence: str
    reason: str = ""
    steps: tuple[str, ...] = ()
    too_fine: str = ""
    offer: str = ""


@dataclass(frozen=True)
class Surroundings:
    """What those know who ask, and the registry does not. None: nobody has looked.

    `taken_back` are sentences, newest first, of where and why the files were taken back; `objectives` names what the
    endpoint is watched by.
    """

    taken_back: tuple[str, ...] = ()
    proofs: tuple[Proof, ...] | None = None
    cost: Cost | None = None
    outlook: Outlook | None = None
    objectives: tuple[str, ...] | None = None


def say_nothing(_sentence: str) -> None:
    """The progress of a gate that nobody follows."""


@dataclass(frozen=True)
class GateInput:
    """What is to be released where, and under which policy.

    `slo` maps metric → SLO in ms. `from_version` is the version that serves, `from_digest` the files of it that do:
    what MLflow has under the version may be others by now. `parameters` are the gate's own, complete. `progress` takes
    a sentence for people while the gate works; it renews the gate's lease, and raises Stopped when nobody waits for the
    answer any more.
    `asked_at` is when the gate first began, `deadline_at` when it has to have ended.
    """

    version: Version
    environment: Environment
    policy: Policy
    guardrails: list[dict[str, Any]]
    slo: dict[str, float]
    subject_kind: str
    subject_id: str
    content_hash: str
    from_version: Version | None = None
    from_digest: str = ""
    around: Surroundings = Surroundings()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    plan: Mapping[str, Any] = field(default_factory=dict)
    progress: Callable[[str], None] = say_nothing
    asked_at: datetime | None = None
    deadline_at: datetime | None = None


@dataclass(frozen=True)
class Found:
    """The outcome of one gate with one sentence and its evidence.

    `known_by` is what makes it this very finding, where the evidence also says what may change without making it
    another one, such as which edition of a source was read.
    """

    outcome: GateOutcome
    sentence: str
    evidence: dict[str, Any] = field(default_factory=dict)
    known_by: Any = None

    def fingerprint(self, gate: str) -> str:
        """What this very finding is known by: a waiver of it covers no other."""
        what = [self.sentence, self.evidence] if self.known_by is None else [self.known_by]
        return content_hash([gate, str(self.outcome), *what])


@dataclass(frozen=True)
class GateOutcomeRow:
    """What a named gate found, and how long it took."""

    gate: str
    outcome: GateOutcome
    sentence: str
    evidence: dict[str, Any]
    duration_ms: int


class NotYet(Exception):
    """The gate waits for something that is under way, and says what; it neither passes nor fails."""


class Stopped(Exception):
    """Nobody waits for the gate's answer any more, or its time is over: end what it started and let go."""


@dataclass(frozen=True)
class Gate:
    """One gate: what people read of it, what a policy may set, and the check.

    `looks_at` names the inputs of `INPUTS` whose change makes an answer stale; `looked_at` adds what only the gate
    knows. `deadline_s` is how long it may take unless the policy says otherwise; after `lease_s` without progress
    another process takes it up. Not every gate may be waived.
    """

    name: str
    label: str
    help: str
    check: Callable[[GateInput], Found]
    parameters: Mapping[str, GateParameter]
    looks_at: tuple[str, ...]
    looked_at: Callable[[GateInput], Mapping[str, Any]] | None
    is_waivable: bool
    deadline_s: int
    lease_s: int

    @property
    def takes_long(self) -> bool:
        """Whether it may keep a process busy; the others answer at once."""
        return self.deadline_s > DEADLINE_S

    def settings(self, policy: Policy) -> dict[str, Any]:
        """The gate's parameters under a policy, complete."""
        defaults = {name: parameter.default for name, parameter in self.parameters.items()}
        said = (policy.gate_parameters or {}).get(self.name, {})
        return {**defaults, **{name: value for name, value in said.items() if name in defaults}}

    def seconds(self, policy: Policy) -> float:
        """How long the gate may take under a policy."""
        return float(self.settings(policy).get("deadline_s", self.deadline_s))

    def fingerprints(self, given: GateInput) -> dict[str, str]:
        """What the gate looks at, as it is now: name → hash. An answer is stale when one of them has changed."""
        seen = {name: INPUTS[name](given) for name in self.looks_at}
        settings = self.settings(given.policy)
        seen |= self.looked_at(replace(given, parameters=settings)) if self.looked_at else {}
        seen["parameters"] = settings
        return {name: content_hash(value) for name, value in seen.items()}


def gate_of(module: ModuleType) -> Gate:
    """The gate that a module of this package describes. Raises AttributeError when it says too little of itself."""
    deadline_s = getattr(module, "DEADLINE_S", DEADLINE_S)
    return Gate(
        name=module.__name__.rsplit(".", 1)[-1],
        label=module.LABEL,
        help=module.HELP,
        check=module.check,
        parameters=getattr(module, "PARAMETERS", {}),
        looks_at=getattr(module, "LOOKS_AT", USUAL_LOOKS),
        looked_at=getattr(module, "looked_at", None),
        is_waivable=getattr(module, "WAIVABLE", True),
        deadline_s=deadline_s,
        lease_s=getattr(module, "LEASE_S", deadline_s + LEASE_SLACK_S),
    )


def _serving(given: GateInput) -> list[Any]:
    before = given.from_version
    if before is None:
        return []
    return [before.digest, given.from_digest, before.signature, before.evidence.get("metrics", {})]


def _metadata(given: GateInput) -> list[Any]:
    version, model = given.version, given.version.model
    said = [version.tags, version.description, model.tags, model.description, model.owner, model.risk_tier]
    return [*said, card_said(version)]


INPUTS: dict[str, Callable[[GateInput], Any]] = {
    "digest": lambda given: [given.version.digest, given.version.digest_status],
    "status": lambda given: given.version.status,
    "evidence": lambda given: [given.version.run_id, given.version.evidence],
    "signature": lambda given: given.version.signature,
    "metadata": _metadata,
    "serving version": _serving,
    "guardrails": lambda given: given.guardrails,
    "plan": lambda given: [dict(given.plan), given.guardrails],
    "taken back": lambda given: list(given.around.taken_back),
}


def passed(sentence: str, **evidence: Any) -> Found:
    return Found(GateOutcome.PASS, sentence, evidence)


def warned(sentence: str, **evidence: Any) -> Found:
    return Found(GateOutcome.WARN, sentence, evidence)


def failed(sentence: str, **evidence: Any) -> Found:
    return Found(GateOutcome.FAIL, sentence, evidence)


def erred(sentence: str, **evidence: Any) -> Found:
    """The gate could not look: that refuses as a failure does."""
    return Found(GateOutcome.ERROR, sentence, evidence)


def skipped(sentence: str, **evidence: Any) -> Found:
    """The gate does not apply, and says why."""
    return Found(GateOutcome.SKIPPED, sentence, evidence)


def worst(found: Sequence[Found]) -> Found:
    """The worst of several findings, the first of equals. Raises ValueError for none."""
    order = [GateOutcome.FAIL, GateOutcome.ERROR, GateOutcome.WARN, GateOutcome.PASS, GateOutcome.SKIPPED]
    return min(found, key=lambda one: order.index(one.outcome))
