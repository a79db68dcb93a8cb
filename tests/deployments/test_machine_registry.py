"""MLflow does anything, in any order with releases, restarts and rollbacks: only what was approved serves.

What was approved is written down by the test itself when a reviewer approves: the bytes that lay in the store then. It
is compared with the bytes that an agent, started afresh at every step, is told to load.
"""

from datetime import datetime, timedelta

import pytest
import time_machine
from django.db import transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from deployments.lifecycle import LIVE_STATUSES
from deployments.models import Endpoint, EndpointArm, Release, Replica
from deployments.platforms.local import goal_of
from deployments.services import (
    ReleaseCommand,
    endpoint_restore,
    endpoint_retire,
    endpoint_rollback,
    release_decide,
    release_request,
    serving_config_revise,
)
from deployments.services.checks import release_check
from deployments.services.emergency import release_emergency
from deployments.tasks import tick as deployments_tick
from mlorch_site.accounts.actor import Actor
from mlorch_site.audit.verification import verify
from mlorch_site.lib.errors import DomainError
from registry import artifacts
from registry import tasks as registry_tasks
from registry.backends.base import BackendRefused
from registry.backends.fake import FakeBackend
from registry.models import AliasIntent, BackendState, Version
from registry.services import digest_want, environment_create, sync_from_backend
from registry.services.sync import lease_release, lease_take
from tests.deployments.world import START, FakePlatform
from tests.factories import make_people

NAMES = ["tumours", "growths"]
NUMBERS = st.integers(1, 3)
LONGEST_S = 200
POLICIES = ["go_back", "hold", "go_on"]


