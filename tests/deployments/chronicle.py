"""Acts of every kind on one endpoint, and after each what the selectors of the present say: what the past has to answer
for that instant later.
"""

import contextlib
from datetime import datetime, timedelta
from typing import Any

import time_machine

from deployments import selectors
from deployments.models import Endpoint, Release
from deployments.past.selectors import endpoint_past
from deployments.services import (
    endpoint_restore,
    endpoint_retire,
    endpoint_rollback,
    release_abort,
    release_decide,
    release_pause,
    release_promote,
    release_resume,
    serving_config_of,
    serving_config_revise,
)
from mlorch_site.lib import clock
from mlorch_site.lib.errors import DomainError
from registry import tasks
from registry.approvals.selectors import approval_progress, approving_decisions
from registry.backends.fake import FakeBackend
from registry.facts import model_then, versions_known
from registry.models import AliasIntent, BackendState, Finding, Model, Version
from registry.selectors import current_policy, open_findings
from registry.services import finding_resolve, model_edit, policy_revise, sync_from_backend
from registry.services.sync import lease_take
from tests.deployments.world import CANARY, GUARDRAILS, START, World

MODEL = "scans"
SHADOW = {"kind": "shadow", "bake_s": 3, "min_agreement": 50, "steps": [{"weight": 50, "bake_s": 2}]}
RULES = [{"role": "reviewer", "count": 1}]


def present(endpoint: Endpoint, model: Model) -> dict[str, Any]:
    """What is the case now, as the selectors and rows of the present say it."""
    open_ones = [row for row in endpoint.releases.all() if row.is_open]
    served = [arm.release for arm in endpoint.arms.select_related("release")]
    findings = open_findings(model).values_list("summary", flat=True)
    return {
        "arms": [
            (arm.arm, arm.version_id, str(arm.release_id), arm.release.digest, arm.weight_pct, arm.mirror_pct)
            for arm in endpoint.arms.select_related("release").order_by("pk")
        ],
        "stable": str(endpoint.stable_release_id) if endpoint.stable_release_id else None,
        "retired": endpoint.retired_at is not None,
        "open": {str(row.pk): row.status for row in open_ones},
        "approved": {str(row.pk): _approved(row) for row in (*open_ones, *served)},
        "reports": {str(row.pk): hasattr(row, "report") for row in served},
        "policy": current_policy(endpoint.environment).revision,
        "config": serving_config_of(endpoint).revision,
        "tier": (model.risk_tier, model.owner),
        "aliases": dict(model.aliases.order_by("name").values_list("name", "version_number")),
        "versions": {row.pk: (row.number, row.status, row.digest) for row in model.versions.filter(superseded_at=None)},
        "findings": sorted(findings),
    }


def _approved(release: Release) -> tuple[list[str], bool]:
    request = selectors.original_of(release).approval
    if request is None:
        return [], False
    return sorted(one.person.username for one in approving_decisions(request)), approval_progress(request).met


def past(world: World, instant: datetime) -> dict[str, Any]:
    """The same, as the past answers it for an instant."""
    endpoint, model = world.endpoint, Model.objects.get(name=MODEL)
    was = endpoint_past(endpoint, instant)
    then = model_then(model, instant, list(versions_known(model, instant)))
    stood = was.standing
    return {
        "arms": [
            (arm.arm, arm.version.pk, str(arm.brought_by.release.pk), arm.digest, arm.weight_pct, arm.mirror_pct)
            for arm in stood.arms
        ],
        "stable": str(stood.stable.release.pk) if stood.stable else None,
        "retired": stood.retired_at is not None,
        "open": {str(one.release.pk): one.status for one in stood.open},
        "approved": {
            str(one.release.pk): (sorted(given.person.username for given in one.approved_by), _is_met(one.approval))
            for one in (*stood.open, *(arm.brought_by for arm in stood.arms))
        },
        "reports": {str(arm.brought_by.release.pk): arm.brought_by.report is not None for arm in stood.arms},
        "policy": was.policy.revision if was.policy else None,
        "config": was.config.revision if was.config else None,
        "tier": (then.risk_tier, then.owner),
        "aliases": then.aliases,
        "versions": {key: (row.version.number, row.status, row.digest or "") for key, row in then.versions.items()},
        "findings": sorted(finding.summary for finding in was.findings),
    }


def _is_met(sentence: str) -> bool:
    return "Every rule" in sentence or "nobody's" in sentence


def mirror() -> None:
    """Let the mirror, the digests and the aliases follow MLflow."""
    now = clock.now()
    BackendState.objects.update(lease_until=None)
    sync_from_backend(FakeBackend(), epoch=lease_take(now) or 0, now=now)
    for pk in Version.objects.exclude(digest_due_at=None).values_list("pk", flat=True):
        tasks.digest_version(pk)
    for pk in AliasIntent.objects.filter(applied_at=None).values_list("pk", flat=True):
        tasks.apply_alias(pk)


