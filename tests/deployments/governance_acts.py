"""What anybody does about policies, requests, decisions, delegations, waivers, freezes and emergencies, in any order.

`test_machine_governance.py` says what must hold.
"""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from deployments.gate_cases import case_of, subject_of
from deployments.lifecycle import GATED_STATUSES
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
from registry.approvals.reviews import review_close
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


class GovernanceActs(RuleBasedStateMachine):
    """One endpoint, five people, and time.

    `met` counts what happened over all runs: what began, by approval, without anybody who had to approve, with a
    delegated voice, with a waiver, in an emergency, after a freeze; what waited for the end of one, and what did not
    begin for a waiver that was over; the acts, and the reviews that were closed.
    """

    met: Counter[str] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.transaction = transaction.atomic()
        self.transaction.__enter__()
        self.people = make_people()
        self.people.rolf = make_person("rolf", [(Role.ENGINEER, EVERYWHERE), (Role.REVIEWER, EVERYWHERE)])
        self.world = World(self.people)
        self.looked_at: set[str] = set()
        self.waited: set[str] = set()  # releases that nothing but a freeze held
        self.freeze: tuple[datetime, datetime] | None = None
        self.reviewers: dict[str, str] = {}  # emergency → who closed its review

    def teardown(self) -> None:
        try:
            assert verify().holds
        finally:
            transaction.set_rollback(True)
            self.transaction.__exit__(None, None, None)

    def does(self, service: Any, person: str, **values: Any) -> bool:
        """An act of a person with the rights of now, and whether it was not refused."""
        self.met["acts"] += 1
        try:
            with transaction.atomic(), self.world.at():
                service(actor=actor_for_user(getattr(self.people, person).user), **values)
        except DomainError:
            return False
        return True

    @property
    def newest(self) -> Release | None:
        rows = Release.objects.filter(kind="release").order_by("-created_at")
        return rows.select_related("approval", "policy__environment", "version", "endpoint__environment").first()

    @property
    def another(self) -> int:
        """A version that does not serve."""
        stable = Release.objects.filter(kind="release", status="succeeded").order_by("-ended_at").first()
        return stable.version.number % 3 + 1 if stable else 1

    @rule(hours=st.integers(1, 30))
    def freezes(self, hours: int) -> None:
        starts = self.world.now.replace(second=0, microsecond=0)
        window = {"kind": "freeze", "name": "freeze", "zone": "UTC", "minutes": hours * 60}
        window["starts"] = starts.strftime("%Y-%m-%dT%H:%M")
        if self.does(policy_revise, "ada", environment=self.world.environment, windows=[window]):
            self.freeze = (self.world.now, starts + timedelta(hours=hours))

    @rule()
    def thaws(self) -> None:
        if self.does(policy_revise, "ada", environment=self.world.environment, windows=[]):
            self.freeze = None

    @rule(person=st.sampled_from([*DECIDERS, "ada"]))
    def closes_a_review(self, person: str) -> None:
        for used in Emergency.objects.filter(closed_at=None):
            if self.does(review_close, person, used=used, finding="looked"):
                self.reviewers[str(used.pk)] = person

    @rule(changes=CHANGES)
    def policy_changes(self, changes: dict[str, Any]) -> None:
        self.does(policy_revise, "ada", environment=self.world.environment, **changes)

    @rule(version=st.integers(1, 3), person=st.sampled_from(["emma", "mona", "rolf"]))
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
        self.notes_what_waits()

    @rule(hours=st.integers(1, 40))
    def much_time_passes(self, hours: int) -> None:
        self.world.now += timedelta(hours=hours)
        self.world.tick()
        self.checks()
        self.notes_what_waits()

    def checks(self) -> None:
        with self.world.at():
            gated = Release.objects.filter(status__in=sorted(GATED_STATUSES), kind="release")
            for pk in gated.values_list("pk", flat=True):
                release_check(release_id=str(pk), now=self.world.now)

    def notes_what_waits(self) -> None:
        """For the end of a freeze; and what does not begin, because the waiver that it had is over."""
        over = Waiver.objects.filter(expires_at__lte=self.world.now).values("finding")
        waiting = GateResult.objects.filter(is_current=True, finding__in=over, outcome="fail").values("subject_id")
        rests = Release.objects.filter(started_at=None, pk__in=[UUID(row["subject_id"]) for row in waiting])
        self.met["waiver over"] += rests.count()
        if self.freeze is None or not self.freeze[0] <= self.world.now < self.freeze[1]:
            return
        for release in Release.objects.filter(kind="release", status__in=["approved", "in_emergency"]):
            self.met["frozen"] += str(release.pk) not in self.waited
            self.waited.add(str(release.pk))
