"""Reads of the registry.

Those that take an actor are the only way a surface gets a row; hidden and missing look the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Exists, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from dataplane.wire.sandbox import LEVELS, SandboxLevel
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import RoleBinding
from mlorch_site.accounts.roles import Action
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Invalid, NotFound
from mlorch_site.lib.readable import whole_number
from registry import artifacts
from registry.change_windows import Closure, closure_at
from registry.counting_windows import counting_windows
from registry.lifecycle import WAITING_STAGES, PolicyStage, RiskTier, VersionStatus
from registry.models import (
    ArtifactSet,
    BackendState,
    Environment,
    Finding,
    Model,
    Policy,
    PolicyDraft,
    StoreState,
    Version,
)
from registry.policy_lines import PolicyLine, Ruling, line_of, revision_words, ruling_now, ruling_of, why_unconfirmed
from registry.retention import rules_in_force

MODEL_PREFIX = "model:"
ENVIRONMENT_PREFIX = "environment:"
NEXT_SHOWN = 3


def models_visible_to(actor: Actor, *, gone: bool = False) -> QuerySet[Model]:
    """The models an actor may see: all with a binding everywhere or for an environment, else those it is bound to.

    Those that were deleted in MLflow are left out unless `gone`.
    """
    scopes = actor.visible_scopes()
    models = Model.objects.all() if gone else Model.objects.filter(deleted_at=None)
    if scopes is None or any(scope.startswith(ENVIRONMENT_PREFIX) for scope in scopes):
        return models
    names = [scope.removeprefix(MODEL_PREFIX) for scope in scopes if scope.startswith(MODEL_PREFIX)]
    return models.filter(name__in=names)


def environments_visible_to(actor: Actor) -> QuerySet[Environment]:
    """The environments an actor may see; a binding to a model shows all of them."""
    scopes = actor.visible_scopes()
    if scopes is None or any(scope.startswith(MODEL_PREFIX) for scope in scopes):
        return Environment.objects.all()
    names = [scope.removeprefix(ENVIRONMENT_PREFIX) for scope in scopes]
    return Environment.objects.filter(name__in=names)


def model_for(actor: Actor, name: str, *, action: Action = Action.VIEW, gone: bool = False) -> Model:
    """A model the actor may do `action` on, with `gone` also one that was deleted in MLflow. Raises NotFound or
    Forbidden.
    """
    model = models_visible_to(actor, gone=gone).filter(name=name).first()
    if model is None:
        raise NotFound(f"There is no model {name[:100]}.")
    _require(actor, action, [model.scope])
    return model


def _require(actor: Actor, action: Action, scopes: list[str]) -> None:
    # A binding to an environment lets its holder see models; what may be done with them is decided where they run.
    if action is not Action.VIEW:
        actor.require(action, scopes)


def people_of_model(model: Model) -> int:
    """How many people hold a role for this model alone, by its name (reads the database)."""
    return RoleBinding.objects.in_force(clock.now()).filter(scope=model.scope).values("user").distinct().count()


def missing_models(actor: Actor) -> QuerySet[Model]:
    """The models that were deleted in MLflow and still have endpoints that serve."""
    gone = models_visible_to(actor, gone=True).exclude(deleted_at=None)
    return gone.filter(endpoints__retired_at=None, endpoints__isnull=False).distinct()


def version_for(
    actor: Actor,
    name: str,
    number: int | str,
    *,
    row: int | None = None,
    action: Action = Action.VIEW,
    gone: bool = False,
) -> Version:
    """A version of a model the actor may do `action` on: the one that has the number now, or one that had it before, by
    its `row`; with `gone` also of a model that was deleted in MLflow. Raises NotFound or Forbidden.
    """
    model = model_for(actor, name, action=action, gone=gone)
    wanted = whole_number(str(number))
    known = model.versions.select_related("model")
    rows = known.filter(superseded_at=None) if row is None else known.filter(pk=row)
    version = rows.filter(number=wanted).first() if wanted is not None else None
    if version is None:
        raise NotFound(f"{name[:100]} has no version {str(number)[:20]}.")
    return version


def environment_for(actor: Actor, name: str, *, action: Action = Action.VIEW) -> Environment:
    """An environment the actor may do `action` in. Raises NotFound or Forbidden."""
    environment = environments_visible_to(actor).filter(name=name).first()
    if environment is None:
        raise NotFound(f"There is no environment {name[:60]}.")
    _require(actor, action, [environment.scope])
    return environment


def line_said(actor: Actor, environment: str, model: str, tier: str) -> PolicyLine:
    """The line that an actor names to write its policy; empty for no model and no tier. Raises NotFound, Forbidden,
    and Invalid for a tier that does not exist.
    """
    place = environment_for(actor, environment, action=Action.POLICY_EDIT)
    if tier and tier not in set(RiskTier):
        raise Invalid(f"A risk tier is one of {', '.join(RiskTier)}.", details={"tier": "unknown"})
    found = Model.objects.filter(name=model, deleted_at=None).first() if model else None
    if model and found is None:
        raise NotFound(f"There is no model {model[:100]}.")
    return PolicyLine(place, found, tier)


def sandbox_levels_min(places: Iterable[tuple[int, Model]]) -> dict[tuple[int, int], SandboxLevel]:
    """What the policy in force demands of sandboxes for a model in an environment, by the keys of both (reads the
    database once).

    Where the line that rules was written before the model was made again, the strictest demand of all its lines counts.
    """
    lines: dict[int, list[Policy]] = {}
    for policy in Policy.objects.in_force().select_related("environment", "model"):
        lines.setdefault(policy.environment_id, []).append(policy)
    return {(key, model.pk): _sandbox_level(lines.get(key, []), model) for key, model in places}


def _sandbox_level(lines: list[Policy], model: Model) -> SandboxLevel:
    ruling = ruling_of(lines, model.pk, model.risk_tier)
    counting = [ruling] if ruling is not None and not why_unconfirmed(ruling, model) else lines
    demanded = {policy.sandbox_level_min for policy in counting}
    return next((level for level in reversed(LEVELS) if level in demanded), "none")


def why_closed(environment: Environment, now: datetime, model: Model | None = None) -> str:
    """Why no rollout may begin in an environment now, by the windows that count for the model, or by those of the
    environment's own line; empty when one may.
    """
    closure = closure_of(environment, now, model)
    return closure.sentence if closure else ""


def closure_of(
    environment: Environment, now: datetime, model: Model | None = None, *, holding: bool = False
) -> Closure | None:
    """What closes an environment now for a model, or by its own line; with `holding` only by lines that hold what runs
    (reads the database).
    """
    place = (model.pk, model.risk_tier) if model else (None, "")
    return closure_at(counting_windows(policies_in_force(environment), *place, holding=holding), now)


def environments_without_sandbox() -> list[Environment]:
    """The environments whose promotions are MLflow's champions, and whose policy in force has a line that lets models
    run in no sandbox (reads the database).
    """
    lax = Policy.objects.in_force().filter(environment=OuterRef("pk"), sandbox_level_min="none")
    return list(Environment.objects.filter(Exists(lax), aliases=True))


def policies_in_force(environment: Environment) -> list[Policy]:
    """The revision in force of each line, the environment's own first (reads the database)."""
    rows = Policy.objects.in_force().filter(environment=environment)
    return sorted(rows.select_related("environment", "model", "created_by", "published_by"), key=line_order)


