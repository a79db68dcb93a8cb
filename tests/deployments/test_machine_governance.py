"""Policies, requests, decisions, delegations, waivers, windows and emergencies, by anybody in any order: a rollout
begins only with what the policy that its release froze asks for.

What was given is written down by the test itself, as people and times; it is compared with what has begun.
"""

from itertools import permutations
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, run_state_machine_as_test

from deployments.lifecycle import OPEN_STATUSES
from deployments.models import Release
from deployments.services import release_decide
from deployments.services.controls import release_abort
from registry.models import Emergency, GateResult, Waiver
from registry.services import policy_revise
from tests.deployments.governance_acts import RULES, WAIVABLE, GovernanceActs

BEGUN = ("rolling_out", "succeeded", "rolled_back", "aborted", "failed")
# What has to have happened in a run of the machine, or it has shown nothing about it.
KINDS = (
    "approved",
    "delegated",
    "waived",
    "waiver over",
    "emergency",
    "reviewed",
    "frozen",
    "begun after a freeze",
    "own wish refused",
)


class GovernanceMachine(GovernanceActs):
    """Begins with stories of each kind; single acts of anybody follow."""

    @initialize(rules=st.sampled_from(RULES[1:]), order=st.permutations(range(5)))
    def begins(self, rules: list[dict[str, Any]], order: list[int]) -> None:
        self.does(
            policy_revise,
            "ada",
            environment=self.world.environment,
            approval_rules=rules,
            gates=["version_ready", WAIVABLE],
            waiver_role="risk_officer",
            emergency_allowed=True,
        )
        self.asks_for_a_release(1, "emma")
        self.waives("oscar", 3)
        self.time_passes(2)
        self.everybody_approves()
        self.time_passes(3)
        stories = [
            self.something_cannot_wait,
            self.somebody_stands_in,
            self.a_waiver_runs_out,
            self.a_freeze_comes_between,
            self.somebody_approves_the_own_wish,
        ]
        for number in order:
            stories[number]()

    # Whole stories, which single acts in any order seldom make: in every run, in any order, before the single acts.

    def something_cannot_wait(self) -> None:
        self.clears_the_way(approval_rules=RULES[3], gates=["version_ready"], emergency_allowed=True)
        self.asks_for_a_release(self.another, "emma")
        self.time_passes(3)
        self.uses_an_emergency("mona")
        self.time_passes(3)
        self.closes_a_review("rita")

    def somebody_stands_in(self) -> None:
        self.clears_the_way(approval_rules=RULES[1], gates=["version_ready"])
        self.delegates("rita", "rolf", 5)
        self.asks_for_a_release(self.another, "emma")
        self.time_passes(3)
        self.decides_for_another("rolf", "rita")
        self.time_passes(3)

    def a_waiver_runs_out(self) -> None:
        self.clears_the_way(approval_rules=RULES[1], gates=["version_ready", WAIVABLE])
        self.asks_for_a_release(self.another, "emma")
        self.waives("oscar", 1)
        self.time_passes(3)
        self.much_time_passes(80)  # the longest waiver of this machine is over
        self.everybody_approves()

    def a_freeze_comes_between(self) -> None:
        self.clears_the_way(approval_rules=RULES[1], gates=["version_ready"])
        self.asks_for_a_release(self.another, "emma")
        self.freezes(20)
        self.everybody_approves()
        self.much_time_passes(21)
        self.time_passes(2)

    def somebody_approves_the_own_wish(self) -> None:
        self.clears_the_way(approval_rules=RULES[1], gates=["version_ready"])
        self.asks_for_a_release(self.another, "rolf")
        self.time_passes(1)
        release = self.newest
        if release is not None and release.approval is not None:
            is_done = self.does(release_decide, "rolf", release=release, decision="approve")
            self.met["own wish refused"] += not is_done
        self.time_passes(2)

    def clears_the_way(self, **changes: Any) -> None:
        """Nothing is open, closed or given, and the policy is of use for the story."""
        if release := self.newest:
            self.does(release_abort, "mona", release=release, reason="so")
        self.time_passes(3)
        changes = {"waiver_role": "risk_officer", "approval_days": 30, **changes}
        self.thaws()
        self.does(policy_revise, "ada", environment=self.world.environment, **changes)

    # what must hold

    @invariant()
    def what_begins_has_what_its_policy_asks_for(self) -> None:
        for release in Release.objects.filter(kind="release", status__in=BEGUN, started_at__isnull=False):
            if str(release.pk) in self.looked_at:
                continue
            self.looked_at.add(str(release.pk))  # at the first look after it began: later rights change nothing
            emergency = Emergency.objects.filter(request=release.approval).select_related("used_by").first()
            if emergency is not None:
                self.met["emergency"] += 1
                assert release.policy.emergency_allowed
                assert emergency.used_by.username == "mona" or emergency.used_by.username == "oscar"
            else:
                self.met["approved" if release.policy.approval_rules else "free"] += 1
                self.assert_approved(release)
            self.assert_gates(release)
            self.assert_open(release)

    def assert_open(self, release: Release) -> None:
        """It began at a moment in no freeze; an emergency waits for one too."""
        self.met["begun after a freeze"] += str(release.pk) in self.waited
        if self.freeze is not None:
            assert not self.freeze[0] < release.started_at < self.freeze[1], (self.freeze, release.started_at)

    @invariant()
    def every_emergency_has_a_review_until_somebody_else_closed_it(self) -> None:
        for used in Emergency.objects.select_related("used_by", "closed_by", "request__requester"):
            closer = self.reviewers.get(str(used.pk))
            assert (used.closed_by.username if used.closed_by else None) == closer
            assert (used.closed_at is None) == (closer is None)
            assert closer not in {used.used_by.username, used.request.requester.username}
        self.met["reviewed"] = max(self.met["reviewed"], len(self.reviewers))

    def assert_approved(self, release: Release) -> None:
        """Different people other than the requester, whose last word is approval, fill every seat of the rules."""
        last = {}
        for decision in release.approval.decisions.select_related("person", "on_behalf_of").order_by("at", "pk"):
            last[decision.person_id] = decision
        given = [row for row in last.values() if row.kind == "approve"]
        assert release.approval.status == "approved"
        assert release.requester_id not in {row.person_id for row in given}
        assert release.requester_id not in {row.voice_id for row in given}
        seats = [rule["role"] for rule in release.policy.approval_rules for _ in range(rule["count"])]
        voices = {row.voice_id: row for row in given}  # who lends a power and uses it too has one voice
        fits = any(
            all(seat in row.roles for seat, row in zip(seats, order, strict=True))
            for order in permutations(voices.values(), len(seats))
        )
        assert fits, (seats, [(row.by, row.roles) for row in given])
        self.met["delegated"] += any(row.voice_id != row.person_id for row in given)

    def assert_gates(self, release: Release) -> None:
        """A gate that refused was waived in time, by who held the role and had not asked for the release."""
        refusing = GateResult.objects.filter(subject_id=str(release.pk), is_current=True, outcome__in=["fail", "error"])
        for row in refusing:
            waivers = Waiver.objects.filter(gate=row.gate, finding=row.finding, digest=release.digest)
            holding = [
                waiver
                for waiver in waivers
                if waiver.given_at <= release.started_at < waiver.expires_at
                and not (waiver.withdrawn_at and waiver.withdrawn_at <= release.started_at)
                and waiver.given_by_id != release.requester_id
                and waiver.role == release.policy.waiver_role
            ]
            self.met["waived"] += 1
            assert holding, row.sentence

    @invariant()
    def one_release_is_open(self) -> None:
        assert Release.objects.filter(kind="release", status__in=sorted(OPEN_STATUSES)).count() <= 1


@pytest.mark.parametrize(("examples", "steps"), [(2, 15), pytest.param(15, 40, marks=pytest.mark.slow)])
def test_machine__governance__what_begins_has_what_its_policy_asks_for(db, data_dir, examples, steps):
    GovernanceMachine.met.clear()
    run_state_machine_as_test(
        GovernanceMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate,),
        ),
    )
    met = GovernanceMachine.met
    never = [kind for kind in KINDS if not met[kind]]
    assert not never, (never, met)  # or nothing was compared
