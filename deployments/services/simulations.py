"""Trying plans by simulation: asked for, worked on by the work queue, cancelled, forgotten. Nothing of it is an act on
a release, so none of it is in the audit record.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import transaction

from deployments import limits
from deployments.models import Endpoint, PlanSimulation
from deployments.plan_trials import TrialWish, trials_of
from deployments.rollout.simulation import simulate
from deployments.rollout.strategies.targeting import sealed
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.lib import clock
from mlorch_site.lib.enqueue import TaskName, enqueue_on_commit
from mlorch_site.lib.errors import Conflict, DomainError, Forbidden
from mlorch_site.lib.hashing import settled
from mlorch_site.live.outbox import publish

log = structlog.get_logger(__name__)

SIMULATE_PLAN = TaskName("deployments.simulate_plan", "work")
TOLD_EVERY_S = 2.0


class _Over(Exception):
    """Somebody cancelled it, or another process works on it."""


@transaction.atomic
def simulation_ask(*, actor: Actor, endpoint: Endpoint, wish: TrialWish) -> PlanSimulation:
    """Have a plan tried. Raises Forbidden, Invalid for what cannot be simulated, Conflict while too many are tried."""
    actor.require(Action.RELEASE_REQUEST, endpoint.scopes)
    wish = replace(wish, strategy=sealed(wish.strategy))  # chosen units are digests in what is kept
    trials = trials_of(wish)
    Endpoint.objects.select_for_update(of=("self",)).get(pk=endpoint.pk)
    if PlanSimulation.objects.filter(endpoint=endpoint, ended_at=None).count() >= limits.SIMULATIONS_AT_ONCE:
        raise Conflict(
            f"{limits.SIMULATIONS_AT_ONCE} plans are being tried for {endpoint}; wait for one, or cancel it."
        )
    now = clock.now()
    run = PlanSimulation.objects.create(
        endpoint=endpoint,
        asked_by=actor.name,
        inputs=settled(wish.to_dict()),
        created_at=now,
        total=sum(trial.rollouts for trial in trials),
        due_at=now + timedelta(seconds=limits.SIMULATION_LEASE_S),
    )
    enqueue_on_commit(SIMULATE_PLAN, str(run.pk))
    return run


@transaction.atomic
def simulation_cancel(*, actor: Actor, run: PlanSimulation) -> PlanSimulation:
    """Try it no further. Twice is harmless. Raises Forbidden unless it is one's own or one may abort releases."""
    if actor.name != run.asked_by and (why := actor.why_not(Action.RELEASE_ABORT, run.scopes)):
        raise Forbidden(why)
    actor.require_write()
    now = clock.now()
    waiting = PlanSimulation.objects.filter(pk=run.pk, ended_at=None)
    if waiting.update(cancelled_by=actor.name, ended_at=now, due_at=None):
        _tell(run)
    run.refresh_from_db()
    return run


def simulation_work(*, run: PlanSimulation, now: datetime) -> None:
    """Try the plan and keep what came of it. Two processes at once: whoever moved the due time last goes on, the other
    one stops at its next step. The same inputs give the same results, so that nothing is lost by beginning again.
    """
    lease = _renewed(run, now)
    if lease is None:
        return
    results: list[dict[str, Any]] = []
    done, tell = 0, _SimulationProgress(run, lease)
    try:
        wish = TrialWish.from_dict(run.inputs)
        for trial in trials_of(wish):
            base = done
            found = simulate(trial, lambda ended, base=base: tell(base + ended))  # type: ignore[misc]
            results.append(asdict(found))
            done += trial.rollouts
            tell.keep(settled(results), done)
    except _Over:
        return
    except DomainError as error:
        _end(run, tell.lease, error=error.message[:500])
        return
    except Exception as error:  # whatever is wrong with it would be wrong each time it is taken up again
        log.exception("simulation.failed", simulation=str(run.pk))
        _end(run, tell.lease, error=f"It could not be tried ({type(error).__name__}).")
        return
    _end(run, tell.lease)


def simulations_due(now: datetime) -> list[str]:
    """Those that nobody works on any more."""
    rows = PlanSimulation.objects.filter(ended_at=None, due_at__lte=now).order_by("due_at")
    return [str(pk) for pk in rows.values_list("pk", flat=True)[: limits.SIMULATIONS_AT_ONCE]]


def simulations_forget(*, now: datetime) -> int:
    """Delete old ones; return how many went."""
    old = PlanSimulation.objects.filter(created_at__lt=now - limits.SIMULATIONS_KEPT).exclude(ended_at=None)
    return old.delete()[0]


class _SimulationProgress:
    """Tells how far it is, and holds the lease: moves the due time as long as nobody else did, and it goes on."""

    def __init__(self, run: PlanSimulation, lease: datetime, now: Callable[[], datetime] = clock.now) -> None:
        self.run, self.lease, self._now = run, lease, now
        self._told_at = now()

    def __call__(self, done: int) -> None:
        now = self._now()
        if (now - self._told_at).total_seconds() < TOLD_EVERY_S:
            return
        self._told_at = now
        self._hold(now, done=done)

    def keep(self, results: list[dict[str, Any]], done: int) -> None:
        """Keep what came of the truths that were tried so far."""
        self._hold(self._now(), results=results, done=done)

    def _hold(self, now: datetime, **values: object) -> None:
        later = now + timedelta(seconds=limits.SIMULATION_LEASE_S)
        held = PlanSimulation.objects.filter(pk=self.run.pk, ended_at=None, due_at=self.lease)
        if not held.update(due_at=later, **values):
            raise _Over
        self.lease = later
        _tell(self.run)


def _renewed(run: PlanSimulation, now: datetime) -> datetime | None:
    """The lease that this process has now; None when it is over."""
    later = now + timedelta(seconds=limits.SIMULATION_LEASE_S)
    taken = PlanSimulation.objects.filter(pk=run.pk, ended_at=None, due_at=run.due_at).update(due_at=later)
    return later if taken else None


def _end(run: PlanSimulation, lease: datetime, **values: object) -> None:
    held = PlanSimulation.objects.filter(pk=run.pk, ended_at=None, due_at=lease)
    if held.update(ended_at=clock.now(), due_at=None, **values):
        _tell(run)


@transaction.atomic
def _tell(run: PlanSimulation) -> None:
    endpoint = run.endpoint
    publish(f"endpoint.{endpoint.environment.name}.{endpoint.name}", "simulation.changed", {"simulation": str(run.pk)})