def current_policy(environment: Environment) -> Policy:
    """The revision in force of an environment's own line, which rules what no other line does. Raises NotFound when it
    has none.
    """
    policy = ruling_of(policies_in_force(environment), None, "")
    if policy is None:
        raise NotFound(f"{environment.name} has no policy; an administrator has to write one.")
    return policy


def ruling_policy(environment: Environment, model: Model | None) -> Policy:
    """The revision in force that rules a model in an environment, by the model's tier of now; without a model that of
    the environment's own line. Raises NotFound when the environment has none.

    It may have been written before the model was made again (`why_unconfirmed`): `policy_for` refuses that.
    """
    lines = policies_in_force(environment)
    policy = ruling_of(lines, model.pk if model else None, model.risk_tier if model else "")
    if policy is None:
        raise NotFound(f"{environment.name} has no policy; an administrator has to write one.")
    return policy


def policy_for(environment: Environment, model: Model | None) -> Policy:
    """The revision in force that what is requested now of a model comes under: the most specific line that covers it.

    Raises NotFound as `ruling_policy` does, Conflict when the line was written before the model was made again.
    """
    policy = ruling_policy(environment, model)
    if why := why_unconfirmed(policy, model):
        raise Conflict(why, code="policy_unconfirmed")
    return policy


def rulings(environments: Iterable[Environment], model: Model) -> list[Ruling]:
    """What rules a model in each of the environments that have a policy, and why (reads the database once)."""
    lines: dict[int, list[Policy]] = {}
    for policy in Policy.objects.in_force().select_related("environment", "model"):
        lines.setdefault(policy.environment_id, []).append(policy)
    found = [ruling_of(lines.get(environment.pk, []), model.pk, model.risk_tier) for environment in environments]
    return [ruling_now(policy, model) for policy in found if policy is not None]


