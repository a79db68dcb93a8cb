"""Policies, requests, decisions, delegations, waivers, windows and emergencies, by anybody in any order: a rollout
begins only with what the policy that its release froze asks for.

What was given is written down by the test itself, as people and times; it is compared with what has begun.
"""

from collections import Counter
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from deployments.gate_cases import case_of, subject_of
from deployments.lifecycle import GATED_STATUSES, OPEN_STATUSES
from deployments.models import Release
from deployments.services import release_decide
from deployments.services.checks import release_check
from deployments.services.controls import release_abort
from deployments.services.emergency import release_emergency
from mlorch_site.accounts.bindings import role_bind, role_unbind
from mlorch_site.accounts.roles import EVERYWHERE, Role
from mlorch_site.accounts.selectors import actor_for_user
from mlorch_site.audit.verification import verify
from mlorch_site.lib.errors import DomainError
from registry.approvals.delegations import delegation_end, delegation_give
from registry.models import Delegation, Emergency, GateResult, Waiver
from registry.services import policy_revise
from registry.services.waivers import waiver_give, waiver_withdraw
from tests.deployments.world import World
from tests.factories import make_people, make_person

DECIDERS = ["rita", "oscar", "rolf", "mona", "emma"]
WAIVABLE = "signature_present"  # the versions of this world have none
RULES: list[list[dict[str, Any]]] = [
    [],
    [{"role": "reviewer", "count": 1}],
    [{"role": "reviewer", "count": 2}],
    [{"role": "reviewer", "count": 1}, {"role": "risk_officer", "count": 1}],
]
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "approval_rules": st.sampled_from(RULES),
        "gates": st.sampled_from([["version_ready"], ["version_ready", WAIVABLE]]),
        "waiver_role": st.sampled_from(["", "risk_officer"]),
        "emergency_allowed": st.booleans(),
        "approval_days": st.sampled_from([1, 30]),
    },
)
BEGUN = ("rolling_out", "succeeded", "rolled_back", "aborted", "failed")


