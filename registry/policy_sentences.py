"""A policy in sentences, field by field: what people read of it, on its page and where two are compared.

Pure over the values of a policy. A field that has no sentence here is shown with its name.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlorch_site.accounts.roles import Role
from registry.change_windows import read_windows
from registry.gate_cards import gate_card
from registry.policy_fields import POLICY_FIELDS

NOBODY_APPROVES = "Nobody has to approve."
METRICS = {"error_rate": "Failed requests", "latency_over_slo": "Requests slower than {slo}"}
OPERATION_WORDS = {
    "rollback": "roll an endpoint back",
    "pause": "pause and resume a rollout",
    "promote": "promote early",
    "abort": "abort a release",
}
OUTSIDE = {
    "go_back": "When MLflow deletes or changes the version meanwhile, the rollout goes back.",
    "hold": "When MLflow deletes or changes the version meanwhile, the rollout holds for a person.",
    "go_on": "When MLflow deletes or changes the version meanwhile, the rollout goes on.",
}
CLOSED = {
    "go_on": "A rollout that runs when the environment closes goes on.",
    "hold": "A rollout that runs when the environment closes holds until it opens.",
}
ALERTING = {
    "go_on": "A rollout goes on while an alert fires on its endpoint.",
    "hold": "A rollout holds while an alert fires on its endpoint that did not when it began.",
    "roll_back": "A rollout goes back when an alert fires on its endpoint that did not when it began.",
}
AUTHOR_UNKNOWN = {
    "anyone": "A version of an unknown author needs no further approval.",
    "one_more": "A version of an unknown author needs one more approval, of what the first rule asks for.",
}
SANDBOXES = {
    "none": "Models may run without a sandbox.",
    "partly": "Models run in a sandbox that shuts off at least part of the machine.",
    "full": "Models run in a full sandbox only.",
}

type_Words = Callable[[Any], list[str]]


@dataclass(frozen=True)
class PolicySection:
    """Sentences under one heading."""

    heading: str
    sentences: list[str]


def role_words(name: str) -> str:
    """A role as people read it; of one that does not exist (any more) its name."""
    return Role(name).label if name in set(Role) else name


def rule_words(rule: Mapping[str, Any]) -> str:
    """One approval rule as people read it: `2 of Reviewer`."""
    who = f"the group {rule['group']}" if "group" in rule else role_words(str(rule.get("role", "?")))
    named = f" ({rule['name']})" if rule.get("name") else ""
    return f"{rule.get('count', 1)} of {who}{named}"


def guardrail_words(row: Mapping[str, Any]) -> str:
    """One guardrail as people read it."""
    what = METRICS.get(row["metric"], str(row["metric"])).format(slo=f"{row.get('slo_ms', 0):g} ms")
    return f"{what}: at most {points(row['margin'])} above those of the version that serves."


def points(share: float) -> str:
    """A share as percentage points."""
    number = f"{share * 100:g}"
    return f"{number} point" if number == "1" else f"{number} points"


def length(seconds: float) -> str:
    """A time as people read it."""
    for unit, size in (("day", 86_400), ("h", 3_600), ("min", 60)):
        if seconds and seconds % size == 0:
            number = int(seconds // size)
            return f"{number} {unit}{'s' if unit == 'day' and number != 1 else ''}"
    return f"{seconds:g} s"


def listed_words(words: Sequence[str]) -> str:
    """A list as a sentence has it: a, b and c."""
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


def _if(yes: str, no: str) -> type_Words:
    return lambda value: [yes if value else no]


def _text(words: str, *, when_zero: str = "") -> type_Words:
    """A sentence with `{}` for the value; `when_zero` stands for 0 and for nothing."""
    return lambda value: [words.format(value) if value or not when_zero else when_zero]


def _rules(rules: Any) -> list[str]:
    return [f"{rule_words(rule)} {'has' if rule['count'] == 1 else 'have'} to approve." for rule in rules] or [
        NOBODY_APPROVES
    ]


def _gates(names: Any) -> list[str]:
    return [f"The gate “{gate_card(name).label}” runs." for name in names] or ["No gate runs."]


def _parameters(said: Any) -> list[str]:
    found = []
    for gate, values in said.items():
        card = gate_card(gate)
        labels = {setting.name: setting.label for setting in card.settings}
        found += [f"“{card.label}”: {labels.get(name, name)} is {plain(value)}." for name, value in values.items()]
    return found or ["Every gate goes by its usual parameters."]


def _guardrails(rows: Any) -> list[str]:
    return [f"Filled in: {guardrail_words(row)}" for row in rows] or ["No guardrail is filled in."]


def _strategies(kinds: Any) -> list[str]:
    if not kinds:
        return ["Every strategy is allowed."]
    return [f"Allowed strategies: {listed_words([kind.replace('_', ' ') for kind in kinds])}."]


def _windows(rows: Any) -> list[str]:
    return [f"{window.sentence}." for window in read_windows(rows)] or ["Rollouts may begin at any time."]


def _metadata(names: Any) -> list[str]:
    wanted = listed_words([name.replace("_", " ") for name in names])
    return [f"A version has to say: {wanted}." if names else "No metadata is required."]


def _margins(margins: Any) -> list[str]:
    return [
        f"{METRICS.get(metric, metric).format(slo='their objective')}: a guardrail is required, with a margin of "
        f"at most {points(margin)}."
        for metric, margin in margins.items()
    ] or ["Margins of guardrails have no bound."]


def _operators(operators: Any) -> list[str]:
    return [
        f"Only {listed_words([role_words(role) for role in roles])} may {OPERATION_WORDS.get(act, act)}."
        for act, roles in operators.items()
    ] or ["Whoever has the role for it may roll back, pause, promote and abort."]


WORDS: dict[str, type_Words] = {
    "protected": _if(
        "Protected: what one administrator writes, another one publishes.", "Its author may publish a revision."
    ),
    "approval_rules": _rules,
    "approval_days": _text("An approval is waited for, and holds, {} days."),
    "bulk_decisions": _if("Several releases may be decided at once.", "Each release is decided by itself."),
    "emergency_allowed": _if(
        "In an emergency a release may begin without its approvals.", "There is no way around approvals."
    ),
    "when_author_unknown": lambda value: [AUTHOR_UNKNOWN.get(value, str(value))],
    "reauthenticate_minutes": _text(
        "A decision needs a sign-in confirmed within {} min.", when_zero="A decision needs no fresh sign-in."
    ),
    "remind_hours": _text("Who has to decide is reminded every {} h."),
    "escalate_hours": _text("What waits for {} h is escalated.", when_zero="Nothing is escalated."),
    "escalate_to": lambda role: [
        f"Escalations go to {role_words(role)}." if role else "Escalations go to nobody else."
    ],
    "gates": _gates,
    "gate_parameters": _parameters,
    "refuse_taken_back": _if(
        "A version that was taken back somewhere is refused.",
        "A version that was taken back somewhere is warned about.",
    ),
    "required_metadata": _metadata,
    "waiver_role": lambda role: [f"{role_words(role)} may waive a gate." if role else "Nobody may waive a gate."],
    "waiver_days_max": _text("A waiver ends after {} days at most."),
    "allowed_strategies": _strategies,
    "max_first_weight_pct": lambda pct: [
        f"The first step gets at most {pct} % of the traffic."
        if pct < 100
        else "The first step may get any share of the traffic."
    ],
    "bake_s_min": lambda seconds: [
        f"Each watched step lasts at least {length(seconds)}." if seconds else "A step may be as short as it likes."
    ],
    "requests_min": _text(
        "Each watched step asks for at least {} requests.", when_zero="A step need not ask for any number of requests."
    ),
    "hold_required": _if("A person promotes; no plan does it by itself.", "A plan may promote by itself."),
    "judge_deadline_s": lambda seconds: [f"What cannot be judged within {length(seconds)} goes back."],
    "guardrails_required": _if("A release needs at least one guardrail.", "A release may go without guardrails."),
    "default_guardrails": _guardrails,
    "margins_max": _margins,
    "windows": _windows,
    "when_closed": lambda value: [CLOSED.get(value, str(value))],
    "when_alerting": lambda value: [ALERTING.get(value, str(value))],
    "when_changed_outside": lambda value: [OUTSIDE.get(value, str(value))],
    "operators": _operators,
    "sandbox_level_min": lambda value: [SANDBOXES.get(value, str(value))],
    "replicas_max": lambda most: ["Replicas have no limit." if most is None else f"At most {most} replicas at a time."],
    "artifacts_kept_days": _text(
        "Files that served stay restorable for at least {} days after they stopped.",
        when_zero="Files that served stay as long as the installation keeps what nothing needs.",
    ),
    "endpoints_max": lambda most: ["Endpoints have no limit." if most is None else f"At most {most} endpoints."],
    "cost_per_day_max": lambda most: [
        "Cost has no limit." if most is None else f"All endpoints together cost at most {most:g} a day."
    ],
}
SECTIONS: dict[str, tuple[str, ...]] = {
    "Who approves": (
        "approval_rules",
        "when_author_unknown",
        "approval_days",
        "reauthenticate_minutes",
        "remind_hours",
        "escalate_hours",
        "escalate_to",
        "bulk_decisions",
        "emergency_allowed",
    ),
    "Gates": ("gates", "gate_parameters", "refuse_taken_back", "required_metadata", "waiver_role", "waiver_days_max"),
    "Plans": (
        "allowed_strategies",
        "max_first_weight_pct",
        "bake_s_min",
        "requests_min",
        "hold_required",
        "judge_deadline_s",
    ),
    "Guardrails": ("guardrails_required", "default_guardrails", "margins_max"),
    "When rollouts may begin": ("windows", "when_closed", "when_changed_outside", "when_alerting"),
    "Who may act on a rollout": ("operators",),
    "Limits": ("sandbox_level_min", "replicas_max", "endpoints_max", "cost_per_day_max"),
    "What is kept": ("artifacts_kept_days",),
    "Who publishes": ("protected",),
}


LABELS = {
    "approval_rules": "Who approves",
    "when_author_unknown": "Versions of an unknown author",
    "approval_days": "How long approvals hold",
    "reauthenticate_minutes": "Fresh sign-in",
    "remind_hours": "Reminders",
    "escalate_hours": "When it is escalated",
    "escalate_to": "To whom it is escalated",
    "bulk_decisions": "Deciding several at once",
    "emergency_allowed": "Emergencies",
    "gate_parameters": "Settings of gates",
    "refuse_taken_back": "Versions taken back",
    "waiver_role": "Who waives gates",
    "waiver_days_max": "How long waivers last",
    "allowed_strategies": "Strategies",
    "max_first_weight_pct": "First step",
    "bake_s_min": "Length of steps",
    "requests_min": "Requests of steps",
    "hold_required": "Who promotes",
    "judge_deadline_s": "Deadline of the judge",
    "guardrails_required": "Guardrails",
    "default_guardrails": "Guardrails filled in",
    "margins_max": "Widest margins",
    "when_closed": "Rollouts when it closes",
    "when_alerting": "Rollouts while an alert fires",
    "when_changed_outside": "Versions changed in MLflow",
    "operators": "Who acts on a rollout",
    "sandbox_level_min": "Sandboxes",
    "replicas_max": "Replicas",
    "endpoints_max": "Endpoints",
    "cost_per_day_max": "Cost",
    "artifacts_kept_days": "How long files are kept",
    "protected": "Who publishes",
}


def field_label(field: str) -> str:
    """A field as people read its name."""
    return LABELS.get(field) or field.replace("_", " ").capitalize()


def field_words(field: str, value: Any) -> list[str]:
    """The value of one field as sentences."""
    return WORDS[field](value) if field in WORDS else [f"{field.replace('_', ' ').capitalize()}: {plain(value)}."]


def policy_sections(values: Mapping[str, Any]) -> list[PolicySection]:
    """All that a policy says. A field without a section of its own stands under the last heading."""
    named = {field for fields in SECTIONS.values() for field in fields}
    rest = tuple(field for field in POLICY_FIELDS if field not in named and field != "note")
    sections = {**SECTIONS, **({"Besides": rest} if rest else {})}
    return [
        PolicySection(heading, [sentence for field in fields for sentence in field_words(field, values[field])])
        for heading, fields in sections.items()
    ]


def plain(value: Any) -> str:
    """A value without a sentence of its own."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(plain(item) for item in value) or "nothing"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {plain(item)}" for key, item in value.items()) or "nothing"
    return str(value) if value not in (None, "") else "nothing"