def policies_then(environment: Environment, instant: datetime) -> list[Policy]:
    """The revisions that were in force at `instant`, one for each line (reads the database)."""
    rows = Policy.objects.at(instant).filter(environment=environment)
    return sorted(rows.select_related("environment", "model", "created_by", "published_by"), key=line_order)


def line_order(policy: Policy) -> tuple[Any, ...]:
    """The environment's own line first, then those for tiers, then those for models."""
    tiers = [tier.value for tier in RiskTier]
    tier = tiers.index(policy.tier) if policy.tier in tiers else -1
    return (policy.model_id is not None, policy.model.name if policy.model else "", tier)


def environments_with_policy(environments: QuerySet[Environment]) -> QuerySet[Environment]:
    """The environments with `revision`, whether they are `protected`, and whether a draft `waits`."""
    lines = Policy.objects.in_force().filter(environment=OuterRef("pk"))
    waiting = PolicyDraft.objects.filter(environment=OuterRef("pk"), stage__in=WAITING_STAGES - {PolicyStage.DRAFT})
    return environments.annotate(
        revision=Subquery(lines.filter(model=None, tier="").values("revision")[:1]),
        protected=Exists(lines.filter(protected=True)),
        waits=Exists(waiting),
    )


def policies_visible_to(actor: Actor) -> QuerySet[Policy]:
    """The revisions of the environments that an actor may see, newest first for each."""
    rows = Policy.objects.filter(environment__in=environments_visible_to(actor))
    return rows.select_related("environment", "model", "created_by", "published_by")


def policy_revision_for(actor: Actor, environment: str, revision: int) -> Policy:
    """One revision of an environment's policy. Raises NotFound."""
    found = policies_visible_to(actor).filter(environment__name=environment, revision=revision).first()
    if found is None:
        raise NotFound(f"There is no revision {revision} of the policy of {environment[:60]}.")
    return found


def revisions_of(line: PolicyLine) -> QuerySet[Policy]:
    """The revisions of a line, newest first."""
    rows = Policy.objects.filter(environment=line.environment, model=line.model, tier=line.tier)
    return rows.select_related("environment", "model", "created_by", "published_by").order_by("-revision")


def former_policy(policy: Policy) -> Policy | None:
    """The revision of the same line before this one, None for the first (reads the database)."""
    return revisions_of(line_of(policy)).filter(revision__lt=policy.revision).first()


