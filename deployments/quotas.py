"""How much of an environment its endpoints may take: replicas, endpoints, cost a day. The policy in force says it.

Looked at twice. When a release is requested, what other endpoints are to take counts: what they serve or what an open
release of theirs would bring, whichever is more. When it would begin, what runs counts. Two at once cannot pass a limit
together: a request waits for the quota's lock before it takes any other, and a release that would begin while somebody
has it is looked at again.

Rolling back asks nobody for room.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

from django.db.models import QuerySet
from django.urls import reverse

from deployments.lifecycle import LIVE_STATUSES, OPEN_STATUSES
from deployments.models import Endpoint, Release, Replica, ServingConfig
from deployments.rollout.steps import has_baseline, steps_from_plan
from deployments.selectors import endpoints_visible_to
from mlorch_site.accounts.actor import Actor
from mlorch_site.lib.reasons import Reason
from registry.models import Environment, Policy
from registry.policy_lines import ruling_of
from registry.selectors import policies_in_force

HOURS = 24
NAMED_MAX = 5
LOCKED = "Another release of the environment is being started."


class Serving(Protocol):
    """Of a serving config, what it takes: one that is kept, or the one that a new endpoint would begin with."""

    @property
    def replicas(self) -> int: ...

    @property
    def cost_per_replica_hour(self) -> Any: ...


def cost_per_day(config: Serving) -> float:
    """What a serving config costs a day, with all its replicas."""
    return float(config.replicas * HOURS * Decimal(config.cost_per_replica_hour))


@dataclass
class Taken:
    """What one endpoint takes: `stable` is the config that it serves with, `coming` those of releases."""

    endpoint: Endpoint
    stable: ServingConfig | None
    coming: list[ServingConfig] = field(default_factory=list)

    @property
    def is_served(self) -> bool:
        return self.stable is not None or bool(self.coming)

    @property
    def replicas(self) -> int:
        return max((config.replicas for config in self._configs), default=0)

    @property
    def cost(self) -> float:
        return max((cost_per_day(config) for config in self._configs), default=0.0)

    @property
    def _configs(self) -> list[ServingConfig]:
        return [*([self.stable] if self.stable else []), *self.coming]


def taken_in(environment: Environment, statuses: Iterable[str]) -> list[Taken]:
    """What each living endpoint takes, with those releases that are in one of `statuses` (reads the database)."""
    endpoints = environment.endpoints.filter(retired_at=None).select_related("environment", "stable_release")
    releases = Release.objects.filter(endpoint__in=endpoints, status__in=list(statuses))
    coming: dict[UUID, list[ServingConfig]] = {}
    for release in releases.select_related("serving_config"):
        coming.setdefault(release.endpoint_id, []).append(release.serving_config)
    rows = endpoints.select_related("environment", "stable_release__serving_config")
    return [Taken(row, _stable(row), coming.get(row.pk, [])) for row in rows]


def _stable(endpoint: Endpoint) -> ServingConfig | None:
    return endpoint.stable_release.serving_config if endpoint.stable_release else None


def policy_in_force(environment: Environment) -> Policy | None:
    """The policy whose quotas count now: that of the environment's own line, as quotas are about all of it (reads the
    database).
    """
    return ruling_of(policies_in_force(environment), None, "")


def quota_lock(environment: Environment | None) -> None:
    """Wait for the quota's lock, until the end of the transaction. Has to be the transaction's first lock.

    It is the row of the environment's first policy: nothing else locks it, so that nothing but quotas waits for it.
    """
    if environment is not None:
        list(_lock_rows(environment).select_for_update(no_key=True))


def quota_try_lock(environment: Environment) -> bool:
    """Take the quota's lock unless somebody has it: whoever holds other locks already may not wait."""
    rows = _lock_rows(environment)
    return bool(list(rows.select_for_update(no_key=True, skip_locked=True))) or not rows.exists()


def _lock_rows(environment: Environment) -> QuerySet[Policy]:
    first = Policy.objects.filter(environment=environment).order_by("pk").values("pk")[:1]
    return Policy.objects.filter(pk__in=list(first.values_list("pk", flat=True)))


