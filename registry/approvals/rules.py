"""When are approval rules met? Pure. All rules are required; one person counts once over all of them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from mlorch_site.accounts.roles import Role


@dataclass(frozen=True)
class RuleProgress:
    """One rule "count of role", and who counts for it."""

    role: str
    needed: int
    given_by: list[str] = field(default_factory=list)

    @property
    def met(self) -> bool:
        return len(self.given_by) >= self.needed

    @property
    def label(self) -> str:
        return f"{self.needed} {Role(self.role).label}{'s' if self.needed > 1 else ''}"


@dataclass(frozen=True)
class ApprovalProgress:
    """Where a request stands: met or not, rule by rule, and what is missing in one sentence."""

    met: bool
    rules: list[RuleProgress]
    missing: str


def evaluate(rules: list[dict[str, object]], approvals: Mapping[str, Collection[str]]) -> ApprovalProgress:
    """The progress of `rules` given `approvals`: person → roles held. Excluded people must not be in it.

    Which person counts for which rule is found by maximum bipartite matching, so that neither the order of approvals
    nor of rules matters: somebody with two roles counts where it helps.
    """
    seats = [str(rule["role"]) for rule in rules for _ in range(int(str(rule["count"])))]
    taken: dict[int, str] = {}

    def seat(person: str, tried: set[int]) -> bool:
        for number, role in enumerate(seats):
            if role not in approvals[person] or number in tried:
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
            str(rule["role"]), int(str(rule["count"])), [taken[n] for n in sorted(taken) if seats[n] == rule["role"]]
        )
        for rule in rules
    ]
    return ApprovalProgress(all(rule.met for rule in progress), progress, _missing(progress))


def _missing(progress: list[RuleProgress]) -> str:
    lacking = []
    for rule in progress:
        count = rule.needed - len(rule.given_by)
        if count > 0:
            lacking.append(f"{count} more {Role(rule.role).label}{'s' if count > 1 else ''}")
    return f"Needs {' and '.join(lacking)}." if lacking else ""


def why_nobody_can(rules: list[dict[str, object]], people: Mapping[str, Collection[str]]) -> str:
    """Why `rules` cannot be met although all of `people` (person → roles) approve, empty when they can."""
    progress = evaluate(rules, people)
    if progress.met:
        return ""
    short = []
    for rule in progress.rules:
        there = sum(rule.role in roles for roles in people.values())
        if there < rule.needed:
            held = {0: "nobody holds", 1: "1 person holds"}.get(there, f"{there} people hold")
            short.append(f"{rule.label} {'are' if rule.needed > 1 else 'is'} asked for, and {held} that role")
    wanted = {rule.role for rule in progress.rules}
    able = sum(bool(wanted & set(roles)) for roles in people.values())
    needed = sum(rule.needed for rule in progress.rules)
    return "; ".join(short) or f"{needed} people are asked for in all, and {able} hold the roles"


def is_barely_met(rules: list[dict[str, object]], people: Mapping[str, Collection[str]]) -> bool:
    """Whether `people` can meet the rules, but not without some one of them: whoever asks may not approve."""
    progress = evaluate(rules, people)
    needed = [person for rule in progress.rules for person in rule.given_by]
    return progress.met and any(
        not evaluate(rules, {name: roles for name, roles in people.items() if name != person}).met for person in needed
    )
