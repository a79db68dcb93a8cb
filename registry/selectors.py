"""Reads of the registry.

Those that take an actor are the only way a surface gets a row; hidden and missing look the same.
"""

from pathlib import Path

from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from dataplane.wire.sandbox import LEVELS, SandboxLevel
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.lib.errors import NotFound
from registry import artifacts
from registry.models import BackendState, Environment, Finding, Model, Policy, Version

MODEL_PREFIX = "model:"
ENVIRONMENT_PREFIX = "environment:"


def models_visible_to(actor: Actor) -> QuerySet[Model]:
    """The models an actor may see: all with a binding everywhere or for an environment, else those it is bound to."""
    scopes = actor.visible_scopes()
    models = Model.objects.filter(deleted_at=None)
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


def model_for(actor: Actor, name: str, *, action: Action = Action.VIEW) -> Model:
    """A model the actor may do `action` on. Raises NotFound or Forbidden."""
    model = models_visible_to(actor).filter(name=name).first()
    if model is None:
        raise NotFound(f"There is no model {name[:100]}.")
    _require(actor, action, [model.scope])
    return model


def _require(actor: Actor, action: Action, scopes: list[str]) -> None:
    # A binding to an environment lets its holder see models; what may be done with them is decided where they run.
    if action is not Action.VIEW:
        actor.require(action, scopes)


def version_for(actor: Actor, name: str, number: int | str, *, action: Action = Action.VIEW) -> Version:
    """A version of a model the actor may do `action` on. Raises NotFound or Forbidden."""
    model = model_for(actor, name, action=action)
    text = str(number)
    version = (
        model.versions.select_related("model").filter(number=int(text)).first()
        if text.isdigit() and len(text) < 10
        else None
    )
    if version is None:
        raise NotFound(f"{name[:100]} has no version {text[:20]}.")
    return version


def environment_for(actor: Actor, name: str, *, action: Action = Action.VIEW) -> Environment:
    """An environment the actor may do `action` in. Raises NotFound or Forbidden."""
    environment = environments_visible_to(actor).filter(name=name).first()
    if environment is None:
        raise NotFound(f"There is no environment {name[:60]}.")
    _require(actor, action, [environment.scope])
    return environment


def sandbox_levels_min() -> dict[int, SandboxLevel]:
    """What each environment's policy in force demands of sandboxes, by the environment's key (reads the database)."""
    newest = Policy.objects.filter(environment=OuterRef("pk")).order_by("-revision")
    levels = Environment.objects.annotate(level=Subquery(newest.values("sandbox_level_min")[:1]))
    demanded = dict(levels.values_list("pk", "level"))
    return {key: known for key, level in demanded.items() for known in LEVELS if known == level}


def current_policy(environment: Environment) -> Policy:
    """The newest policy revision of an environment. Raises NotFound when it has none."""
    policy = environment.policies.order_by("-revision").first()
    if policy is None:
        raise NotFound(f"{environment.name} has no policy; an administrator has to write one.")
    return policy


def backend_state() -> BackendState:
    """How the registry backend was at the last look."""
    return BackendState.objects.get(pk=1)


def artifact_path(version: Version) -> Path:
    """Where the artifacts of a version lie. Raises NotFound while they are not in the store."""
    path = artifacts.path_of(version.digest) if version.digest else None
    if path is None or not path.is_dir():
        raise NotFound(f"The artifacts of {version} are not in the store yet.")
    return path


def open_findings(model: Model | None = None) -> QuerySet[Finding]:
    """What was found done outside mlorch and not yet resolved."""
    findings = Finding.objects.select_related("model").filter(resolved_at=None)
    return findings if model is None else findings.filter(model=model)


def models_counted(actor: Actor) -> QuerySet[Model]:
    """The visible models with `version_count`."""
    # Counted by a subquery, so that only the rows of the page shown are counted.
    versions = (
        Version.objects.filter(model=OuterRef("pk")).order_by().values("model").annotate(n=Count("pk")).values("n")
    )
    return models_visible_to(actor).annotate(version_count=Coalesce(Subquery(versions), 0))
