"""Endpoints and how they are served."""

import re
from dataclasses import dataclass, replace
from dataclasses import fields as fields_of
from decimal import Decimal

from django.db import transaction

from deployments import journal
from deployments.models import Endpoint, ServingConfig
from deployments.models.endpoints import ENDPOINT_NAME_PATTERN
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Invalid
from registry.models import Environment, Model


@dataclass(frozen=True)
class ServingWish:
    """How an endpoint should be served; the fields of `ServingConfig`."""

    replicas: int = 1
    timeout_ms: int = 10_000
    max_in_flight: int = 256
    max_body_bytes: int = 8 * 1024 * 1024
    memory_limit_mb: int = 2048
    cpu_threads: int = 1
    start_timeout_s: int = 300
    drain_s: int = 10
    max_restarts: int = 3
    keep_previous_s: int = 600
    max_batch_rows: int = 64
    max_batch_delay_ms: int = 5
    rows_independent: bool = False
    nan_literal: bool = False
    retry_on_stable: bool = False
    log_share_pct: Decimal = Decimal(0)
    log_redacted: tuple[str, ...] | list[str] = ()
    network: bool = False
    cost_per_replica_hour: Decimal = Decimal(0)


SERVING_BOUNDS: dict[str, tuple[int, int]] = {
    "replicas": (1, 64),
    "timeout_ms": (10, 600_000),
    "max_in_flight": (1, 100_000),
    "max_body_bytes": (1024, 64 * 1024 * 1024),
    "memory_limit_mb": (64, 1024 * 1024),
    "cpu_threads": (1, 256),
    "start_timeout_s": (1, 3600),
    "drain_s": (0, 600),
    "max_restarts": (0, 100),
    "keep_previous_s": (0, 7 * 24 * 3600),
    "max_batch_rows": (1, 4096),
    "max_batch_delay_ms": (1, 1000),
    "log_share_pct": (0, 100),
    "cost_per_replica_hour": (0, 9999),
}
SERVING_SWITCHES = ("rows_independent", "nan_literal", "retry_on_stable", "network")
REDACTED_MAX = 500
type_ServingValue = int | bool | Decimal | list[str]


@transaction.atomic
def endpoint_create(*, actor: Actor, environment: Environment, name: str, model: Model) -> Endpoint:
    """Create an endpoint that serves nothing yet, with serving config revision 1.

    Needs the right to request releases or to manage endpoints in the environment. Raises Invalid for the name, Conflict
    when it is taken.
    """
    scopes = [environment.scope, model.scope]
    if not actor.may(Action.ENDPOINT_MANAGE, scopes):
        actor.require(Action.RELEASE_REQUEST, scopes)
    if not re.match(ENDPOINT_NAME_PATTERN, name):
        sentence = "lower-case letters, digits and hyphens, 63 at most, no hyphen at either end"
        raise Invalid(f"An endpoint's name has {sentence}.", details={"endpoint": sentence})
    if Endpoint.objects.filter(environment=environment, name=name).exists():
        raise Conflict(f"There is an endpoint {environment.name}/{name} already.")
    now = clock.now()
    endpoint = Endpoint.objects.create(environment=environment, name=name, model=model, created_at=now)
    ServingConfig.objects.create(endpoint=endpoint, revision=1, created_at=now, created_by=actor.name)
    journal.write_traffic(endpoint, f"{actor.name} made {endpoint}.", actor=actor, now=now)
    journal.write_endpoint(endpoint, "endpoint.created", actor=actor, data={"model": model.name})
    return endpoint


@transaction.atomic
def serving_config_revise(
    *,
    actor: Actor,
    endpoint: Endpoint,
    reason: str = "",
    expects_revision: int | None = None,
    **changes: type_ServingValue,
) -> ServingConfig:
    """Add the next revision with `changes` to the newest one. It takes effect with the endpoint's next release.

    Returns the newest revision unchanged when nothing would change. Raises Invalid for unknown fields or values out of
    bounds, Conflict when `expects_revision` is given and is not the newest any more.
    """
    actor.require(Action.ENDPOINT_MANAGE, endpoint.scopes)
    Endpoint.objects.select_for_update().get(pk=endpoint.pk)
    newest = serving_config_of(endpoint)
    if expects_revision is not None and expects_revision != newest.revision:
        raise Conflict(
            f"{newest.created_by or 'Somebody'} wrote serving config {newest.revision} meanwhile; look at it first.",
            code="changed_meanwhile",
            details={"revision": newest.revision},
        )
    old = ServingWish(**{field.name: getattr(newest, field.name) for field in fields_of(ServingWish)})
    _check_serving(changes)
    new = replace(old, **changes)  # type: ignore[arg-type]
    if new == old:
        return newest
    values = {field.name: getattr(new, field.name) for field in fields_of(ServingWish)}
    config = ServingConfig.objects.create(
        endpoint=endpoint, revision=newest.revision + 1, created_at=clock.now(), created_by=actor.name, **values
    )
    data = {"revision": config.revision, "changes": {name: str(value) for name, value in changes.items()}}
    journal.write_endpoint(endpoint, "serving_config.revised", actor=actor, reason=reason, data=data)
    return config


def serving_config_of(endpoint: Endpoint) -> ServingConfig:
    """The newest serving config (reads the database)."""
    return endpoint.configs.order_by("-revision")[0]


def _check_serving(changes: dict[str, type_ServingValue]) -> None:
    problems = {name: problem for name, value in changes.items() if (problem := _problem_of(name, value))}
    if problems:
        raise Invalid("The serving config cannot be like this; see details.", details=problems)


def _problem_of(name: str, value: type_ServingValue) -> str:
    """What is wrong with one value, empty when nothing is."""
    if name in SERVING_SWITCHES:
        return "" if isinstance(value, bool) else "true or false"
    if name == "log_redacted":
        is_names = isinstance(value, list) and len(value) <= REDACTED_MAX and all(isinstance(one, str) for one in value)
        return "" if is_names else f"a list of {REDACTED_MAX} column names at most"
    if name not in SERVING_BOUNDS:
        return "unknown field"
    low, high = SERVING_BOUNDS[name]
    is_inside = isinstance(value, int | Decimal) and not isinstance(value, bool) and low <= value <= high
    return "" if is_inside else f"from {low} to {high}"
