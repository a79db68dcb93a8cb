"""What a text of a policy would have done to the newest releases of its environment (reads the database).

It goes by what was frozen then: gate results, plans, decisions. What cannot be told from that is said, not guessed.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from registry.approvals.rules import evaluate
from registry.change_windows import ChangeWindow, closure_at, read_windows
from registry.counting_windows import FREEZE, freezes_of
from registry.gate_cards import gate_card
from registry.lifecycle import FactKind, GateOutcome
from registry.models import Fact, Policy
from registry.past_requests import PastRequest, past_requests
from registry.policy_lines import PolicyLine, covers, ruling_of, specificity
from registry.policy_sentences import length, points
from registry.selectors import policies_in_force

LOOKED_AT_MAX = 200
REFUSING = {GateOutcome.FAIL.value, GateOutcome.ERROR.value}
TAKEN_BACK, METADATA = "not_taken_back", "metadata_complete"

type_Values = Mapping[str, Any]


@dataclass(frozen=True)
class TriedRequest:
    """A release of before, with the rules that speak about it, a sentence each."""

    request: PastRequest
    reasons: list[str]


@dataclass
class DryRun:
    """Out of the newest releases, those that the text would rule (`ruled` of them): which it would have blocked, which
    would have waited or asked for more approvals, and of which it cannot be told. `reached` are those that another line
    rules and its freezes would have delayed all the same.
    """

    ruled: int = 0
    blocked: list[TriedRequest] = field(default_factory=list)
    delayed: list[TriedRequest] = field(default_factory=list)
    untold: list[TriedRequest] = field(default_factory=list)
    reached: list[TriedRequest] = field(default_factory=list)

    @property
    def sentence(self) -> str:
        if not self.ruled:
            return f"No release of before would have come under it, so there is nothing to try it on.{self._reach}"
        more = [f"delayed {len(self.delayed)}" if self.delayed else ""]
        more += [f"{len(self.untold)} cannot be told" if self.untold else ""]
        told = "; ".join(part for part in more if part)
        return f"It would have blocked {len(self.blocked)} of {self.ruled}{'; ' + told if told else ''}.{self._reach}"

    @property
    def _reach(self) -> str:
        return f" Its freezes would have delayed {len(self.reached)} under other lines." if self.reached else ""


def dry_run(line: PolicyLine, values: type_Values) -> DryRun:
    """Try a text on the newest releases of its environment."""
    requests = past_requests(line.environment, LOOKED_AT_MAX)
    others = [policy for policy in policies_in_force(line.environment) if not line.is_line_of(policy)]
    candidate = Policy(environment=line.environment, model=line.model, tier=line.tier)
    tiers, found = _tiers({request.model_id for request in requests}), DryRun()
    for request in requests:
        tier = _tier_at(tiers.get(request.model_id, []), request.at)
        if tier is None and _goes_by_tier([candidate, *others], request.model_id):
            found.ruled += 1
            found.untold.append(TriedRequest(request, ["Which tier its model had then is not recorded."]))
        elif ruling_of([candidate, *others], request.model_id, tier or "") is candidate:
            found.ruled += 1
            _judge(found, request, values, _broader_freezes(candidate, others, request, tier or ""))
        elif covers(candidate, request.model_id, tier or ""):
            own = [window for window in read_windows(values["windows"]) if window.kind == FREEZE]
            if reasons := list(_closed_by(own, request)):
                found.reached.append(TriedRequest(request, reasons))
    return found


def _broader_freezes(candidate: Policy, others: list[Policy], request: PastRequest, tier: str) -> list[ChangeWindow]:
    """The freezes in force that would have counted besides the windows of the text."""
    covering = [policy for policy in others if covers(policy, request.model_id, tier)]
    return freezes_of(policy for policy in covering if specificity(policy) < specificity(candidate))


def _goes_by_tier(lines: list[Policy], model_id: int) -> bool:
    return any(policy.tier and covers(policy, model_id, policy.tier) for policy in lines)


def _tiers(models: set[int]) -> dict[int, list[tuple[datetime, str]]]:
    """Model → the tiers that it had, each with the moment from which on."""
    rows = Fact.objects.filter(model__in=models, version=None, kind=FactKind.RISK_TIER).order_by("at", "id")
    known: dict[int, list[tuple[datetime, str]]] = {}
    for model, at, value in rows.values_list("model_id", "at", "value"):
        known.setdefault(model, []).append((at, value))
    return known


def _tier_at(known: list[tuple[datetime, str]], at: datetime) -> str | None:
    number = bisect_right(known, at, key=lambda row: row[0])
    return known[number - 1][1] if number else None


def _judge(found: DryRun, request: PastRequest, values: type_Values, freezes: list[ChangeWindow]) -> None:
    """Put a release where it belongs: a rule that blocks counts before what cannot be told, and that before delays."""
    blocks = [*_gates_against(request, values), *_plan_against(request, values)]
    windows = [*read_windows(values["windows"]), *freezes]
    untold, delays = list(_untold(request, values)), [*_delays(request, values), *_closed_by(windows, request)]
    for rows, reasons in ((found.blocked, blocks), (found.untold, untold), (found.delayed, delays)):
        if reasons:
            rows.append(TriedRequest(request, reasons))
            return


def _gates_against(request: PastRequest, values: type_Values) -> Iterator[str]:
    for gate in values["gates"]:
        outcome = request.outcomes.get(gate)
        if gate == TAKEN_BACK and outcome in (GateOutcome.WARN, GateOutcome.FAIL):
            if values["refuse_taken_back"]:
                yield "Its version was taken back before, which is refused."
        elif outcome in REFUSING and not _differs(gate, request, values):
            yield f"The gate “{gate_card(gate).label}” said {outcome}."


def _differs(gate: str, request: PastRequest, values: type_Values) -> bool:
    """Whether a gate would look at something else than it did then."""
    then, now = request.policy.gate_parameters.get(gate, {}), values["gate_parameters"].get(gate, {})
    return bool(then != now) or (gate == METADATA and request.policy.required_metadata != values["required_metadata"])


def _untold(request: PastRequest, values: type_Values) -> Iterator[str]:
    for gate in values["gates"]:
        label = gate_card(gate).label
        if gate not in request.outcomes:
            yield f"The gate “{label}” was not run then."
        elif _differs(gate, request, values):
            yield f"The gate “{label}” ran by other parameters then."


def _plan_against(request: PastRequest, values: type_Values) -> Iterator[str]:
    if values["guardrails_required"] and not request.guardrails:
        yield "It had no guardrail."
    if request.is_first:
        return  # nothing is compared, so nothing of the plan is asked for
    if values["allowed_strategies"] and request.strategy not in values["allowed_strategies"]:
        yield f"Its strategy was {request.strategy.replace('_', ' ')}."
    if request.first_weight_pct > values["max_first_weight_pct"]:
        yield f"Its first step got {request.first_weight_pct} % of the traffic."
    shortest = min((seconds for seconds, _ in request.bakes), default=0)
    if request.bakes and shortest < values["bake_s_min"]:
        yield f"A step of it lasted {length(shortest)} only."
    fewest = min((number for _, number in request.bakes), default=0)
    if request.bakes and fewest < values["requests_min"]:
        yield f"A step of it asked for {fewest} requests only."
    if values["hold_required"] and not request.has_hold:
        yield "Its plan promoted by itself."
    yield from _margins_against(request, values)


def _margins_against(request: PastRequest, values: type_Values) -> Iterator[str]:
    for metric, most in values["margins_max"].items():
        margins = [row["margin"] for row in request.guardrails if row["metric"] == metric and "margin" in row]
        if not margins:
            yield f"It had no guardrail on {metric.replace('_', ' ')}."
        elif max(margins) > most:
            yield f"Its guardrail on {metric.replace('_', ' ')} had a margin of {points(max(margins))}."


def _delays(request: PastRequest, values: type_Values) -> Iterator[str]:
    if request.was_approved:
        progress = evaluate(values["approval_rules"], request.approvals)
        if not progress.met:
            yield f"Its approval was not enough. {progress.missing}"


def _closed_by(windows: list[ChangeWindow], request: PastRequest) -> Iterator[str]:
    closure = closure_at(windows, request.began_at) if request.began_at else None
    if closure is not None:
        yield f"It began while it would have been closed. {closure.reason}."
