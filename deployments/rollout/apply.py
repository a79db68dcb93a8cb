"""Carry out one decision: one transaction, one change, fenced by the rollout's `row_version`."""

from datetime import datetime, timedelta
from functools import singledispatch
from typing import Any, NamedTuple

from django.db import transaction

from deployments import journal, limits
from deployments.actors import ROLLOUT
from deployments.lifecycle import Arm, Phase, ReleaseStatus, check_phase_move
from deployments.models import EndpointArm, Release, Rollout, RouteTable
from deployments.rollout.agreement import mirror_in_force, target_in_force
from deployments.rollout.blocked_return import why_blocked_serves
from deployments.rollout.closing import settled
from deployments.rollout.finish import rollout_finish
from deployments.rollout.observe import Observation
from deployments.rollout.plan import Decision, Enter, Finish, Revert, Wait
from deployments.routes.publish import publish_if_changed
from deployments.routes.revisions import newest_revision
from mlorch_site.lib.swap import swap
from registry.services import finding_add


class EndWarning(NamedTuple):
    """What is wrong although a release ends: the kinds of its line in the history, and of its finding."""

    line: str
    finding: str


NOT_OBEYED = EndWarning("rollout.not_obeyed", "gateway_does_not_obey")
BLOCKED_SERVES = EndWarning("rollout.blocked_serves", "blocked_serves")


@transaction.atomic
def apply(observed: Observation, decision: Decision, now: datetime) -> bool:
    """Carry `decision` out unless the rollout changed since it was observed.

    Returns whether it went on (a wait does not).
    """
    if not swap(observed.rollout, **_counted(observed)):
        return False
    _note_verdict(observed, now)
    _note_split(observed, now)
    return _carry_out(decision, observed, now)


def _counted(observed: Observation) -> dict[str, Any]:
    """What was counted since the last look; it is stored with whatever is decided on it."""
    rollout, watch = observed.rollout, observed.watch
    return {
        "judge": watch.judge,
        "judge_cursor": watch.cursor,
        "step_candidate_requests": rollout.step_candidate_requests + watch.step_candidate,
        "step_stable_requests": rollout.step_stable_requests + watch.step_stable,
        "assessment": watch.assessment,
    }


def _note_verdict(observed: Observation, now: datetime) -> None:
    """A verdict that changes is a line of the history."""
    old, new, data = observed.watch.old_verdict, observed.watch.verdict, observed.watch.assessment
    if new and new != old:
        sentence = data.get("sentence", new)
        journal.write(
            observed.release, "rollout.verdict", sentence, actor=ROLLOUT, now=now, old=old, new=new, data=data
        )


def _note_split(observed: Observation, now: datetime) -> None:
    """A split that turns wrong, or right again, is a line of the history."""
    watch = observed.watch
    if bool(watch.split_off) == watch.was_split_off:
        return
    kind = "rollout.split_off" if watch.split_off else "rollout.split_right"
    sentence = watch.split_off or "The traffic is split as asked again."
    journal.write(observed.release, kind, sentence, actor=ROLLOUT, now=now, data=watch.assessment["split"])


def _note_hold(observed: Observation, is_held: bool, now: datetime) -> None:
    """A rollout that is held by a window or an alert, or goes on after one, is a line of the history; its clock stops
    and runs.
    """
    rollout = observed.rollout
    if is_held == (rollout.held_at is not None):
        return
    if is_held:
        swap(rollout, held_at=now)
        kind, sentence = "rollout.held", observed.snapshot.held
    else:
        swap(rollout, **settled(rollout, now))
        kind, sentence = "rollout.open_again", "Nothing holds the rollout any more; it goes on."
    journal.write(observed.release, kind, sentence, actor=ROLLOUT, now=now)


@singledispatch
def _carry_out(decision: Decision, observed: Observation, now: datetime) -> bool:
    raise TypeError(f"unknown decision {decision!r}")


@_carry_out.register
def _wait(decision: Wait, observed: Observation, now: datetime) -> bool:
    _note_hold(observed, decision.is_held, now)
    Release.objects.filter(pk=observed.release.pk).update(due_at=decision.until)
    if decision.is_joined != (observed.rollout.joined_at is not None):
        swap(observed.rollout, joined_at=now if decision.is_joined else None)
    reason = decision.reason[: limits.STATUS_REASON_MAX_CHARS]
    if reason != observed.rollout.waiting_for:
        Rollout.objects.filter(pk=observed.rollout.pk).update(waiting_for=reason)
        journal.announce(observed.release)
    return False


@_carry_out.register
def _enter(decision: Enter, observed: Observation, now: datetime) -> bool:
    release, rollout = observed.release, observed.rollout
    counted = {"candidate_requests": rollout.step_candidate_requests, "stable_requests": rollout.step_stable_requests}
    values: dict[str, Any] = {
        "step": decision.step,
        "step_began_at": now,
        "deadline_at": decision.deadline_at,
        "paused_s": 0,
        "held_at": now if observed.snapshot.held else None,
        "waiting_for": "",
    }
    if not observed.snapshot.held:
        _note_hold(observed, False, now)
    if decision.phase is Phase.BAKING:
        values |= {"applied_at": now, "step_candidate_requests": 0, "step_stable_requests": 0}
        if rollout.watched_at is None and observed.snapshot.has_traffic:
            values["watched_at"] = now
    if decision.weight_pct is not None:
        revision = _publish_weights(release, decision, now)
        values |= {"weight_pct": decision.weight_pct, "route_revision": revision, "applied_at": None}
        counted["mirror_pct"] = decision.mirror_pct
        if mirror_in_force(release, rollout) or target_in_force(release, rollout):
            # What copies or chosen requests showed is no evidence on those that are drawn.
            values |= {"judge": {}, "watched_at": None}
    _enter_phase(observed, decision.phase, decision.sentence, now, values, data=counted)
    return True


