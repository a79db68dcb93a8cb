"""A small world for rollouts: environments, a model with three versions, and the fake platform, with time as a
variable.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import time_machine

from deployments import tasks
from deployments.models import Endpoint, Release, Rollout
from deployments.platforms.fake import FakePlatform
from deployments.services import ReleaseCommand, release_request
from deployments.services.checks import release_check
from mlorch_site.accounts.actor import Actor
from monitoring.models import Window
from registry import artifacts
from registry.models import ArtifactSet, Environment, Model, Version
from registry.services import environment_create

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
CANARY = {"kind": "canary", "steps": [{"weight": 10, "bake_s": 10, "min_requests": 20}, {"weight": 50, "bake_s": 10}]}
GUARDRAILS = [{"metric": "error_rate", "margin": 0.1}]


def make_model(name: str = "tumours", versions: int = 3) -> Model:
    """A model with versions whose artifacts are in the store: use the fixture `data_dir` with it."""
    model = Model.objects.create(name=name, created_at=START, updated_at=START)
    for number in range(1, versions + 1):
        digest = f"sha256:{number:064d}"
        Version.objects.create(
            model=model,
            number=number,
            status="READY",
            digest=digest,
            digest_status="computed",
            digest_looked_at=START + timedelta(days=365),
            created_at=START,
            updated_at=START,
        )
        ArtifactSet.objects.get_or_create(digest=digest, defaults={"taken_in_at": START})
        artifacts.path_of(digest).mkdir(parents=True, exist_ok=True)
    return model


@dataclass
class World:
    """`tick` moves the clock on by a second at a time, with the platform and the engine looking once each.

    `errors` maps a version to its share of failed requests, `agreeing` to the share of its mirrored answers that agree
    (1 unless told), `skew` to the percent of the traffic it gets whatever its weight says; `chosen` requests a second
    go where the route table wants them.
    """

    people: Any
    rules: list[dict[str, Any]] = field(default_factory=list)
    guardrails_required: bool = False
    now: datetime = START
    errors: dict[str, float] = field(default_factory=dict)
    agreeing: dict[str, float] = field(default_factory=dict)
    skew: dict[str, int] = field(default_factory=dict)
    slow_ms: float = 0.0
    chosen: int = 0
    rate: int = 60
    platform: FakePlatform = field(default_factory=FakePlatform)

    def __post_init__(self) -> None:
        self.environment: Environment = environment_create(
            actor=Actor.controller("test"),
            name="production",
            position=0,
            aliases=True,
            gates=["version_ready"],
            approval_rules=self.rules,
            guardrails_required=self.guardrails_required,
            judge_deadline_s=60,
        )
        self.model = make_model()

    def request(self, version: int, *, actor: Actor | None = None, **changes: Any) -> Release:
        """Request a release and let its gates run."""
        values = {"strategy": CANARY, "guardrails": GUARDRAILS, "reason": "better", **changes}
        command = ReleaseCommand(
            model=self.model.name, version=version, environment="production", endpoint="clinic", **values
        )
        with time_machine.travel(self.now, tick=False):
            release = release_request(actor=actor or self.people.emma.actor, command=command)
            release_check(release_id=str(release.pk), now=self.now)
        return Release.objects.get(pk=release.pk)

    def tick(self, seconds: int = 1) -> None:
        for _ in range(seconds):
            self.now += timedelta(seconds=1)
            with time_machine.travel(self.now, tick=False):
                self.platform.sync(self.now)
                self._traffic()
                tasks.tick()
                self.platform.sync(self.now)

    def at(self) -> Any:
        """The context in which the clock stands at `now`."""
        return time_machine.travel(self.now, tick=False)

    def until(self, release: Release, status: str, *, most_s: int = 200) -> Release:
        for _ in range(most_s):
            release.refresh_from_db()
            if release.status == status:
                return release
            self.tick()
        rollout = Rollout.objects.filter(release=release).first()
        raise AssertionError(f"{release.status}: {release.status_reason}; {rollout and rollout.waiting_for}")

    def serve(self, version: int = 1) -> Release:
        """Bring a first version to all traffic."""
        release = self.request(version, strategy={"kind": "immediate"})
        return self.until(release, "succeeded")

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint.objects.select_related("environment", "model", "stable_release").get(name="clinic")

    @property
    def weights(self) -> dict[str, int]:
        return self.platform.weights("production", "clinic")

    def _traffic(self) -> None:
        """Store one second of windows as the gateway would push them, split by the weights it obeys."""
        entry = self.platform.tables.get("production", {}).get("endpoints", {}).get("clinic")
        if entry and self.chosen and "targets" in entry:
            self._chosen(next(arm for arm in entry["arms"] if arm["arm"] == entry["targets"]["arm"]))
        for arm in entry["arms"] if entry else []:
            mirrored = arm.get("mirror_pct", 0)
            requests = self.rate * (mirrored or self.skew.get(arm["version"], arm["weight_pct"])) // 100
            bad = int(requests * self.errors.get(arm["version"], 0.0))
            compared = requests - bad if mirrored else 0
            if requests:
                Window.objects.create(
                    environment="production",
                    endpoint="clinic",
                    arm="shadow" if mirrored else arm["arm"],
                    version=int(arm["version"]),
                    release=arm["release"],
                    gateway="fake-gateway",
                    start=self.now,
                    requests=requests,
                    ok=requests - bad,
                    server_errors=bad,
                    drawn=0 if mirrored else requests,
                    compared=compared,
                    agreed=round(compared * self.agreeing.get(arm["version"], 1.0)),
                    latency={"zero": requests, "buckets": {}, "sum_ms": 0.0, "max_ms": self.slow_ms},
                )

    def _chosen(self, arm: dict[str, Any]) -> None:
        bad = int(self.chosen * self.errors.get(arm["version"], 0.0))
        Window.objects.create(
            environment="production",
            endpoint="clinic",
            arm="targeted",
            version=int(arm["version"]),
            release=arm["release"],
            gateway="fake-gateway",
            start=self.now,
            requests=self.chosen,
            ok=self.chosen - bad,
            server_errors=bad,
            latency={"zero": self.chosen, "buckets": {}, "sum_ms": 0.0, "max_ms": self.slow_ms},
        )
