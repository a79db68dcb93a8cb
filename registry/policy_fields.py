"""What a policy's fields may hold: names, shapes and bounds. Pure."""

from typing import Any

from dataplane.wire.sandbox import LEVELS
from mlorch_site.accounts.roles import Action, Role, roles_that_allow
from mlorch_site.lib.errors import Invalid
from registry.approvals.rules import key_of
from registry.change_windows import windows_problem
from registry.gates import GATES
from registry.gates.parameters import parameters_problem
from registry.lifecycle import AuthorUnknown, ChangedOutside, WhenAlerting, WhenClosed

RULES_MAX = 10
COUNT_MAX = 10
RULE_KEYS = ({"role", "count"}, {"group", "count"})
RULE_NAME_MAX_CHARS = 60
GROUP_NAME_MAX_CHARS = 150
STRATEGIES = ("canary", "linear", "shadow", "blue_green", "immediate")
GUARDRAIL_KEYS = {"error_rate": {"metric", "margin"}, "latency_over_slo": {"metric", "margin", "slo_ms"}}
GUARDRAIL_METRICS = tuple(GUARDRAIL_KEYS)
OPERATIONS = {
    "rollback": Action.ENDPOINT_ROLLBACK,
    "pause": Action.RELEASE_PAUSE,
    "promote": Action.RELEASE_PROMOTE,
    "abort": Action.RELEASE_ABORT,
}
COST_MAX = 1_000_000_000
METADATA_MAX, METADATA_NAME_MAX_CHARS = 30, 60
# Field → least, most, and what it is where it is not given.
NUMBERS: dict[str, tuple[int, int, int]] = {
    "max_first_weight_pct": (1, 100, 100),
    "approval_days": (1, 365, 30),
    "judge_deadline_s": (10, 604_800, 900),
    "waiver_days_max": (1, 365, 30),
    "reauthenticate_minutes": (0, 1_440, 0),
    "remind_hours": (1, 720, 24),
    "escalate_hours": (0, 720, 0),
    "bake_s_min": (0, 604_800, 0),
    "requests_min": (0, 10_000_000, 0),
    "artifacts_kept_days": (0, 7_300, 0),
}
# Limits that None takes away.
QUOTAS: dict[str, tuple[int, int]] = {
    "replicas_max": (0, 10_000),
    "endpoints_max": (0, 10_000),
    "cost_per_day_max": (0, COST_MAX),
}
SWITCHES = (
    "protected",
    "guardrails_required",
    "refuse_taken_back",
    "bulk_decisions",
    "emergency_allowed",
    "hold_required",
)
POLICY_FIELDS = (
    "protected",
    "approval_rules",
    "approval_days",
    "gates",
    "guardrails_required",
    "default_guardrails",
    "allowed_strategies",
    "max_first_weight_pct",
    "judge_deadline_s",
    "when_changed_outside",
    "refuse_taken_back",
    "sandbox_level_min",
    "windows",
    "when_closed",
    "when_alerting",
    "gate_parameters",
    "required_metadata",
    "waiver_role",
    "waiver_days_max",
    "reauthenticate_minutes",
    "remind_hours",
    "escalate_hours",
    "escalate_to",
    "bulk_decisions",
    "emergency_allowed",
    "when_author_unknown",
    "bake_s_min",
    "requests_min",
    "margins_max",
    "hold_required",
    "operators",
    "replicas_max",
    "endpoints_max",
    "cost_per_day_max",
    "artifacts_kept_days",
    "note",
)


def check_policy(values: dict[str, Any]) -> None:
    """Raise Invalid, naming the field, unless `values` make a policy."""
    problems: dict[str, str] = {}
    if unknown := set(values) - set(POLICY_FIELDS):
        problems[sorted(unknown)[0]] = "not a field of a policy"
    for field, check in LISTS.items():
        if problem := check(values.get(field, [])):
            problems[field] = problem
    for field, check in OBJECTS.items():
        if problem := check(values.get(field, {})):
            problems[field] = problem
    if problem := _names_problem(values.get("gates", []), GATES):
        problems["gates"] = problem
    if problem := _names_problem(values.get("allowed_strategies", []), STRATEGIES):
        problems["allowed_strategies"] = problem
    if values.get("sandbox_level_min", "none") not in LEVELS:
        problems["sandbox_level_min"] = f"one of {', '.join(LEVELS)}"
    problems |= _switch_problems(values) | _number_problems(values)
    for field, choices in CHOICES.items():
        if values.get(field, choices[0]) not in choices:
            problems[field] = f"one of {', '.join(choice or 'nobody' for choice in choices)}"
    if not problems and (problem := _watching_problem(values)):
        problems["allowed_strategies"] = problem
    if problems:
        field, problem = next(iter(problems.items()))
        raise Invalid(f"{field.replace('_', ' ').capitalize()}: {problem}.", details=problems)


def _watching_problem(values: dict[str, Any]) -> str:
    """Why no plan could keep to the policy, as far as its limits and its strategies contradict each other."""
    asks = values.get("hold_required") or values.get("bake_s_min") or values.get("requests_min")
    if asks and set(values.get("allowed_strategies", [])) == {"immediate"}:
        return "immediate alone watches nothing and waits for nobody, and the policy asks plans to do so"
    return ""


def _switch_problems(values: dict[str, Any]) -> dict[str, str]:
    return {field: "true or false" for field in SWITCHES if not isinstance(values.get(field, False), bool)}


