"""The rollout machine under any order of commands, failures and time: what must hold after every step."""

import pytest
import time_machine
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from deployments.lifecycle import ENDED_STATUSES, LIVE_STATUSES
from deployments.models import Endpoint, Release, ReplicaState, Rollout, RouteTable
from deployments.selectors import live_release
from deployments.services import endpoint_rollback, release_abort, release_pause, release_promote, release_resume
from mlorch_site.audit.verification import verify
from mlorch_site.lib.errors import DomainError
from registry.models import Policy
from tests.deployments.world import CANARY, World
from tests.factories import make_people

SHADOW = {"kind": "shadow", "bake_s": 8, "min_agreement": 50, "steps": [{"weight": 50, "bake_s": 4}]}
LINEAR = {"kind": "linear", "step_pct": 50, "bake_s": 2}
PLANS = [CANARY, LINEAR, SHADOW, {"kind": "blue_green", "bake_s": 5}, {"kind": "immediate"}, {**CANARY, "hold": True}]
LONGEST_S = 400


class Machine(RuleBasedStateMachine):
    """Commands of people, failures of replicas and gateways, and seconds that pass, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.transaction = transaction.atomic()
        self.transaction.__enter__()
        self.world = World(make_people())
        self.closed_at = None

    def teardown(self) -> None:
        try:
            self.ends()
        finally:
            transaction.set_rollback(True)
            self.transaction.__exit__(None, None, None)

    def ends(self) -> None:
        """Left alone with a gateway that answers and an environment that is open, every rollout ends."""
        self.world.platform.online = True
        self.closes(False)
        for release in Release.objects.filter(status="paused"):
            self.command(release_resume, release=release)
        for _ in range(LONGEST_S):
            waiting = Release.objects.filter(status__in=LIVE_STATUSES).exclude(rollout__phase="holding")
            if not waiting.exists():
                break
            self.world.tick()
        assert not waiting.exists(), waiting[0].rollout.waiting_for
        assert verify().holds

    def command(self, service, **values) -> None:
        try:
            with transaction.atomic(), time_machine.travel(self.world.now, tick=False):
                service(actor=self.world.people.mona.actor, **values)
        except DomainError:
            pass

    @initialize()
    def serve(self):
        self.world.serve(1)

    @rule(version=st.integers(1, 3), plan=st.sampled_from(PLANS))
    def request(self, version, plan):
        try:
            with transaction.atomic():
                self.world.request(version, strategy=plan)
        except DomainError:
            pass

    @rule(seconds=st.sampled_from([1, 4, 8, 30]))
    def wait(self, seconds):
        self.world.tick(seconds)

    @rule(version=st.sampled_from(["1", "2", "3"]), share=st.sampled_from([0.0, 0.9]))
    def errors(self, version, share):
        self.world.errors = {version: share}

    @rule(rate=st.sampled_from([0, 60]))
    def traffic(self, rate):
        self.world.rate = rate

    @rule(online=st.booleans())
    def gateway(self, online):
        self.world.platform.online = online

    @rule(version=st.integers(1, 3), state=st.sampled_from(["ready", "backoff", "failed"]))
    def replica(self, version, state):
        self.world.platform.broken = {} if state == "ready" else {version: state}

    @rule(version=st.integers(1, 3), times=st.sampled_from([0, 0, 2]))
    def ejected(self, version, times):
        self.world.platform.ejected = {version: times}

    @rule(closed=st.sampled_from([True, True, False]), seconds=st.sampled_from([0, 20]))
    def closes(self, closed, seconds=0):
        """A freeze that holds what runs; how far each rollout had come then is kept."""
        start = f"{self.world.now:%Y-%m-%dT%H:%M:%S}"
        window = {"kind": "freeze", "name": "Stocktaking", "zone": "UTC", "starts": start, "minutes": 600}
        Policy.objects.update(when_closed="hold", windows=[window] if closed else [])
        live = Rollout.objects.filter(release__status__in=LIVE_STATUSES, release__kind="release")
        self.closed_at = {row.release_id: row for row in live} if closed else None
        self.world.tick(seconds)

    @rule(version=st.integers(2, 3))
    def closes_on_a_rollout(self, version):
        """Where chance alone would seldom close: on a rollout that has its first share of traffic."""
        self.closes(False)
        self.request(version, CANARY)
        self.wait(4)
        self.closes(True, 20)

    @precondition(lambda self: Release.objects.filter(status__in=LIVE_STATUSES).exists())
    @rule(service=st.sampled_from([release_pause, release_resume, release_abort]), twice=st.booleans())
    def control(self, service, twice):
        for _ in range(1 + twice):
            self.command(service, release=Release.objects.order_by("-created_at")[0], reason="so")

    @precondition(lambda self: Release.objects.filter(status__in=LIVE_STATUSES).exists())
    @rule()
    def promote(self):
        self.command(release_promote, release=Release.objects.order_by("-created_at")[0], reason="so")

    @precondition(lambda self: Endpoint.objects.exists())
    @rule()
    def rollback(self):
        endpoint = self.world.endpoint
        shown = live_release(endpoint) or endpoint.stable_release
        expects = str(shown.pk) if shown else ""
        self.command(endpoint_rollback, endpoint=endpoint, expects=expects, reason="so")

    @invariant()
    def weights_sum_to_100_and_name_known_replicas(self):
        for entry in self.newest():
            assert sum(arm["weight_pct"] for arm in entry["arms"]) == 100
            for arm in entry["arms"]:
                assert arm["replicas"] or not arm["weight_pct"]
                states = ReplicaState.objects.in_bulk([row["id"] for row in arm["replicas"]])
                assert all(state.ready_at is not None for state in states.values())

    @invariant()
    def while_closed_no_traffic_moves_to_a_candidate(self):
        if self.closed_at is None:
            return
        for rollout in Rollout.objects.filter(release__status__in=LIVE_STATUSES, release__kind="release"):
            assert rollout.release_id in self.closed_at
            assert rollout.weight_pct <= self.closed_at[rollout.release_id].weight_pct
        for rollout in self.closed_at.values():
            was_promoting = rollout.phase in ("promoting", "reverting")
            assert was_promoting or Release.objects.get(pk=rollout.release_id).status != "succeeded"

    @invariant()
    def one_rollout_at_a_time(self):
        assert Release.objects.filter(status__in=LIVE_STATUSES).count() <= 1

    @invariant()
    def what_went_back_has_no_route(self):
        gone = Release.objects.filter(status__in=ENDED_STATUSES).exclude(status="succeeded")
        ended = {str(pk) for pk in gone.values_list("pk", flat=True)}
        for entry in self.newest():
            assert not ended & {arm["release"] for arm in entry["arms"]}

    @invariant()
    def at_rest_one_stable_arm_serves_the_stable_release(self):
        if Release.objects.filter(status__in=LIVE_STATUSES).exists() or not Release.objects.filter(status="succeeded"):
            return
        endpoint = self.world.endpoint
        assert [(arm.arm, arm.weight_pct) for arm in endpoint.arms.all()] == [("stable", 100)]
        assert endpoint.arms.get().release_id == endpoint.stable_release_id

    @invariant()
    def every_ended_release_has_a_report(self):
        assert not Release.objects.filter(status__in=ENDED_STATUSES, report=None).exists()

    def newest(self) -> list[dict]:
        table = RouteTable.objects.order_by("-revision").first()
        return list(table.document["endpoints"].values()) if table else []


def _abort(machine: Machine) -> None:
    machine.request(2, CANARY)
    machine.control(release_abort, False)


def _fail(machine: Machine) -> None:
    machine.replica(2, "failed")
    machine.request(2, CANARY)


def _harm(machine: Machine) -> None:
    machine.errors("2", 0.9)
    machine.request(2, SHADOW)


WALKS = {
    "succeeded": lambda machine: machine.request(2, SHADOW),
    "rolled_back": _harm,
    "aborted": _abort,
    "failed": _fail,
}


@pytest.mark.parametrize("examples", [10, pytest.param(40, marks=pytest.mark.slow)])
def test_machine__any_order_of_commands_and_failures__invariants_hold(db, examples):
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        ),
    )


def test_machine__its_own_rules__lead_to_every_end(db):
    """A machine whose rules move nothing would prove nothing."""
    for status, walk in WALKS.items():
        machine = Machine()
        try:
            machine.serve()
            walk(machine)
            machine.wait(1)
            machine.ends()
            assert Release.objects.latest("created_at").status == status
        finally:
            machine.teardown()
