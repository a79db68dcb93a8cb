"""When are approval rules met? Pure. All rules are required; one person counts once over all of them.

A rule asks for so many who hold a role, or who are in a group: `{"role": "reviewer", "count": 1}`, `{"group":
"medical-board", "count": 2}`, each with a `name` if several say different things. What a person counts by is a **key**:
the role's name, or `group:` and the group's.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlorch_site.accounts.roles import Role

GROUP = "group:"

type_Rule = Mapping[str, Any]
type_Rules = list[dict[str, Any]]


def key_of(rule: "type_Rule") -> str:
    """What a person counts by for the rule."""
    return f"{GROUP}{rule['group']}" if rule.get("group") else str(rule["role"])


def keys_of(rules: "type_Rules") -> set[str]:
    """All that people can count by."""
    return {key_of(rule) for rule in rules}


def one_more(rules: "type_Rules") -> "type_Rules":
    """The rules with one more approval: of what the first rule asks for. Nothing stays nothing."""
    return [{**rule, "count": int(rule["count"]) + (1 if number == 0 else 0)} for number, rule in enumerate(rules)]


def holder_label(key: str) -> str:
    """Who counts by a key, as people read it."""
    return f"Group {key.removeprefix(GROUP)}" if key.startswith(GROUP) else Role(key).label


def member_label(key: str) -> str:
    """One who counts by a key, as people read it."""
    return f"a member of the group {key.removeprefix(GROUP)}" if key.startswith(GROUP) else Role(key).label


def counted(key: str, count: int, more: str = "") -> str:
    """So many who count by a key, as people read it."""
    if key.startswith(GROUP):
        return f"{count}{more} of the group {key.removeprefix(GROUP)}"
    return f"{count}{more} {Role(key).label}{'s' if count > 1 else ''}"


def rule_label(rule: "type_Rule") -> str:
    """A rule as people read it, with its name if it has one."""
    said = counted(key_of(rule), int(rule["count"]))
    return f"{rule['name']}: {said}" if rule.get("name") else said


@dataclass(frozen=True)
class RuleProgress:
    """One rule, "count of role" or "count of group", and who counts for it. One of `role` and `group` is empty."""

    role: str
    needed: int
    given_by: list[str] = field(default_factory=list)
    group: str = ""
    name: str = ""

    @property
    def key(self) -> str:
        return f"{GROUP}{self.group}" if self.group else self.role

    @property
    def met(self) -> bool:
        return len(self.given_by) >= self.needed

    @property
    def label(self) -> str:
        return rule_label({"role": self.role, "group": self.group, "name": self.name, "count": self.needed})


@dataclass(frozen=True)
class ApprovalProgress:
    """Where a request stands: met or not, rule by rule, and what is missing in one sentence."""

    met: bool
    rules: list[RuleProgress]
    missing: str


def evaluate(rules: "type_Rules", approvals: Mapping[str, Collection[str]]) -> ApprovalProgress:
    """The progress of `rules` given `approvals`: person → keys held. Excluded people must not be in it.

    Which person counts for which rule is found by maximum bipartite matching, so that neither the order of approvals
    nor of rules matters: somebody with two roles counts where it helps.
    """
    seats = [(number, key_of(rule)) for number, rule in enumerate(rules) for _ in range(int(rule["count"]))]
    taken: dict[int, str] = {}

    def seat(person: str, tried: set[int]) -> bool:
        for number, (_, key) in enumerate(seats):
            if key not in approvals[person] or number in tried:
                continue
            tried.add(number)
            if number not in taken or seat(taken[number], tried):
                taken[number] = person
                return True
        return False

    for person in sorted(approvals):
        seat(person, set())
    progress = [
        RuleProgress(
            role=str(rule.get("role", "")),
            needed=int(rule["count"]),
            given_by=[taken[seat_number] for seat_number in sorted(taken) if seats[seat_number][0] == number],
            group=str(rule.get("group", "")),
            name=str(rule.get("name", "")),
        )
        for number, rule in enumerate(rules)
    ]
    return ApprovalProgress(all(rule.met for rule in progress), progress, _missing(progress))


def _missing(progress: list[RuleProgress]) -> str:
    lacking = []
    for rule in progress:
        count = rule.needed - len(rule.given_by)
        if count > 0:
            lacking.append(counted(rule.key, count, " more") + (f" ({rule.name})" if rule.name else ""))
    return f"Needs {' and '.join(lacking)}." if lacking else ""


def why_nobody_can(rules: "type_Rules", people: Mapping[str, Collection[str]]) -> str:
    """Why `rules` cannot be met although all of `people` (person → keys) approve, empty when they can."""
    progress = evaluate(rules, people)
    if progress.met:
        return ""
    short = []
    for rule in progress.rules:
        there = sum(rule.key in keys for keys in people.values())
        if there < rule.needed:
            short.append(f"{rule.label} {'are' if rule.needed > 1 else 'is'} asked for, and {_there(rule, there)}")
    wanted = {rule.key for rule in progress.rules}
    able = sum(bool(wanted & set(keys)) for keys in people.values())
    needed = sum(rule.needed for rule in progress.rules)
    what = "count for them" if any(rule.group for rule in progress.rules) else "hold the roles"
    return "; ".join(short) or f"{needed} people are asked for in all, and {able} {what}"


def _there(rule: RuleProgress, there: int) -> str:
    if rule.group:
        return {0: "nobody in it may approve", 1: "1 person in it may approve"}.get(
            there, f"{there} people in it may approve"
        )
    return {0: "nobody holds that role", 1: "1 person holds that role"}.get(there, f"{there} people hold that role")


def is_barely_met(rules: "type_Rules", people: Mapping[str, Collection[str]]) -> bool:
    """Whether `people` can meet the rules, but not without some one of them: whoever asks may not approve."""
    progress = evaluate(rules, people)
    needed = [person for rule in progress.rules for person in rule.given_by]
    return progress.met and any(
        not evaluate(rules, {name: keys for name, keys in people.items() if name != person}).met for person in needed
    )