@_carry_out.register
def _revert(decision: Revert, observed: Observation, now: datetime) -> bool:
    release = observed.release
    release.endpoint.arms.filter(release=release).delete()
    release.endpoint.arms.filter(arm=Arm.STABLE).update(weight_pct=100)
    values = {
        "weight_pct": 0,
        "route_revision": _published(release, f"{release} goes back", now),
        "outcome": decision.outcome.value,
        "outcome_reason": decision.reason,
        "deadline_at": now + timedelta(seconds=limits.REVERT_DEADLINE_S),
        "step_began_at": now,
        "held_at": None,
        "waiting_for": "",
    }
    _enter_phase(observed, Phase.REVERTING, f"The old weights are published. {decision.reason}", now, values)
    return True


@_carry_out.register
def _finish(decision: Finish, observed: Observation, now: datetime) -> bool:
    rollout, reason = observed.rollout, decision.reason
    ordered_by = rollout.wish_by if rollout.wish in ("abort", "rollback") else ""
    check_phase_move(rollout.phase, Phase.DONE)
    swap(rollout, phase=Phase.DONE, waiting_for="", deadline_at=None)
    blocked = "" if decision.status is ReleaseStatus.SUCCEEDED else why_blocked_serves(observed.release.endpoint)
    for kind, warning in ((NOT_OBEYED, decision.warning), (BLOCKED_SERVES, blocked)):
        if warning:
            _warn(observed, kind, warning, now)
            room = limits.STATUS_REASON_MAX_CHARS - len(warning) - 1
            reason = f"{reason[:room]} {warning}".strip()
    return rollout_finish(observed.release, decision.status, reason=reason, ordered_by=ordered_by, now=now)


def _warn(observed: Observation, kind: EndWarning, warning: str, now: datetime) -> None:
    """The release ends although something is not as it should be: a line of its history, and a finding until a person
    has looked.
    """
    release, revision = observed.release, {"revision": observed.rollout.route_revision}
    journal.write(release, kind.line, warning, actor=ROLLOUT, now=now, data=revision)
    finding_add(
        model=release.endpoint.model,
        kind=kind.finding,
        summary=f"{release.endpoint}: {warning}",
        data={"release": str(release.pk), **revision},
        now=now,
    )


def _enter_phase(
    observed: Observation,
    phase: Phase,
    sentence: str,
    now: datetime,
    values: dict[str, Any],
    data: dict[str, Any] | None = None,
) -> None:
    """Write the phase and `values`, and the line that says so; new weights are recorded too."""
    release, rollout, old = observed.release, observed.rollout, observed.rollout.phase
    check_phase_move(old, phase)
    swap(rollout, phase=phase, **values)
    Release.objects.filter(pk=release.pk).update(due_at=now)
    place = {name: getattr(rollout, name) for name in ("step", "weight_pct", "route_revision")} | (data or {})
    if phase in (Phase.PROMOTING, Phase.REVERTING):
        place["evidence"] = observed.watch.evidence
    entry = journal.AuditEntry("rollout.weights_set", place) if "route_revision" in values else None
    journal.write(
        release, "rollout.step", sentence, actor=ROLLOUT, now=now, old=old, new=phase.value, data=place, audit=entry
    )


def _publish_weights(release: Release, decision: Enter, now: datetime) -> int:
    """Set the arms' weights, publish the table, and return the revision that carries them."""
    weight_pct, baseline_pct = decision.weight_pct or 0, decision.baseline_pct
    EndpointArm.objects.update_or_create(
        endpoint=release.endpoint,
        arm=Arm.CANDIDATE,
        defaults={
            "version": release.version,
            "release": release,
            "weight_pct": weight_pct,
            "mirror_pct": decision.mirror_pct,
        },
    )
    if baseline_pct and release.replaces is not None:
        stable = {"version": release.replaces.version, "release": release, "weight_pct": baseline_pct}
        EndpointArm.objects.update_or_create(endpoint=release.endpoint, arm=Arm.BASELINE, defaults=stable)
    else:
        release.endpoint.arms.filter(arm=Arm.BASELINE).delete()
    release.endpoint.arms.filter(arm=Arm.STABLE).update(weight_pct=100 - weight_pct - baseline_pct)
    return _published(release, f"{release}: {decision.sentence}", now)


def _published(release: Release, reason: str, now: datetime) -> int:
    environment = release.endpoint.environment
    table: RouteTable | None = publish_if_changed(environment, reason=reason, now=now)
    revision = table.revision if table else newest_revision(environment)
    journal.write_traffic(release.endpoint, reason, actor=ROLLOUT, now=now, release=release, revision=revision)
    return revision
