"""Two of everything: what lies in the scopes of a person, and beside it what does not, with words that must not be
seen.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import transaction

from deployments import journal
from deployments.models import Endpoint, EndpointArm, GatewayKey, Release, Replica, ReplicaState, ServingConfig
from deployments.services.keys import key_subject
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Role
from mlorch_site.audit.services import audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.hashing import content_hash
from monitoring.models import Alert
from registry import audit_subjects
from registry.models import ApprovalRequest, Environment, Finding, GateResult, Model, Policy, Version
from registry.services import environment_create
from tests.factories import make_person
from tests.support.crowd import add_alert

MINE, FOREIGN = "zebra", "quagga"
ONLY_ELSEWHERE = "okapi"  # the model that is mine, in the environment that is not
RULES = [{"role": "reviewer", "count": 1}]


@dataclass
class Tenant:
    """An environment and a model with all that hangs on them, each with the tenant's word in what it says."""

    word: str
    environment: Environment
    model: Model
    endpoint: Endpoint = field(init=False)
    release: Release = field(init=False)
    approval: ApprovalRequest = field(init=False)
    key: GatewayKey = field(init=False)
    finding: Finding = field(init=False)
    alert: Alert = field(init=False)

    @property
    def arguments(self) -> dict[str, Any]:
        """What the routes of this tenant's objects are called with."""
        return {"environment": self.environment.name, "number": 1, "action": "pause"}


def make_tenant(word: str, requester: Any) -> Tenant:
    """An environment, a model, and all of the rest."""
    now = clock.now()
    actor = Actor.controller("test")
    environment = environment_create(
        actor=actor, name=f"{word}-env", position=0, aliases=True, gates=["version_ready"], approval_rules=RULES
    )
    Policy.objects.filter(environment=environment).update(note=f"{word}-policy")
    model = Model.objects.create(name=f"{word}-model", owner=f"{word}-owner", created_at=now, updated_at=now)
    Version.objects.create(model=model, number=1, status="READY", created_at=now, updated_at=now)
    tenant = Tenant(word, environment, model)
    tenant.finding = Finding.objects.create(
        model=model, kind="alias_moved", summary=f"{word}-finding", data={"alias": "champion"}, found_at=now
    )
    tenant.endpoint, tenant.release = add_endpoint(word, environment, model, requester)
    tenant.approval = _approval(tenant, requester)
    tenant.key = GatewayKey.objects.create(
        name=f"{word}-key", prefix="mlk_", digest=word, environments=[environment.name], created_at=now
    )
    tenant.alert = add_alert(tenant.endpoint, f"{word}-alert")
    _records(tenant, actor)
    return tenant


def add_endpoint(word: str, environment: Environment, model: Model, requester: Any) -> tuple[Endpoint, Release]:
    """An endpoint that serves the model, with its release, replica and what an agent said of it."""
    now = clock.now()
    version = model.versions.get(number=1)
    endpoint = Endpoint.objects.create(environment=environment, name=f"{word}-endpoint", model=model, created_at=now)
    config = ServingConfig.objects.create(endpoint=endpoint, revision=1, created_at=now)
    release = Release.objects.create(
        endpoint=endpoint,
        version=version,
        requester=requester,
        reason=f"{word}-reason",
        strategy={"kind": "immediate"},
        plan={"steps": [{"kind": "start"}, {"kind": "promote"}]},
        content_hash=content_hash(word),
        policy=Policy.objects.get(environment=environment),
        serving_config=config,
        status="succeeded",
        created_at=now,
        ended_at=now,
    )
    Endpoint.objects.filter(pk=endpoint.pk).update(stable_release=release)
    EndpointArm.objects.create(endpoint=endpoint, arm="stable", version=version, release=release, weight_pct=100)
    GateResult.objects.create(
        subject_kind="release",
        subject_id=str(release.pk),
        gate="version_ready",
        outcome="pass",
        sentence=f"{word}-gate",
        content_hash="h",
        at=now,
        duration_ms=1,
    )
    replica = Replica.objects.create(
        id=f"{word}-r1", endpoint=endpoint, version=version, serving_config=config, created_at=now
    )
    ReplicaState.objects.create(
        replica_id=replica.pk, agent="agent-1", state="ready", message=f"{word}-worker", reported_at=now
    )
    with transaction.atomic():
        journal.write_endpoint(endpoint, "endpoint.created", actor=Actor.controller("test"), reason=f"{word}-said")
        journal.write_traffic(endpoint, f"{word}-traffic", actor=Actor.controller("test"), now=now, release=release)
        journal.announce(release)
    return endpoint, release


def _approval(tenant: Tenant, requester: Any) -> ApprovalRequest:
    now = clock.now()
    approval = ApprovalRequest.objects.create(
        subject_kind="release",
        subject_id=str(tenant.release.pk),
        title=f"{tenant.word}-approval",
        url="/",
        content_hash="h",
        policy=Policy.objects.get(environment=tenant.environment),
        rules=RULES,
        scopes=tenant.endpoint.scopes,
        requester=requester,
        created_at=now,
        expires_at=now + timedelta(days=7),
    )
    Release.objects.filter(pk=tenant.release.pk).update(approval=approval)
    return approval


def _records(tenant: Tenant, actor: Actor) -> None:
    subjects = [
        audit_subjects.of_model(tenant.model),
        audit_subjects.of_environment(tenant.environment),
        audit_subjects.of_approval(tenant.approval),
        audit_subjects.of_finding(tenant.finding),
        key_subject(tenant.key),
    ]
    with transaction.atomic():
        for subject in subjects:
            audit_record(actor, "thing.done", subject, reason=f"{tenant.word}-because")


@dataclass(frozen=True)
class ScopedPerson:
    """A person with one role in one scope, and the words that no answer to that person may hold."""

    name: str
    user: Any
    actor: Actor
    hidden: list[str]


def scoped_people(mine: Tenant) -> list[ScopedPerson]:
    """A person of every role for the environment, and one for the model.

    Whoever is bound to an environment sees the models that could come there, and whoever is bound to a model the
    environments it could go to; neither sees what others do there.
    """
    by_environment = [f"{FOREIGN}-{thing}" for thing in _EVERYWHERE] + [f"{FOREIGN}-env", f"{FOREIGN}-policy"]
    by_model = [f"{FOREIGN}-{thing}" for thing in _EVERYWHERE] + [f"{FOREIGN}-model", f"{FOREIGN}-finding"]
    people = []
    for role in Role:
        for kind, scope, hidden in (
            ("environment", mine.environment.scope, [*by_environment, ONLY_ELSEWHERE]),
            ("model", mine.model.scope, by_model),
        ):
            name = f"{role.value}-{kind}"
            person = make_person(name, [(role, scope)])
            people.append(ScopedPerson(name, person.user, person.actor, hidden))
    return people


_EVERYWHERE = ("endpoint", "reason", "approval", "key", "gate", "worker", "said", "because", "alert")
