"""Retiring an endpoint that nobody needs any more, and bringing it back."""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from deployments import journal, selectors
from deployments.models import Endpoint, Release
from deployments.quotas import policy_in_force, quota_lock, quota_problems
from deployments.rollout.finish import endpoint_empty
from deployments.rollout.reconcile import reconcile_now
from deployments.services.endpoints import ServingWish
from deployments.services.keys import keys_of
from deployments.services.restoring import RestoringAct, restoring_release
from deployments.services.watching import watched
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Invalid
from monitoring.selectors import last_request_at, requests_total
from monitoring.services import watch_end

USED_MINUTES = 30 * 24 * 60


@dataclass(frozen=True)
class RetirementImpact:
    """What would stop working: live gateway keys that open the endpoint, and the clients' requests of the last days."""

    keys: list[str]
    requests: int
    last_request_at: datetime | None
    replicas: int


def retirement_impact(endpoint: Endpoint) -> RetirementImpact:
    """Who would miss the endpoint (reads the database)."""
    environment = endpoint.environment.name
    return RetirementImpact(
        keys=[key.name for key in keys_of(endpoint, clock.now())],
        requests=requests_total(environment, endpoint.name, minutes=USED_MINUTES),
        last_request_at=last_request_at(environment, endpoint.name),
        replicas=endpoint.replicas.filter(wanted=True).count(),
    )


@transaction.atomic
def endpoint_retire(*, actor: Actor, endpoint: Endpoint, expects: str | None, reason: str) -> Endpoint:
    """Take an endpoint out of service: its address answers 404, its replicas stop, its quota is free, and what watched
    it ends.

    `expects` is the id of the release that it serves, nothing when it serves none. What it was stays, so that
    `endpoint_restore` can bring it back. Retiring twice is harmless. Raises Conflict while a release is open or when it
    serves another one by now, Invalid without a reason.
    """
    actor.require(Action.ENDPOINT_MANAGE, endpoint.scopes)
    endpoint = _locked(endpoint)
    if endpoint.retired_at is not None:
        return endpoint
    if not reason.strip():
        raise Invalid("Say why the endpoint is retired.", details={"reason": "needed"})
    if (busy := selectors.open_release(endpoint)) is not None:
        raise Conflict(f"The release of version {busy.version.number} is open; end it first.", code="endpoint_busy")
    if str(endpoint.stable_release_id or "") != (expects or ""):
        raise Conflict(f"{endpoint} serves another version than you saw; look again.", code="changed_meanwhile")
    now = clock.now()
    impact = retirement_impact(endpoint)
    watch_end(actor=actor, place=watched(endpoint), reason="The endpoint was retired.")
    endpoint.retired_at = now
    endpoint.save(update_fields=["retired_at"])
    endpoint_empty(endpoint, actor=actor, now=now)
    data = {"release": expects, "keys": impact.keys, "requests": impact.requests}
    journal.write_endpoint(endpoint, "endpoint.retired", actor=actor, reason=reason, data=data)
    return endpoint


@transaction.atomic
def endpoint_restore(*, actor: Actor, endpoint: Endpoint, reason: str = "") -> Release | None:
    """Let a retired endpoint serve again what it served: the release that does so, None when it never served anything.

    Restoring one that is not retired is a Conflict, and so is one for which the environment has no room.
    """
    actor.require(Action.ENDPOINT_MANAGE, endpoint.scopes)
    quota_lock(endpoint.environment)
    endpoint = _locked(endpoint)
    if endpoint.retired_at is None:
        raise Conflict(f"{endpoint} is not retired.")
    _check_room(actor, endpoint)
    endpoint.retired_at = None
    endpoint.save(update_fields=["retired_at"])
    journal.write_traffic(endpoint, f"{actor.name} restored {endpoint}.", actor=actor, now=clock.now())
    if endpoint.stable_release is None:
        journal.write_endpoint(endpoint, "endpoint.restored", actor=actor, reason=reason)
        return None
    target = selectors.original_of(endpoint.stable_release)
    sentence = f"{actor.name} restored {endpoint} with version {target.version.number}."
    act = RestoringAct("endpoint.restored", sentence, {"version": target.version.number})
    release = restoring_release(actor=actor, endpoint=endpoint, target=target, act=act, reason=reason)
    reconcile_now(str(release.pk), now=clock.now())
    release.refresh_from_db()
    return release


def _check_room(actor: Actor, endpoint: Endpoint) -> None:
    policy, target = policy_in_force(endpoint.environment), endpoint.stable_release
    config = selectors.original_of(target).serving_config if target else ServingWish(replicas=0)
    problems = quota_problems(actor, policy, endpoint.environment, None, config) if policy else {}
    if problems:
        raise Conflict(" ".join(problems.values()), code="no_room", details=problems)


def _locked(endpoint: Endpoint) -> Endpoint:
    rows = Endpoint.objects.select_for_update(of=("self",)).select_related("environment", "model")
    return rows.get(pk=endpoint.pk)
