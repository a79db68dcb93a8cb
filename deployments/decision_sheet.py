"""What a reviewer reads first: the evidence in one line, and what each step of the plan would see."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.timesince import timesince

from deployments.biography import Stay
from deployments.gate_lines import GateLine
from deployments.models import Release
from deployments.rollout.steps import Step, StepKind, steps_from_plan
from monitoring.analysis.guardrail_result import Unit
from monitoring.analysis.planning import duration
from monitoring.analysis.quantities import said
from monitoring.analysis.verdicts import Verdict
from monitoring.selectors import traffic_rate
from registry.version_comparison import Judgement, VersionComparison

NAMED_MAX = 4  # names in the line; of more it says how many
GATE_WORDS = {"fail": "fail", "error": "could not answer", "warn": "warn", "skipped": "were skipped"}


@dataclass(frozen=True)
class Headline:
    """The evidence in one line. `is_alarming`: something of it speaks against the release."""

    text: str
    is_alarming: bool


@dataclass(frozen=True)
class PlannedStep:
    """A step of the plan; `expected` says what it would see with the traffic of now, empty where nothing is known."""

    title: str
    expected: str


def headline(comparison: VersionComparison, stays: Sequence[Stay], gates: Sequence[GateLine]) -> Headline:
    """The line: metrics against those of the version that serves, where the files were taken back, the gates."""
    back = [stay for stay in stays if stay.is_taken_back]
    worse, missing = (comparison.metrics_that_are(kind) for kind in (Judgement.WORSE, Judgement.MISSING))
    said = _gates(gates)
    parts = [*_metrics(comparison), *([_taken_back(back[0])] if back else []), said]
    is_alarming = bool(back or worse or missing) or any(gate.outcome not in ("", "pass", "skipped") for gate in gates)
    text = "; ".join(part for part in parts if part)
    return Headline(f"{text[:1].upper()}{text[1:]}.", is_alarming)


def _metrics(comparison: VersionComparison) -> list[str]:
    if not any(row.before is not None for row in comparison.metrics):
        return ["nothing to compare its metrics with" if comparison.metrics else "no metrics are known"]
    words = {
        Judgement.BETTER: "better on",
        Judgement.WORSE: "worse on",
        Judgement.CHANGED: "changed, and which way is better is not known, on",
        Judgement.MISSING: "unknown on",
    }
    found = [(word, comparison.metrics_that_are(kind)) for kind, word in words.items()]
    return [f"{word} {_named(names)}" for word, names in found if names] or ["all metrics are the same"]


def _named(names: list[str]) -> str:
    shown = ", ".join(name.replace("_", " ") for name in names[:NAMED_MAX])
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    return f"{len(names)} metric{'s' if len(names) > 1 else ''}: {shown}{more}"


def _taken_back(stay: Stay) -> str:
    where = stay.release.endpoint.environment.name
    return f"taken back in {where} {timesince(stay.at)} ago: {_harm(stay) or stay.why.rstrip('.')}"


def _harm(stay: Stay) -> str:
    """What was counted against it, in short, when the judge took it back: "error share 66.7 %, n 12"."""
    rollout = getattr(stay.release, "rollout", None)
    if stay.taken_back is not None or rollout is None:
        return ""
    harmful = [row for row in rollout.assessment.get("guardrails", []) if row.get("verdict") == Verdict.HARMFUL]
    return ", ".join(f"{row['label'].lower()} {_measured(row)}, n {row['candidate_n']}" for row in harmful)


def _measured(row: dict[str, Any]) -> str:
    unit = row.get("unit", Unit.SHARE)
    return said(row.get("candidate_share" if unit == Unit.SHARE else "candidate_value"), unit)


def _gates(gates: Sequence[GateLine]) -> str:
    if not gates:
        return "the gates have not run yet"
    parts = []
    for outcome, word in GATE_WORDS.items():
        names = [_gate_name(gate) for gate in gates if gate.outcome == outcome]
        parts += [f"gates that {word}: {', '.join(names)}"] if names else []
    unfinished = [gate.gate.replace("_", " ") for gate in gates if not gate.outcome]
    parts += [f"gates that have not answered yet: {', '.join(unfinished)}"] if unfinished else []
    passed = sum(gate.outcome == "pass" for gate in gates)
    return "; ".join([*parts, f"{passed} of {len(gates)} gates pass"])


def _gate_name(gate: GateLine) -> str:
    return f"{gate.gate.replace('_', ' ')}{' (waived)' if gate.is_waived else ''}"


def planned_steps(release: Release) -> list[PlannedStep]:
    """The plan's steps, with how many requests each would see."""
    rate = traffic_rate(release.endpoint.environment.name, release.endpoint.name)
    rows: list[PlannedStep] = []
    share: int | None = 0  # None where requests are chosen
    for step in steps_from_plan(release.plan):
        if step.kind is StepKind.TARGET:
            share = None
        share = step.weight_pct if step.kind in (StepKind.WEIGHT, StepKind.MIRROR) else share
        rows.append(PlannedStep(step.title, _expected(step, share, rate)))
    return rows


def _expected(step: Step, share_pct: int | None, rate: float) -> str:
    if step.kind is not StepKind.BAKE:
        return ""
    if share_pct is None:
        return f"waits for {step.min_requests:,} chosen requests; how often they come is not known"
    if not rate:
        return "no requests came lately: it would see none"
    seen = rate * share_pct / 100 * step.duration_s
    text = f"about {seen:,.0f} requests"
    if step.min_requests > seen:
        wait = duration(step.min_requests / (rate * share_pct / 100)) if share_pct else "for ever"
        return f"{text}; the {step.min_requests:,} that it asks for take {wait}"
    return text
