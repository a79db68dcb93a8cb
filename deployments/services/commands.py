"""What requesters say, and what a preview answers."""

from dataclasses import dataclass, field
from typing import Any

from deployments.plan_offers import Offer
from registry.approvals.electorate import RuleOutlook


@dataclass(frozen=True)
class ReleaseCommand:
    """A wish to make `version` of `model` the one that `endpoint` of `environment` serves.

    `strategy` is `{"kind": …}` as `deployments.rollout.strategies` reads it; `guardrails` are `{"metric": "error_rate",
    "margin": share}` and `{"metric": "latency_over_slo", "slo_ms": ms, "margin": share}`. None for guardrails means:
    those of the policy. `supersedes` is the id of the endpoint's open release that this one takes the place of; empty
    for none. `template` is the id of the plan template that it begins with, empty for none: with an empty strategy the
    plan is the template's. `group` is the id of the group of releases that it belongs to, empty for none.
    """

    model: str
    version: int
    environment: str
    endpoint: str
    strategy: dict[str, Any]
    reason: str = ""
    guardrails: list[dict[str, Any]] | None = None
    ticket: str = ""
    supersedes: str = ""
    template: str = ""
    group: str = ""


@dataclass(frozen=True)
class PreviewStep:
    """One step as a table row. `starts_after_s` is the earliest moment, counted from the start of the rollout."""

    kind: str
    title: str
    detail: str
    weight_pct: int | None
    starts_after_s: int


@dataclass(frozen=True)
class Preview:
    """What a release would do and need, before it is requested.

    `problems` maps field → sentence: with any of them the request would be refused. `warnings` would not refuse it.
    `approvers` are sentences ("1 reviewer"), empty when nobody must approve; `rules` says of each who could, and who of
    them is absent. `rollback_target` is a sentence. `offers` are strategies that would see enough where this one does
    not.
    """

    steps: list[PreviewStep] = field(default_factory=list)
    shortest_s: int = 0
    approvers: list[str] = field(default_factory=list)
    rules: list[RuleOutlook] = field(default_factory=list)
    gates: list[str] = field(default_factory=list)
    guardrails: list[dict[str, Any]] = field(default_factory=list)
    forecast: list[str] = field(default_factory=list)
    offers: list[Offer] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    rollback_target: str = ""
    plan_hash: str = ""
