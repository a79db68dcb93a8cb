"""What takes protection off a protected environment, as the review of a draft says it. Pure.

It counts, when the environment is protected before the change:

* that it would not be protected any more;
* a role of which fewer people would have to approve, or nobody;
* a gate that would not run any more;
* that guardrails would not be required, or a version that was taken back not be refused any more;
* that a rollout would go on although its version was changed in MLflow;
* worse sandboxes than before;
* that all traffic could go to a new version at once, where it could not: by strategy or by the first share;
* a freeze that would not be any more, release windows that would be added or all go: rollouts could begin when they
  could not.

It does not count: how long approvals hold, the judge's deadline, default guardrails and their margins.
"""

from collections.abc import Mapping
from typing import Any

from dataplane.wire.sandbox import LEVELS
from mlorch_site.accounts.roles import Role
from registry.lifecycle import ChangedOutside

AT_ONCE = "immediate"
UNBOUND_PCT = 100

type_Values = Mapping[str, Any]


def loosens(before: "type_Values", after: "type_Values") -> list[str]:
    """What the change from `before` to `after` takes off a protected environment, as sentences.

    Empty when it takes nothing, and for an environment that is not protected. Both map a policy's fields to values.
    """
    if not before["protected"]:
        return []
    parts = (_switches, _approvals, _gates, _rollouts, _windows)
    return [sentence for part in parts for sentence in part(before, after)]


SWITCHES = {
    "protected": "The environment would not be protected any more.",
    "guardrails_required": "Releases without guardrails would be allowed.",
    "refuse_taken_back": "A version that was taken back would only be warned about.",
}


def _switches(before: "type_Values", after: "type_Values") -> list[str]:
    return [sentence for field, sentence in SWITCHES.items() if before[field] and not after[field]]


def _approvals(before: "type_Values", after: "type_Values") -> list[str]:
    would = {rule["role"]: rule["count"] for rule in after["approval_rules"]}
    found = []
    for rule in before["approval_rules"]:
        label, count = Role(rule["role"]).label, would.get(rule["role"], 0)
        if count < rule["count"]:
            fewer = f"Only {count} instead of {rule['count']} would have to approve as {label}."
            found.append(fewer if count else f"No {label} would have to approve.")
    return [*found, "Nobody would have to approve."] if found and not any(would.values()) else found


def _gates(before: "type_Values", after: "type_Values") -> list[str]:
    return [f"The gate {gate} would not run any more." for gate in before["gates"] if gate not in after["gates"]]


def _rollouts(before: "type_Values", after: "type_Values") -> list[str]:
    found = []
    changed = (before["when_changed_outside"], after["when_changed_outside"])
    if changed[0] != ChangedOutside.GO_ON and changed[1] == ChangedOutside.GO_ON:
        found.append("Rollouts would go on although their version was changed in MLflow.")
    levels = (before["sandbox_level_min"], after["sandbox_level_min"])
    if _goodness(levels[1]) < _goodness(levels[0]):
        found.append(f"Replicas would start in worse sandboxes: {levels[1]} instead of {levels[0]}.")
    if _may_at_once(after) and not _may_at_once(before):
        found.append("All traffic could go to a new version at once.")
    if before["max_first_weight_pct"] < UNBOUND_PCT <= after["max_first_weight_pct"]:
        found.append("The first share of the traffic would have no bound.")
    return found


def _windows(before: "type_Values", after: "type_Values") -> list[str]:
    def of(values: "type_Values", kind: str) -> list[Any]:
        return [window for window in values["windows"] if window["kind"] == kind]

    gone = [window for window in of(before, "freeze") if window not in after["windows"]]
    found = [f"The freeze {window['name']} would end or change." for window in gone]
    releases, later = of(before, "release"), of(after, "release")
    if releases and not later:
        found.append("Rollouts could begin at any time, without release windows.")
    new = [window for window in later if window not in releases] if releases else []
    return found + [f"Rollouts could begin in the release window {window['name']} too." for window in new]


def _goodness(level: str) -> int:
    return [str(known) for known in LEVELS].index(level)


def _may_at_once(values: "type_Values") -> bool:
    """Whether a release may take all traffic in one step; no strategies means all of them."""
    return not values["allowed_strategies"] or AT_ONCE in values["allowed_strategies"]
