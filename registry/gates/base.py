"""What a gate gets and gives."""

from dataclasses import dataclass, field
from typing import Any

from registry.lifecycle import GateOutcome
from registry.models import Environment, Policy, Version


@dataclass(frozen=True)
class GateInput:
    """What is to be released where, and under which policy. `slo` maps metric → SLO in ms; `taken_back` are sentences,
    newest first, of where and why its files were taken back.
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
    taken_back: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """The outcome of one gate with one sentence and its evidence."""

    outcome: GateOutcome
    sentence: str
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class GateOutcomeRow:
    """What a named gate found, and how long it took."""

    gate: str
    outcome: GateOutcome
    sentence: str
    evidence: dict[str, Any]
    duration_ms: int


class NotYet(Exception):
    """The gate waits for something that is under way; it neither passes nor fails."""


def passed(sentence: str, **evidence: Any) -> Found:
    return Found(GateOutcome.PASS, sentence, evidence)


def warned(sentence: str, **evidence: Any) -> Found:
    return Found(GateOutcome.WARN, sentence, evidence)


def failed(sentence: str, **evidence: Any) -> Found:
    return Found(GateOutcome.FAIL, sentence, evidence)