class GovernanceMachine(RuleBasedStateMachine):
    """One endpoint, five people, and time. `begun` counts what began over all runs: by approval, without anybody who
    had to approve, with a waiver, in an emergency.
    """

    begun: Counter[str] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.transaction = transaction.atomic()
        self.transaction.__enter__()
        self.people = make_people()
        self.people.rolf = make_person("rolf", [(Role.REVIEWER, EVERYWHERE)])
        self.world = World(self.people)
        self.looked_at: set[str] = set()

    def teardown(self) -> None:
        try:
            assert verify().holds
        finally:
            transaction.set_rollback(True)
            self.transaction.__exit__(None, None, None)

    def does(self, service: Any, person: str, **values: Any) -> None:
        """An act of a person with the rights of now, refused or not."""
        try:
            with transaction.atomic(), self.world.at():
                service(actor=actor_for_user(getattr(self.people, person).user), **values)
        except DomainError:
            pass

    @property
    def newest(self) -> Release | None:
        rows = Release.objects.filter(kind="release").order_by("-created_at")
        return rows.select_related("approval", "policy__environment", "version", "endpoint__environment").first()

    @initialize(rules=st.sampled_from(RULES[1:]))
    def begins(self, rules: list[dict[str, Any]]) -> None:
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
        self.time_passes(5)

    @rule(changes=CHANGES)
    def policy_changes(self, changes: dict[str, Any]) -> None:
        self.does(policy_revise, "ada", environment=self.world.environment, **changes)

    @rule(version=st.integers(1, 3), person=st.sampled_from(["emma", "mona", "rita"]))
    def asks_for_a_release(self, version: int, person: str) -> None:
        try:
            with transaction.atomic():
                self.world.request(
                    version, actor=actor_for_user(getattr(self.people, person).user), strategy={"kind": "immediate"}
                )
        except DomainError:
            pass

    @rule(
        person=st.sampled_from(DECIDERS),
        kind=st.sampled_from(["approve", "approve", "approve", "reject", "request_changes", "take_back"]),
    )
    def decides(self, person: str, kind: str) -> None:
        if release := self.newest:
            self.does(release_decide, person, release=release, decision=kind, comment="so")

    @rule()
    def everybody_approves(self) -> None:
        for person in DECIDERS:
            self.decides(person, "approve")
        self.time_passes(2)

    @rule(person=st.sampled_from(DECIDERS), other=st.sampled_from(["rita", "oscar"]))
    def decides_for_another(self, person: str, other: str) -> None:
        if release := self.newest:
            self.does(release_decide, person, release=release, decision="approve", comment="so", on_behalf_of=other)

    @rule(person=st.sampled_from(["rita", "oscar"]), other=st.sampled_from(DECIDERS), hours=st.integers(1, 30))
    def delegates(self, person: str, other: str, hours: int) -> None:
        now = self.world.now
        self.does(
            delegation_give,
            person,
            delegate=other,
            scopes=[EVERYWHERE],
            starts_at=now,
            ends_at=now + timedelta(hours=hours),
            reason="away",
        )

    @rule()
    def delegations_end(self) -> None:
        for row in Delegation.objects.filter(ended_at=None).select_related("delegator"):
            self.does(delegation_end, row.delegator.username, delegation=row)

    @rule(person=st.sampled_from(DECIDERS), days=st.integers(1, 3))
    def waives(self, person: str, days: int) -> None:
        release = self.newest
        row = GateResult.objects.filter(gate=WAIVABLE, is_current=True).order_by("-id").first()
        if release and row and row.subject_id == str(release.pk):
            self.checks()
            row.refresh_from_db()
            self.does(
                waiver_give,
                person,
                subject=subject_of(release),
                case=case_of(release),
                row=row,
                finding=row.finding,
                reason="known",
                days=days,
            )

    @rule()
    def waivers_are_withdrawn(self) -> None:
        for waiver in Waiver.objects.filter(withdrawn_at=None).select_related("given_by"):
            if release := self.newest:
                self.does(
                    waiver_withdraw,
                    waiver.given_by.username,
                    subject=subject_of(release),
                    case=case_of(release),
                    waiver=waiver,
                    reason="no",
                )

    @rule(person=st.sampled_from([*DECIDERS, "ada"]))
    def uses_an_emergency(self, person: str) -> None:
        release = self.newest
        if release and release.approval:
            expects = release.approval.content_hash
            self.does(release_emergency, person, release=release, expects=expects, reason="fire", ticket="T-1")

    @rule(person=st.sampled_from(["rita", "oscar", "rolf"]))
    def loses_or_gets_the_role(self, person: str) -> None:
        user = getattr(self.people, person).user
        held = user.bindings.filter(ended_at=None).first()
        role = Role.RISK_OFFICER if person == "oscar" else Role.REVIEWER
        if held is not None:
            self.does(role_unbind, "ada", binding=held, reason="so")
        else:
            self.does(role_bind, "ada", user=user, role=role, scope=EVERYWHERE, reason="so", expires_at=None)

    @rule(is_wished=st.sampled_from([False, False, True]))
    def aborts(self, is_wished: bool) -> None:
        if is_wished and (release := self.newest):
            self.does(release_abort, "mona", release=release, reason="so")

    @rule(seconds=st.sampled_from([1, 5, 20]))
    def time_passes(self, seconds: int) -> None:
        for _ in range(seconds):
            self.world.tick()
            self.checks()

    @rule(hours=st.integers(1, 40))
    def much_time_passes(self, hours: int) -> None:
        self.world.now += timedelta(hours=hours)
        self.world.tick()
        self.checks()

    def checks(self) -> None:
        with self.world.at():
            gated = Release.objects.filter(status__in=sorted(GATED_STATUSES), kind="release")
            for pk in gated.values_list("pk", flat=True):
                release_check(release_id=str(pk), now=self.world.now)

    # what must hold

    @invariant()
    def what_begins_has_what_its_policy_asks_for(self) -> None:
        for release in Release.objects.filter(kind="release", status__in=BEGUN, started_at__isnull=False):
            if str(release.pk) in self.looked_at:
                continue
            self.looked_at.add(str(release.pk))  # at the first look after it began: later rights change nothing
            emergency = Emergency.objects.filter(request=release.approval).select_related("used_by").first()
            if emergency is not None:
                self.begun["emergency"] += 1
                assert release.policy.emergency_allowed
                assert emergency.used_by.username == "mona" or emergency.used_by.username == "oscar"
            else:
                self.begun["approved" if release.policy.approval_rules else "free"] += 1
                self.assert_approved(release)
            self.assert_gates(release)

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
            self.begun["waived"] += 1
            assert holding, row.sentence

    @invariant()
    def one_release_is_open(self) -> None:
        assert Release.objects.filter(kind="release", status__in=sorted(OPEN_STATUSES)).count() <= 1


@pytest.mark.parametrize("examples", [5, pytest.param(25, marks=pytest.mark.slow)])
def test_machine__governance__what_begins_has_what_its_policy_asks_for(db, data_dir, examples):
    GovernanceMachine.begun.clear()
    run_state_machine_as_test(
        GovernanceMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate,),
        ),
    )
    begun = GovernanceMachine.begun
    assert begun["approved"] > 0, begun  # or nothing was compared
    assert begun["waived"] > 0, begun
