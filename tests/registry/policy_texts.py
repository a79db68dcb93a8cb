"""Any text of a policy, for tests by property."""

from typing import Any

from hypothesis import strategies as st

from dataplane.wire.sandbox import LEVELS
from mlorch_site.accounts.roles import Action, roles_that_allow
from registry.gate_cards import gate_cards
from registry.gates import GATES
from registry.policy_fields import CHOICES, NUMBERS, OPERATIONS, QUOTAS, STRATEGIES, SWITCHES, check_policy

NAMES = st.text(st.characters(codec="utf-8", categories=("L", "N")), min_size=1, max_size=12)
MARGINS = st.integers(1, 99_999).map(lambda number: number / 100_000)
ROLES = [role.value for role in roles_that_allow(Action.RELEASE_DECIDE)]
RULES = [
    st.lists(st.sampled_from(ROLES), unique=True, max_size=2).flatmap(
        lambda roles: st.tuples(*(st.integers(1, 10).map(lambda n, r=role: {"role": r, "count": n}) for role in roles))
    )
]
WINDOWS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["freeze", "release"]),
        "name": NAMES,
        "zone": st.sampled_from(["Europe/Berlin", "UTC", "Asia/Tokyo"]),
        "starts": st.sampled_from(["2026-12-24T18:00", "2027-02-01T00:30"]),
        "minutes": st.integers(1, 5_000),
    },
    optional={
        "rule": st.sampled_from(["FREQ=DAILY", "FREQ=WEEKLY;BYDAY=FR"]),
        "except": st.just(["2026-12-25", "2027-01-01"]),
    },
)
GUARDRAILS = st.one_of(
    st.fixed_dictionaries({"metric": st.just("error_rate"), "margin": MARGINS}),
    st.fixed_dictionaries({"metric": st.just("latency_over_slo"), "margin": MARGINS, "slo_ms": st.integers(1, 5_000)}),
)


def some(names: Any) -> st.SearchStrategy[list[str]]:
    """Some of the names, in the order in which they are listed."""
    listed = [str(name) for name in names]
    return st.sets(st.sampled_from(listed)).map(lambda chosen: [name for name in listed if name in chosen])


@st.composite
def parameters(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """Settings of some gates, as they usually are."""
    found: dict[str, dict[str, Any]] = {}
    for card in gate_cards():
        for setting in card.settings:
            value = list(setting.default) if isinstance(setting.default, list | tuple) else setting.default
            if value not in (None, "", []) and draw(st.booleans()):
                found.setdefault(card.name, {})[setting.name] = value
    return found


@st.composite
def policy_texts(draw: st.DrawFn) -> dict[str, Any]:
    """All fields of a policy but its note; always one that `check_policy` takes."""
    values: dict[str, Any] = {name: draw(st.booleans()) for name in SWITCHES}
    values |= {name: draw(st.integers(least, most)) for name, (least, most, _) in NUMBERS.items()}
    values |= {name: draw(st.none() | st.integers(least, most)) for name, (least, most) in QUOTAS.items()}
    values |= {name: str(draw(st.sampled_from(choices))) for name, choices in CHOICES.items()}
    operators = {act: draw(some([r.value for r in roles_that_allow(action)])) for act, action in OPERATIONS.items()}
    values |= {
        "sandbox_level_min": draw(st.sampled_from(list(LEVELS))),
        "gates": draw(some(GATES)),
        "gate_parameters": draw(parameters()),
        "allowed_strategies": draw(some(STRATEGIES)),
        "approval_rules": list(draw(RULES[0])),
        "default_guardrails": draw(st.lists(GUARDRAILS, max_size=2)),
        "windows": draw(st.lists(WINDOWS, max_size=2)),
        "required_metadata": draw(st.lists(NAMES, unique=True, max_size=3)),
        "margins_max": draw(st.dictionaries(st.sampled_from(["error_rate", "latency_over_slo"]), MARGINS)),
        "operators": {act: roles for act, roles in operators.items() if roles},
    }
    if values["allowed_strategies"] == ["immediate"]:
        values |= {"hold_required": False, "bake_s_min": 0, "requests_min": 0}  # it watches nothing
    check_policy(values)
    return values