class Chronicle:
    """A world whose model comes out of MLflow, acts on it by name, and what was the case after each of them."""

    def __init__(self, people: Any) -> None:
        FakeBackend.reset()
        with time_machine.travel(START, tick=False):
            self.world = World(people)
        self.people = people
        self.told: list[tuple[datetime, dict[str, Any]]] = []
        for _ in range(3):
            FakeBackend.add(MODEL)
        self._mirror()
        self.act("release_at_once")
        self.act("wait")

    def act(self, name: str) -> None:
        """Do one thing at this instant, unless it cannot be done now, and keep what is the case; then time goes on."""
        with self.world.at(), contextlib.suppress(DomainError):
            getattr(self, name)()
        self._keep()
        self.world.now += timedelta(milliseconds=300)
        self._keep()
        self.world.now += timedelta(milliseconds=400)

    def _keep(self) -> None:
        with self.world.at():
            self.told.append((self.world.now, present(self.endpoint, self.model)))

    @property
    def edges(self) -> list[tuple[datetime, dict[str, Any]]]:
        """What was told just before and at each change: in between nothing else was told."""
        answers = [None, *(was for _, was in self.told), None]
        beside = zip(self.told, answers, answers[2:], strict=False)
        return [told for told, before, after in beside if before != told[1] or told[1] != after]

    @property
    def endpoint(self) -> Endpoint:
        return self.world.endpoint

    @property
    def model(self) -> Model:
        return Model.objects.get(name=MODEL)

    def _newest(self, status: str = "") -> Release:
        rows = self.endpoint.releases.filter(status=status) if status else self.endpoint.releases.all()
        found = rows.order_by("-created_at").first()
        if found is None:
            raise DomainError("There is no such release.")
        return found

    def _mirror(self) -> None:
        with self.world.at():
            mirror()
        self.world.model = self.model

    def _request(self, strategy: dict[str, Any], guardrails: list[dict[str, Any]]) -> None:
        """Request the version that does not serve."""
        served = set(Endpoint.objects.values_list("stable_release__version__number", flat=True))
        self.world.request(2 if served == {1} else 1, strategy=strategy, guardrails=guardrails)

    def release_at_once(self) -> None:
        self._request({"kind": "immediate"}, [])

    def release_canary(self) -> None:
        self._request(CANARY, GUARDRAILS)

    def release_shadow(self) -> None:
        self._request(SHADOW, [])

    def release_blue_green(self) -> None:
        self._request({"kind": "blue_green", "bake_s": 2}, [])

    def approve(self) -> None:
        self._decide("approve")

    def reject(self) -> None:
        self._decide("reject")

    def _decide(self, decision: str) -> None:
        release = self._newest("awaiting_approval")
        release_decide(actor=self.people.rita.actor, release=release, decision=decision, comment="looked at it")

    def wait(self) -> None:
        self._wait(12)

    def wait_shortly(self) -> None:
        self._wait(3)

    def _wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.world.tick()
            self._keep()

    def harm(self) -> None:
        """The newest release answers with errors from now on, or does not any more."""
        number = str(self._newest().version.number)
        self.world.errors = {} if self.world.errors else {number: 0.9}

    def pause(self) -> None:
        release_pause(actor=self.people.mona.actor, release=self._newest("rolling_out"))

    def resume(self) -> None:
        release_resume(actor=self.people.mona.actor, release=self._newest("paused"))

    def promote(self) -> None:
        release_promote(actor=self.people.mona.actor, release=self._newest("rolling_out"), reason="it is urgent")

    def abort(self) -> None:
        release_abort(actor=self.people.mona.actor, release=self._newest(), reason="not wanted")

    def roll_back(self) -> None:
        taken = selectors.live_release(self.endpoint) or self.endpoint.stable_release
        expects = str(taken.pk) if taken else ""
        endpoint_rollback(actor=self.people.mona.actor, endpoint=self.endpoint, expects=expects, reason="worse")

    def retire(self) -> None:
        expects = str(self.endpoint.stable_release_id or "")
        endpoint_retire(actor=self.people.mona.actor, endpoint=self.endpoint, expects=expects, reason="unused")

    def restore(self) -> None:
        endpoint_restore(actor=self.people.mona.actor, endpoint=self.endpoint)

    def revise_config(self) -> None:
        timeout_ms = serving_config_of(self.endpoint).timeout_ms + 1
        serving_config_revise(actor=self.people.mona.actor, endpoint=self.endpoint, timeout_ms=timeout_ms)

    def revise_policy(self) -> None:
        rules = [] if current_policy(self.world.environment).approval_rules else RULES
        policy_revise(actor=self.people.ada.actor, environment=self.world.environment, approval_rules=rules)

    def edit_model(self) -> None:
        tier = "high" if self.model.risk_tier == "moderate" else "moderate"
        model_edit(actor=self.people.ada.actor, model=self.model, owner=f"owner of {tier}", risk_tier=tier)

    def make_again(self) -> None:
        """The model is deleted in MLflow, and made again with the same numbers and other files."""
        FakeBackend.remove_model(MODEL)
        for _ in range(3):
            FakeBackend.add(MODEL, files={"made": str(self.world.now).encode()})
        self._mirror()

    def remove_version(self) -> None:
        if (MODEL, 3) in FakeBackend._versions:
            FakeBackend.remove(MODEL, 3)
            self._mirror()

    def change_files(self) -> None:
        FakeBackend.change_file(MODEL, 2, "weights", str(self.world.now).encode())
        Version.objects.filter(model=self.model, number=2, superseded_at=None).update(digest_due_at=clock.now())
        self._mirror()

    def change_status(self) -> None:
        before = FakeBackend._versions[MODEL, 2].status
        FakeBackend.change(MODEL, 2, status="PENDING_REGISTRATION" if before == "READY" else "READY")
        self._mirror()

    def move_alias(self) -> None:
        FakeBackend().set_alias(MODEL, "champion", 1 + FakeBackend.aliases(MODEL).get("champion", 0) % 2)
        self._mirror()

    def follow(self) -> None:
        self._mirror()

    def resolve(self) -> None:
        finding = Finding.objects.filter(model=self.model, resolved_at=None).first()
        if finding is not None:
            finding_resolve(actor=self.people.ada.actor, finding=finding, how="note")


ACTS = [
    name for name, value in vars(Chronicle).items() if callable(value) and not name.startswith("_") and name != "act"
]