def _number_problems(values: dict[str, Any]) -> dict[str, str]:
    problems = {}
    for field, (least, most, usual) in NUMBERS.items():
        value = values.get(field, usual)
        if type(value) is not int or not least <= value <= most:
            problems[field] = f"a whole number from {least} to {most}"
    for field, (least, most) in QUOTAS.items():
        value = values.get(field)
        is_fitting = _is_number(value) if field == "cost_per_day_max" else type(value) is int
        if value is not None and not (is_fitting and least <= value <= most):
            problems[field] = f"nothing, or a number from {least} to {most:,}"
    return problems


def _rules_problem(rules: Any) -> str:
    if not isinstance(rules, list) or len(rules) > RULES_MAX:
        return f"a list of at most {RULES_MAX} rules"
    if problem := next((problem for rule in rules if (problem := _rule_problem(rule))), ""):
        return problem
    names = [rule["name"] for rule in rules if "name" in rule]
    if len(set(names)) != len(names):
        return "two rules have the same name"
    unnamed = [key_of(rule) for rule in rules if "name" not in rule]
    if len(set(unnamed)) != len(unnamed):
        return "a role or a group is named twice; raise its count, or give each rule a name"
    return ""


def _rule_problem(rule: Any) -> str:
    if not isinstance(rule, dict) or set(rule) - {"name"} not in RULE_KEYS:
        return 'each rule has the keys "role" or "group", and "count", and may have a "name"'
    roles = [role.value for role in roles_that_allow(Action.RELEASE_DECIDE)]
    if "role" in rule and rule["role"] not in roles:
        return f"{rule['role']!r} cannot approve; use one of {', '.join(roles)}"
    for field, most in (("group", GROUP_NAME_MAX_CHARS), ("name", RULE_NAME_MAX_CHARS)):
        text = rule.get(field, "-")
        if not isinstance(text, str) or not text.strip() or text != text.strip() or len(text) > most:
            return f"a {field} has 1 to {most} characters, without spaces around them"
    if type(rule["count"]) is not int or not 1 <= rule["count"] <= COUNT_MAX:
        return f"a count is a whole number from 1 to {COUNT_MAX}"
    return ""


def _guardrails_problem(guardrails: Any) -> str:
    if not isinstance(guardrails, list) or not all(isinstance(row, dict) for row in guardrails):
        return 'a list of guardrails, each with "metric" and "margin"'
    for row in guardrails:
        wanted = GUARDRAIL_KEYS.get(str(row.get("metric")))
        if wanted is None:
            return f"{row.get('metric')!r} is not a metric; use {', '.join(GUARDRAIL_KEYS)}"
        if set(row) != wanted:
            return f"a guardrail on {row['metric']} has the keys {', '.join(sorted(wanted))}"
        if not _is_number(row["margin"]) or not 0 < row["margin"] < 1:
            return "a margin is a number between 0 and 1"
        if "slo_ms" in row and (not _is_number(row["slo_ms"]) or row["slo_ms"] <= 0):
            return "slo_ms is a number of milliseconds above 0"
    return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _names_problem(names: Any, known: Any) -> str:
    if not isinstance(names, list):
        return "a list of names"
    unknown = [str(name) for name in names if not isinstance(name, str) or name not in known]
    return f"{unknown[0]!r} is not known; use {', '.join(known)}" if unknown else ""


def _parameters_problem(parameters: Any) -> str:
    return parameters_problem(parameters, {name: gate.parameters for name, gate in GATES.items()})


def _metadata_problem(names: Any) -> str:
    if not isinstance(names, list) or len(names) > METADATA_MAX:
        return f"a list of at most {METADATA_MAX} names"
    if not all(isinstance(name, str) and 0 < len(name) <= METADATA_NAME_MAX_CHARS for name in names):
        return f"each name has 1 to {METADATA_NAME_MAX_CHARS} characters"
    return "" if len(set(names)) == len(names) else "a name stands there twice"


def _margins_problem(margins: Any) -> str:
    if not isinstance(margins, dict):
        return "an object of metric → widest margin"
    if problem := _names_problem(list(margins), GUARDRAIL_METRICS):
        return problem
    if not all(_is_number(margin) and 0 < margin < 1 for margin in margins.values()):
        return "a margin is a number between 0 and 1"
    return ""


def _operators_problem(operators: Any) -> str:
    if not isinstance(operators, dict):
        return "an object of operation → roles"
    if problem := _names_problem(list(operators), OPERATIONS):
        return problem
    for operation, roles in operators.items():
        able = [role.value for role in roles_that_allow(OPERATIONS[operation])]
        if not isinstance(roles, list) or not roles:
            return f"name the roles that may {operation}, or leave {operation} out"
        if problem := _names_problem(roles, able):
            return problem
    return ""


DECIDING = ("", *(role.value for role in roles_that_allow(Action.RELEASE_DECIDE)))
CHOICES: dict[str, tuple[str, ...]] = {
    "when_changed_outside": tuple(ChangedOutside),
    "when_closed": tuple(WhenClosed),
    "when_alerting": tuple(WhenAlerting),
    "when_author_unknown": tuple(AuthorUnknown),
    "waiver_role": ("", *(role.value for role in Role if role is not Role.VIEWER)),
    "escalate_to": DECIDING,
}
LISTS = {
    "approval_rules": _rules_problem,
    "default_guardrails": _guardrails_problem,
    "windows": windows_problem,
    "required_metadata": _metadata_problem,
}
OBJECTS = {
    "gate_parameters": _parameters_problem,
    "margins_max": _margins_problem,
    "operators": _operators_problem,
}
