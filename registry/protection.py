"""What takes protection off a protected environment, as the review of a draft says it. Pure.

It counts, when the environment is protected before the change:

* that it would not be protected any more;
* that a release could begin without its approvals in an emergency;
* that a version of an unknown author would need no further approval;
* a role or a group of which fewer people would have to approve, or nobody;
* a gate that would not run any more;
* a parameter of a gate that would be another one, a name that would not be required of the metadata any more;
* that somebody could waive a gate where nobody could, another role could, or for longer;
* that guardrails would not be required, or a version that was taken back not be refused any more;
* that a rollout would go on although its version was changed in MLflow;
* worse sandboxes than before;
* that all traffic could go to a new version at once, where it could not: by strategy or by the first share;
* a freeze that would not be any more, release windows that would be added or all go: rollouts could begin when they
  could not; a rollout that runs would go on while it is closed;
* steps that could be watched for less, guardrails that would not be asked for or could be wider, no person who has to
  promote;
* more people who could promote or pause, fewer who could roll back or abort;
* no limit of replicas, endpoints or costs where there was one, files that served kept for fewer days.

It does not count: how long approvals hold, the judge's deadline, default guardrails and their margins.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from dataplane.wire.sandbox import LEVELS
from mlorch_site.accounts.roles import Role
from registry.approvals.rules import GROUP, holder_label, key_of
from registry.lifecycle import AuthorUnknown, ChangedOutside, WhenAlerting, WhenClosed

AT_ONCE = "immediate"
UNBOUND_PCT = 100

type_Values = Mapping[str, Any]

ALERTING = (WhenAlerting.GO_ON, WhenAlerting.HOLD, WhenAlerting.ROLL_BACK)  # from the loosest on
ALERTING_LOOSER = {
    WhenAlerting.GO_ON: "A rollout would go on while an alert fires on its endpoint.",
    WhenAlerting.HOLD: "A rollout would only hold, not go back, when an alert fires on its endpoint.",
}


def loosens(before: "type_Values", after: "type_Values") -> list[str]:
    """What the change from `before` to `after` takes off a protected environment, as sentences.

    Empty when it takes nothing, and for an environment that is not protected. Both map a policy's fields to values.
    """
    if not before["protected"]:
        return []
    parts = (_switches, _emergencies, _approvals, _gates, _waivers, _rollouts, _plans, _windows, _operators, _quotas)
    return [sentence for part in parts for sentence in part(before, after)]


SWITCHES = {
    "protected": "The environment would not be protected any more.",
    "guardrails_required": "Releases without guardrails would be allowed.",
    "refuse_taken_back": "A version that was taken back would only be warned about.",
    "hold_required": "No person would have to promote any more.",
}


def _switches(before: "type_Values", after: "type_Values") -> list[str]:
    return [sentence for field, sentence in SWITCHES.items() if before[field] and not after[field]]


def _emergencies(before: "type_Values", after: "type_Values") -> list[str]:
    is_looser = after.get("emergency_allowed") and not before.get("emergency_allowed")
    return ["A release could begin without its approvals, in an emergency."] if is_looser else []


def _approvals(before: "type_Values", after: "type_Values") -> list[str]:
    had, would = _asked(before), _asked(after)
    found = []
    if (before["when_author_unknown"], after["when_author_unknown"]) == (AuthorUnknown.ONE_MORE, AuthorUnknown.ANYONE):
        found.append("A version whose author is unknown would need no further approval.")
    for key, count in had.items():
        if would[key] >= count:
            continue
        if key.startswith(GROUP):
            who, nobody = f"of the {holder_label(key).lower()}", f"Nobody of the {holder_label(key).lower()}"
        else:
            who, nobody = f"as {holder_label(key)}", f"No {holder_label(key)}"
        fewer = f"Only {would[key]} instead of {count} would have to approve {who}."
        found.append(fewer if would[key] else f"{nobody} would have to approve.")
    return [*found, "Nobody would have to approve."] if any(had.values()) and not any(would.values()) else found


def _asked(values: "type_Values") -> Counter[str]:
    """Role or group → how many of it would have to approve."""
    asked: Counter[str] = Counter()
    for rule in values["approval_rules"]:
        asked[key_of(rule)] += rule["count"]
    return asked


def _gates(before: "type_Values", after: "type_Values") -> list[str]:
    found = [f"The gate {gate} would not run any more." for gate in before["gates"] if gate not in after["gates"]]
    old, new = before.get("gate_parameters", {}), after.get("gate_parameters", {})
    # Which way a parameter is the stricter one, only people can tell.
    changed = [gate for gate in before["gates"] if gate in after["gates"] and old.get(gate, {}) != new.get(gate, {})]
    found += [f"The gate {gate} would judge by other parameters." for gate in changed]
    fewer = [name for name in before.get("required_metadata", []) if name not in after.get("required_metadata", [])]
    return found + [f"The metadata would not have to say {name.replace('_', ' ')}." for name in fewer]


def _waivers(before: "type_Values", after: "type_Values") -> list[str]:
    old, new = before.get("waiver_role", ""), after.get("waiver_role", "")
    if not new:
        return []
    if new != old:
        return [f"What gates find could be waived by {Role(new).label}."]
    days = (before.get("waiver_days_max", 0), after.get("waiver_days_max", 0))
    return [f"A waiver could last {days[1]} days instead of {days[0]}."] if days[1] > days[0] else []


def _rollouts(before: "type_Values", after: "type_Values") -> list[str]:
    found = []
    changed = (before["when_changed_outside"], after["when_changed_outside"])
    if changed[0] != ChangedOutside.GO_ON and changed[1] == ChangedOutside.GO_ON:
        found.append("Rollouts would go on although their version was changed in MLflow.")
    alerting = (before["when_alerting"], after["when_alerting"])
    if ALERTING.index(alerting[1]) < ALERTING.index(alerting[0]):
        found.append(ALERTING_LOOSER[alerting[1]])
    levels = (before["sandbox_level_min"], after["sandbox_level_min"])
    if _goodness(levels[1]) < _goodness(levels[0]):
        found.append(f"Replicas would start in worse sandboxes: {levels[1]} instead of {levels[0]}.")
    if _may_at_once(after) and not _may_at_once(before):
        found.append("All traffic could go to a new version at once.")
    if before["max_first_weight_pct"] < UNBOUND_PCT <= after["max_first_weight_pct"]:
        found.append("The first share of the traffic would have no bound.")
    return found


def _plans(before: "type_Values", after: "type_Values") -> list[str]:
    found = []
    for field, what in (("bake_s_min", "s"), ("requests_min", "requests")):
        if after[field] < before[field]:
            found.append(
                f"A step could be watched for {after[field]:,} {what} only, not {before[field]:,} {what}."
                if after[field]
                else f"A step would not have to be watched for {before[field]:,} {what} any more."
            )
    for metric, widest in before["margins_max"].items():
        margin, name = after["margins_max"].get(metric), metric.replace("_", " ")
        if margin is None:
            found.append(f"No guardrail on {name} would be asked for any more.")
        elif margin > widest:
            found.append(f"A guardrail on {name} could be wider: {margin * 100:g} instead of {widest * 100:g} points.")
    return found


def _operators(before: "type_Values", after: "type_Values") -> list[str]:
    """Who may do what by hand. That fewer may roll back or abort takes protection off too: those acts are the safe
    ones.
    """
    found = []
    for operation in ("promote", "pause"):
        able, later = before["operators"].get(operation), after["operators"].get(operation)
        if able is not None and (later is None or set(later) - set(able)):
            who = "every role that can" if later is None else ", ".join(sorted(Role(role).label for role in later))
            found.append(f"More people could {operation}: {who}.")
    for operation in ("rollback", "abort"):
        able, later = before["operators"].get(operation), after["operators"].get(operation)
        if later is not None and (able is None or set(able) - set(later)):
            who = ", ".join(sorted(Role(role).label for role in later))
            what = {"rollback": "roll back", "abort": "abort"}[operation]
            found.append(f"Fewer people could {what}: only {who}.")
    return found


QUOTAS = {
    "replicas_max": "There would be no limit of replicas any more.",
    "endpoints_max": "There would be no limit of endpoints any more.",
    "cost_per_day_max": "There would be no limit of costs any more.",
}


def _quotas(before: "type_Values", after: "type_Values") -> list[str]:
    found = [said for field, said in QUOTAS.items() if before[field] is not None and after[field] is None]
    had, would = before["artifacts_kept_days"], after["artifacts_kept_days"]
    shorter = f"Files that served would be kept for {would} instead of {had} days."
    return [*found, shorter] if would < had else found


def _windows(before: "type_Values", after: "type_Values") -> list[str]:
    def of(values: "type_Values", kind: str) -> list[Any]:
        return [window for window in values["windows"] if window["kind"] == kind]

    gone = [window for window in of(before, "freeze") if window not in after["windows"]]
    found = [f"The freeze {window['name']} would end or change." for window in gone]
    releases, later = of(before, "release"), of(after, "release")
    if releases and not later:
        found.append("Rollouts could begin at any time, without release windows.")
    new = [window for window in later if window not in releases] if releases else []
    if (before["when_closed"], after["when_closed"]) == (WhenClosed.HOLD, WhenClosed.GO_ON):
        found.append("A rollout that runs would go on while the environment is closed.")
    return found + [f"Rollouts could begin in the release window {window['name']} too." for window in new]


def _goodness(level: str) -> int:
    return [str(known) for known in LEVELS].index(level)


def _may_at_once(values: "type_Values") -> bool:
    """Whether a release may take all traffic in one step; no strategies means all of them."""
    return not values["allowed_strategies"] or AT_ONCE in values["allowed_strategies"]