def quota_problems(
    actor: Actor, policy: Policy, environment: Environment, endpoint: Endpoint | None, config: Serving
) -> dict[str, str]:
    """Field of the request → why a release with this serving config finds no room (reads the database)."""
    if policy.replicas_max is None and policy.endpoints_max is None and policy.cost_per_day_max is None:
        return {}
    taken = taken_in(environment, OPEN_STATUSES)
    own = next((row for row in taken if endpoint is not None and row.endpoint.pk == endpoint.pk), None)
    others = [row for row in taken if row is not own]
    stable = own.stable if own else None
    seen = set(endpoints_visible_to(actor).filter(environment=environment).values_list("pk", flat=True))
    problems = {}
    if endpoint is None and policy.endpoints_max is not None and len(taken) >= policy.endpoints_max:
        names = _named([(row, "") for row in taken], seen)
        problems["endpoint"] = (
            f"{environment.name} has room for {policy.endpoints_max} endpoints, and {len(taken)} are there: {names}. "
            "Retire one that nobody needs."
        )
    if policy.replicas_max is not None:
        held, needed = sum(row.replicas for row in others), config.replicas + (stable.replicas if stable else 0)
        if held + needed > policy.replicas_max:
            while_both = f" ({config.replicas} beside the {stable.replicas} that serve)" if stable else ""
            by = _by([(row, str(row.replicas)) for row in others if row.replicas], seen)
            limit = f"{held} of {policy.replicas_max} in {environment.name} are taken{by}"
            problems["quota.replicas"] = f"It would need {needed} replicas{while_both}; {limit}."
    if why := _cost_problem(policy, environment, stable, others, config, seen):
        problems["quota.cost_per_day"] = why
    return {name: _with_way(text, environment) for name, text in problems.items()}


def _cost_problem(
    policy: Policy,
    environment: Environment,
    stable: ServingConfig | None,
    others: list[Taken],
    config: Serving,
    seen: set[UUID],
) -> str:
    """Why the cost is too high; what costs no more than what serves already always has room."""
    cost, served = cost_per_day(config), cost_per_day(stable) if stable else 0.0
    held = sum(row.cost for row in others)
    if policy.cost_per_day_max is None or cost <= served or held + cost <= policy.cost_per_day_max:
        return ""
    by = _by([(row, _number(row.cost)) for row in others if row.cost], seen)
    return (
        f"It would cost {_number(cost)} a day; {_number(held)} of {_number(policy.cost_per_day_max)} in "
        f"{environment.name} are taken{by}."
    )


def _by(rows: list[tuple[Taken, str]], seen: set[UUID]) -> str:
    return f" by: {_named(rows, seen)}" if rows else ""


def _named(rows: list[tuple[Taken, str]], seen: set[UUID]) -> str:
    """The endpoints with what they take, the largest first; those that the reader may not see are only counted."""
    visible = [(row, what) for row, what in rows if row.endpoint.pk in seen]
    visible.sort(key=lambda pair: (-pair[0].cost, -pair[0].replicas, pair[0].endpoint.name))
    named = [f"{row.endpoint} {what}".strip() for row, what in visible[:NAMED_MAX]]
    more, hidden = len(visible) - len(named), len(rows) - len(visible)
    named += [f"{more} more"] if more else []
    named += [f"{hidden} that you may not see"] if hidden else []
    return ", ".join(named)


def _with_way(text: str, environment: Environment) -> Reason:
    return Reason(text, f"{reverse('endpoints')}?environment={environment.name}", "What takes it")


def _number(value: float) -> str:
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def why_no_room(release: Release) -> str:
    """Why a release cannot begin now for want of room, empty when it can; then the quota is locked until the end of the
    transaction.

    Many people read the answer, so it names no endpoint.
    """
    environment = release.endpoint.environment
    policy = policy_in_force(environment)
    if policy is None or not quota_try_lock(environment):
        return LOCKED if policy else ""
    replicas = Replica.objects.filter(endpoint__environment=environment, wanted=True)
    arms = 2 if has_baseline(steps_from_plan(release.plan)) else 1
    running, wanted = replicas.exclude(Replica.of(release)).count(), release.serving_config.replicas * arms
    if policy.replicas_max is not None and running + wanted > policy.replicas_max:
        return (
            f"{environment.name} has room for {policy.replicas_max} replicas; {running} run, and {wanted} more are "
            "needed. Retire an endpoint that nobody needs, or raise the quota in the policy."
        )
    others = [row for row in taken_in(environment, LIVE_STATUSES) if row.endpoint.pk != release.endpoint_id]
    stable = _stable(release.endpoint)
    served = sum(row.is_served for row in others)
    if stable is None and policy.endpoints_max is not None and served >= policy.endpoints_max:
        return f"{environment.name} has room for {policy.endpoints_max} endpoints, and {served} others serve."
    cost, held = cost_per_day(release.serving_config), sum(row.cost for row in others)
    is_more = cost > (cost_per_day(stable) if stable else 0.0)
    if policy.cost_per_day_max is not None and is_more and held + cost > policy.cost_per_day_max:
        limit = f"{_number(held)} of {_number(policy.cost_per_day_max)} in {environment.name} are taken by others"
        return f"It would cost {_number(cost)} a day; {limit}."
    return ""
