"""Approval rules: one person counts once, and neither the order of approvals nor of rules matters."""

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from registry.approvals.rules import evaluate

ROLES = ["reviewer", "risk_officer", "release_manager"]
people = st.dictionaries(st.sampled_from("abcdefg"), st.sets(st.sampled_from(ROLES)), max_size=6)
rules = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(ROLES), "count": st.integers(1, 3)}),
    max_size=3,
    unique_by=lambda rule: rule["role"],
)


def met_by_trying(wanted: list[dict], approvals: dict[str, set[str]]) -> bool:
    """Whether some way of seating people meets every rule, by trying all of them."""
    seats = [rule["role"] for rule in wanted for _ in range(rule["count"])]
    if len(seats) > len(approvals):
        return False
    return any(
        all(seat in approvals[person] for seat, person in zip(seats, order, strict=True))
        for order in permutations(approvals, len(seats))
    )


@given(rules, people)
def test_evaluate__agrees_with_trying_every_seating(wanted, approvals):
    assert evaluate(wanted, approvals).met == met_by_trying(wanted, approvals)


@given(rules, people, st.randoms())
def test_evaluate__order_of_approvals_and_rules__does_not_matter(wanted, approvals, random):
    shuffled = list(approvals.items())
    random.shuffle(shuffled)
    turned = list(reversed(wanted))
    assert evaluate(wanted, approvals).met == evaluate(turned, dict(shuffled)).met


@given(rules, people)
def test_evaluate__nobody_counts_twice_or_for_a_role_they_lack(wanted, approvals):
    progress = evaluate(wanted, approvals)
    given_by = [(rule.role, person) for rule in progress.rules for person in rule.given_by]
    assert len({person for _, person in given_by}) == len(given_by)
    assert all(role in approvals[person] for role, person in given_by)
    assert progress.met == (progress.missing == "")


def test_evaluate__nothing_given__says_what_is_missing():
    wanted = [{"role": "reviewer", "count": 2}, {"role": "risk_officer", "count": 1}]
    assert evaluate(wanted, {"rita": ["reviewer"]}).missing == "Needs 1 more Reviewer and 1 more Risk officer."