def following_policy(policy: Policy) -> Policy | None:
    """The revision of the same line that followed, None for the one in force (reads the database)."""
    return revisions_of(line_of(policy)).filter(revision__gt=policy.revision).order_by("revision").first()


def backend_state() -> BackendState:
    """How the registry backend was at the last look."""
    return BackendState.objects.get(pk=1)


def artifact_sets(digests: Iterable[str]) -> dict[str, ArtifactSet]:
    """Digest → what lies in the artifact store under it; without those whose files are not there."""
    rows = ArtifactSet.objects.filter(let_go_at=None).in_bulk(set(digests))
    return {digest: row for digest, row in rows.items() if artifacts.path_of(digest).is_dir()}


def kept_words(digest: str) -> str:
    """Until when at least a policy keeps the files of a digest, as the last sweep noted it; empty when none does."""
    rows = ArtifactSet.objects.filter(pk=digest, kept_until__gt=clock.now(), let_go_at=None)
    row = rows.select_related("kept_by__environment", "kept_by__model").first()
    if row is None or row.kept_until is None or row.kept_by is None:
        return ""
    return f"Kept until {row.kept_until:%Y-%m-%d %H:%M} UTC at least, by {revision_words(row.kept_by)}."


def is_stored(digest: str) -> bool:
    """Whether the files of a digest lie in the artifact store, and stay there for now (reads the database)."""
    return bool(artifact_sets([digest]))


@dataclass(frozen=True)
class StoreSummary:
    """The artifact store for people: how much it holds and may hold, what goes next, what the last sweep did not
    understand.
    """

    sets: int
    size_bytes: int
    max_bytes: int
    next: list[ArtifactSet]
    kept: timedelta
    state: StoreState | None


def store_summary() -> StoreSummary:
    """How the artifact store stands, without looking at the disk."""
    rules, state = rules_in_force(), StoreState.objects.filter(pk=1).first()
    stored = ArtifactSet.objects.filter(let_go_at=None)
    sums = stored.aggregate(sets=Count("pk"), size=Sum("size_bytes"))
    # What was needed was noted by the sweep itself, so what it noted earlier was not.
    waiting = stored.filter(needed_at__lt=state.swept_at).order_by("needed_at") if state else stored.none()
    following = list(waiting.exclude(kept_until__gt=clock.now())[:NEXT_SHOWN])
    return StoreSummary(sums["sets"], sums["size"] or 0, rules.max_bytes, following, rules.kept, state)


def why_changed_outside(version: Version, digest: str) -> str:
    """What was done in MLflow to a version since `digest` was noted of it, as a sentence; empty when nothing is known.

    Asked at every moment of a release: what was approved stays in the artifact store, but whoever took it out of MLflow
    may have had a reason.
    """
    if version.superseded_at is not None:
        return f"{version} was deleted in MLflow, and another version was registered under its number."
    if version.status == VersionStatus.DELETED:
        return f"{version} was deleted in MLflow."
    if not version.is_ready:
        return f"{version} is no longer ready in MLflow: {version.status}."
    if digest and version.digest != digest:
        return f"The artifacts of {version} were changed in MLflow after they had been looked at."
    return ""


def open_findings(model: Model | None = None) -> QuerySet[Finding]:
    """What was found done outside mlorch and not yet resolved."""
    findings = Finding.objects.select_related("model").filter(resolved_at=None)
    return findings if model is None else findings.filter(model=model)


def findings_visible_to(actor: Actor) -> QuerySet[Finding]:
    """The open findings of models that the actor may see."""
    return open_findings().filter(model__in=models_visible_to(actor))


def models_counted(actor: Actor) -> QuerySet[Model]:
    """The visible models with `version_count`."""
    # Counted by a subquery, so that only the rows of the page shown are counted.
    versions = Version.objects.filter(model=OuterRef("pk"), superseded_at=None).order_by().values("model")
    counts = versions.annotate(n=Count("pk")).values("n")
    return models_visible_to(actor).annotate(version_count=Coalesce(Subquery(counts), 0))