class RegistryMachine(RuleBasedStateMachine):
    """MLflow's acts, people's acts and time. Every file that is ever registered has bytes of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.transaction = transaction.atomic()
        self.transaction.__enter__()
        FakeBackend.reset()
        self.people = make_people()
        self.now = START
        self.platform = FakePlatform()
        self.made = 0
        self.approved: dict[str, set[bytes]] = {}
        self.contents: dict[datetime, set[bytes]] = {}

    def teardown(self) -> None:
        try:
            self.ends()
        finally:
            transaction.set_rollback(True)
            self.transaction.__exit__(None, None, None)
            FakeBackend.reset()

    def ends(self) -> None:
        """Left alone, every rollout ends, and the record holds."""
        FakeBackend.down = False
        for _ in range(LONGEST_S):
            if not Release.objects.filter(status__in=LIVE_STATUSES).exists():
                break
            self.passes(1)
        assert not Release.objects.filter(status__in=LIVE_STATUSES).exists()
        assert verify().holds

    def content(self) -> bytes:
        self.made += 1
        return f"weights {self.made}".encode()

    def note(self, name: str, number: int) -> None:
        """Remember which bytes a version has ever had in MLflow, by the moment at which it was made."""
        made_at = FakeBackend._versions[name, number].created_at
        self.contents.setdefault(made_at, set()).add(FakeBackend._files[name, number]["weights"])

    def some(self, which: int) -> tuple[str, int]:
        """One of the versions that MLflow has now."""
        keys = sorted(FakeBackend._versions)
        return keys[which % len(keys)]

    def at(self):
        return time_machine.travel(self.now, tick=False)

    def passes(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += timedelta(seconds=1)
            with self.at():
                self.platform.sync(self.now)
                deployments_tick()
                for pk in Release.objects.filter(status="checking").values_list("pk", flat=True):
                    release_check(release_id=str(pk), now=self.now)
                self.platform.sync(self.now)

    def command(self, service, person: str = "mona", **values) -> None:
        try:
            with transaction.atomic(), self.at():
                service(actor=getattr(self.people, person).actor, **values)
        except DomainError:
            pass

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint.objects.select_related("environment", "model", "stable_release").get()

    @initialize(when=st.sampled_from(POLICIES))
    def begin(self, when):
        environment_create(
            actor=Actor.controller("test"),
            name="production",
            position=0,
            aliases=True,
            gates=["version_ready", "digest_known"],
            approval_rules=[{"role": "reviewer", "count": 1}],
            emergency_allowed=True,
            when_changed_outside=when,
        )
        for _ in range(2):
            self.registers("tumours")
        self.looks()
        self.requests(1)
        self.passes(2)
        self.approves()
        self.looks()
        self.passes(12)

    # MLflow

    @rule(name=st.sampled_from(NAMES))
    def registers(self, name):
        self.now += timedelta(seconds=1)
        with self.at():
            number = FakeBackend.add(name, files={"weights": self.content()})
        self.note(name, number)

    @precondition(lambda self: FakeBackend._versions)
    @rule(which=st.integers(0, 5))
    def deletes_version(self, which):
        FakeBackend.remove(*self.some(which))

    @rule(name=st.sampled_from(NAMES), again=st.integers(0, 2))
    def deletes_model_and_makes_it_again(self, name, again):
        if name in FakeBackend._models:
            FakeBackend.remove_model(name)
        for _ in range(again):
            self.registers(name)

    @rule()
    def swaps_or_renames(self):
        try:
            FakeBackend.rename("tumours", "between")
            FakeBackend.rename("growths", "tumours")
        except (BackendRefused, KeyError):
            pass
        if "between" in FakeBackend._models:
            FakeBackend.rename("between", "growths" if "growths" not in FakeBackend._models else "tumours")

    @precondition(lambda self: FakeBackend._versions)
    @rule(which=st.integers(0, 5), seen=st.booleans())
    def overwrites_files(self, which, seen):
        name, number = self.some(which)
        FakeBackend.change_file(name, number, "weights", self.content())
        self.note(name, number)
        if seen:
            self.looks_at_the_files_again()

    @rule(down=st.sampled_from([False, False, True]))
    def goes_away_or_returns(self, down):
        FakeBackend.down = down

    @precondition(lambda self: FakeBackend._versions and not FakeBackend.down)
    @rule(which=st.integers(0, 5))
    def moves_champion(self, which):
        name, number = self.some(which)
        FakeBackend().set_alias(name, "champion", number)

    # mlorch

    @rule()
    def looks(self):
        """The mirror, the digests and the aliases, each as far as the registry answers."""
        with self.at():
            if not FakeBackend.down:
                BackendState.objects.update(lease_until=None)
                epoch = lease_take(self.now)
                sync_from_backend(FakeBackend(), epoch=epoch, now=self.now)
                lease_release(epoch)
            for pk in Version.objects.filter(digest_due_at__lte=self.now).values_list("pk", flat=True):
                registry_tasks.digest_version(pk)
            for pk in AliasIntent.objects.filter(applied_at=None, due_at__lte=self.now).values_list("pk", flat=True):
                registry_tasks.apply_alias(pk)

    @rule()
    def looks_at_the_files_again(self):
        for version in Version.objects.filter(status="READY"):
            digest_want(version=version, now=self.now)
        self.looks()

    @rule(seconds=st.integers(1, 15))
    def time_passes(self, seconds):
        self.passes(seconds)

    @rule(number=NUMBERS)
    def requests(self, number):
        model = Endpoint.objects.first().model.name if Endpoint.objects.exists() else "tumours"
        plan = {"kind": "canary", "steps": [{"weight": 10, "bake_s": 3}]}
        command = ReleaseCommand(
            model=model, version=number, environment="production", endpoint="clinic", strategy=plan, guardrails=[]
        )
        self.command(release_request, "emma", command=command)

    @rule()
    def approves(self):
        for release in Release.objects.filter(status="awaiting_approval").select_related("version", "approval"):
            seen = (artifacts.path_of(release.digest) / "weights").read_bytes()
            self.command(release_decide, "rita", release=release, decision="approve")
            release.approval.refresh_from_db()
            if release.approval.status == "approved":
                self.approved.setdefault(str(release.endpoint_id), set()).add(seen)

    @rule()
    def uses_an_emergency(self):
        """What begins without approval is what was looked at, and nothing else, as with an approval."""
        for release in Release.objects.filter(status="awaiting_approval").select_related("version", "approval"):
            seen = (artifacts.path_of(release.digest) / "weights").read_bytes()
            expects = release.approval.content_hash
            values = {"expects": expects, "reason": "so", "ticket": "T-1"}
            self.command(release_emergency, "oscar", release=release, **values)
            release.approval.refresh_from_db()
            if release.approval.status == "bypassed":
                self.approved.setdefault(str(release.endpoint_id), set()).add(seen)

    @precondition(lambda self: Endpoint.objects.exists())
    @rule()
    def rolls_back(self):
        live = Release.objects.filter(status__in=LIVE_STATUSES).first() or self.endpoint.stable_release
        if live is not None:
            self.command(endpoint_rollback, endpoint=self.endpoint, expects=str(live.pk), reason="so")

    @precondition(lambda self: Endpoint.objects.exists())
    @rule(restore=st.booleans())
    def retires_or_restores(self, restore):
        if restore:
            self.command(endpoint_restore, endpoint=self.endpoint)
        else:
            expects = str(self.endpoint.stable_release_id or "")
            self.command(endpoint_retire, endpoint=self.endpoint, expects=expects, reason="so")

    @precondition(lambda self: Endpoint.objects.exists())
    @rule(timeout_ms=st.integers(100, 900))
    def revises_serving(self, timeout_ms):
        self.command(serving_config_revise, endpoint=self.endpoint, timeout_ms=timeout_ms)

    # what must hold

    @invariant()
    def an_agent_that_starts_afresh_loads_only_approved_files(self):
        wanted = Replica.objects.filter(wanted=True).select_related(
            "version__model", "endpoint__environment", "serving_config"
        )
        goals = goal_of(list(wanted)).replicas
        assert len(goals) == wanted.count(), "artifacts of a wanted replica are not in the store"
        for goal in goals:
            loaded = (artifacts.path_of(goal.digest) / "weights").read_bytes()
            assert loaded in self.approved[str(self.endpoint.pk)]
            assert artifacts.digest_of(artifacts.manifest_of(artifacts.path_of(goal.digest))) == goal.digest

    @invariant()
    def arms_serve_what_their_release_froze(self):
        for arm in EndpointArm.objects.select_related("release", "version"):
            assert arm.version_id == arm.release.version_id
            assert Replica.objects.filter(Replica.of(arm.release), wanted=True).exists()

    @invariant()
    def a_digest_is_never_that_of_a_namesake(self):
        for version in Version.objects.exclude(digest=""):
            content = (artifacts.path_of(version.digest) / "weights").read_bytes()
            assert content in self.contents[version.created_at]

    @invariant()
    def nothing_serves_on_a_retired_endpoint(self):
        for endpoint in Endpoint.objects.exclude(retired_at=None):
            assert not endpoint.arms.exists()


@pytest.mark.parametrize("examples", [6, pytest.param(25, marks=pytest.mark.slow)])
def test_machine__mlflow_does_anything__only_approved_files_serve(db, data_dir, examples):
    run_state_machine_as_test(
        RegistryMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate,),
        ),
    )
