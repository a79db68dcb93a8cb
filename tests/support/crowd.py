"""Rows in number, written straight into the tables: what lists show when there is much of it."""

from datetime import timedelta
from itertools import count
from typing import Any

from deployments import journal
from deployments.models import Endpoint, EndpointArm, GatewayKey, Release, Rollout, ServingConfig, TrafficChange
from mlorch_site.accounts.models import ApiToken, RoleBinding, User
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.hashing import content_hash
from monitoring.models import Alert, AlertRule, Objective, ObjectiveStanding, RuleStanding, Window
from registry.lifecycle import FactKind
from registry.models import Alias, ApprovalRequest, Decision, Environment, Finding, Model, Policy, Version
from registry.services.facts import facts_note

NUMBERS = count(1)
RULES = [{"role": "reviewer", "count": 1}, {"role": "risk_officer", "count": 1}]
LATENCY = {"zero": 3, "buckets": {}, "sum_ms": 0.0, "max_ms": 0.0}


def add(people: Any, environment: Environment, how_many: int) -> None:
    """Add that many models, each with versions, alias, finding, endpoint, releases in every list, approvals, windows,
    keys and tokens.
    """
    for _ in range(how_many):
        _add_one(people, environment, next(NUMBERS))


def add_people(environment: Environment, how_many: int) -> None:
    """Add that many people, each with a role of today and one of the past."""
    for _ in range(how_many):
        user = User.objects.create(username=f"person-{next(NUMBERS):03}")
        for scope, ended_at in ((environment.scope, None), ("*", clock.now())):
            RoleBinding.objects.create(user=user, role="viewer", scope=scope, ended_at=ended_at, given_by=user)


def add_bindings(user: Any, how_many: int) -> None:
    """Add that many roles of today and of the past, for models of the crowd."""
    for name in Model.objects.values_list("name", flat=True)[:how_many]:
        for ended_at in (None, clock.now()):
            RoleBinding.objects.get_or_create(
                user=user, role="reviewer", scope=f"model:{name}", ended_at=ended_at, defaults={"given_by": user}
            )


def _add_one(people: Any, environment: Environment, number: int) -> None:
    now = clock.now()
    model = Model.objects.create(name=f"model-{number:03}", created_at=now, updated_at=now)
    old, new = (
        Version.objects.create(model=model, number=n, status="READY", created_at=now, updated_at=now) for n in (1, 2)
    )
    Alias.objects.create(model=model, name="champion", version_number=1, seen_at=now)
    Finding.objects.create(model=model, kind="alias_moved", summary="moved", data={"alias": "champion"}, found_at=now)
    endpoint = Endpoint.objects.create(environment=environment, name=f"e-{number:03}", model=model, created_at=now)
    ServingConfig.objects.create(endpoint=endpoint, revision=1, created_at=now)
    stable = _release(people, endpoint, old, "succeeded", ended_at=now)
    _release(people, endpoint, old, "rolled_back", ended_at=now, replaces=stable)
    paused = _release(people, endpoint, new, "paused", replaces=stable, kind="rollback")
    Rollout.objects.create(release=paused, phase="baking", step=1, began_at=now, step_began_at=now)
    waiting = _release(people, endpoint, new, "awaiting_approval", approval=_approval(people, endpoint, number))
    Endpoint.objects.filter(pk=endpoint.pk).update(stable_release=stable)
    for arm, release, weight in (("stable", stable, 90), ("candidate", paused, 10)):
        EndpointArm.objects.create(
            endpoint=endpoint, arm=arm, version=release.version, release=release, weight_pct=weight
        )
        _window(endpoint, arm, release)
    journal.write_traffic(endpoint, "90 % and 10 %", actor=people.mona.actor, now=now, release=paused)
    for version in (old, new):
        facts_note(model, {FactKind.STATUS: "READY", FactKind.DIGEST: "sha256:1"}, version=version)
    add_alert(endpoint, "Slow.")
    GatewayKey.objects.create(name="app", prefix="mlk_", digest=f"k{number}", created_at=now)
    ApiToken.objects.create(user=people.mona.user, name="ci", prefix="mlo_", digest=f"t{number}", created_at=now)
    audit_record(people.mona.actor, "release.requested", Subject("release", str(waiting.pk), str(waiting)))


def add_alert(endpoint: Endpoint, sentence: str) -> Alert:
    """An objective of the endpoint, and a rule of it that fires."""
    now = clock.now()
    place = {"environment": endpoint.environment, "model": endpoint.model, "endpoint": endpoint.name}
    objective = Objective.objects.create(
        **place, kind="latency", slo_ms=100, target_pct=95, created_at=now, created_by="emma"
    )
    ObjectiveStanding.objects.create(objective=objective, at=now)
    rule = AlertRule.objects.create(**place, objective=objective, kind="burn_fast", created_at=now, created_by="emma")
    alert = Alert.objects.create(rule=rule, fired_at=now, sentence=sentence)
    RuleStanding.objects.create(rule=rule, state="firing", since=now, alert=alert, sentence=sentence, due_at=now)
    return alert


def add_changes(endpoint: Endpoint, how_many: int) -> None:
    """Add that many changes of an endpoint's traffic, and as many versions of its model."""
    now = clock.now()
    stands = {"arms": endpoint.traffic_changes.all()[0].arms, "actor": "rollout", "sentence": "25 %"}
    for number in range(how_many):
        TrafficChange.objects.create(endpoint=endpoint, at=now, route_revision=number, **stands)
        version = Version.objects.create(
            model=endpoint.model, number=10 + number, status="READY", created_at=now, updated_at=now
        )
        facts_note(endpoint.model, {FactKind.STATUS: "READY"}, version=version)


def approve_moving(people: Any) -> None:
    """Give every release that moves traffic an approval of its own that was given."""
    for release in Release.objects.filter(status="paused", approval=None).select_related("endpoint__environment"):
        release.approval = _approval(people, release.endpoint, next(NUMBERS))
        release.save()
    ApprovalRequest.objects.filter(release__status="paused").update(status="approved")


def _release(people: Any, endpoint: Endpoint, version: Version, status: str, **fields: Any) -> Release:
    return Release.objects.create(
        endpoint=endpoint,
        version=version,
        requester=people.emma.user,
        strategy={"kind": "immediate"},
        plan={"steps": [{"kind": "start"}, {"kind": "promote"}]},
        content_hash=content_hash(status),
        policy=Policy.objects.get(environment=endpoint.environment),
        serving_config=endpoint.configs.get(),
        status=status,
        created_at=clock.now(),
        **fields,
    )


def _approval(people: Any, endpoint: Endpoint, number: int) -> ApprovalRequest:
    now = clock.now()
    request = ApprovalRequest.objects.create(
        subject_kind="release",
        subject_id=str(number),
        title=f"Release {number}",
        url="/",
        content_hash="h",
        policy=Policy.objects.get(environment=endpoint.environment),
        rules=RULES,
        scopes=endpoint.scopes,
        excluded=[people.emma.user.pk],
        requester=people.emma.user,
        created_at=now,
        expires_at=now + timedelta(days=7),
    )
    Decision.objects.create(
        request=request, person=people.oscar.user, kind="approve", content_hash="h", roles=["risk_officer"], at=now
    )
    return request


def _window(endpoint: Endpoint, arm: str, release: Release) -> None:
    Window.objects.create(
        environment=endpoint.environment.name,
        endpoint=endpoint.name,
        arm=arm,
        version=release.version.number,
        release=str(release.pk),
        start=clock.now() - timedelta(seconds=30),
        requests=3,
        ok=3,
        latency=LATENCY,
    )
