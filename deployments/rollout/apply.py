"""Carry out one decision: one transaction, one change, fenced by the rollout's `row_version`."""

from datetime import datetime, timedelta
from functools import singledispatch
from typing import Any

from django.db import transaction
from django.db.models import F

from deployments import limits
from deployments.journal import announce, event_add, release_subject
from deployments.lifecycle import Arm, Phase, check_phase_move
from deployments.models import EndpointArm, Release, RouteTable
from deployments.rollout.agreement import mirroring
from deployments.rollout.finish import end
from deployments.rollout.observe import Observation
from deployments.rollout.plan import Decision, Enter, Finish, Revert, Wait
from deployments.routes.publish import publish_if_changed
from deployments.routes.revisions import newest_revision
from mlorch_site.accounts.actor import Actor
from mlorch_site.audit.services import audit_record
from registry.services import finding_add

ENGINE = Actor.controller("rollout")


@transaction.atomic
def apply(seen: Observation, decision: Decision, now: datetime) -> bool:
    """Carry `decision` out unless the rollout changed since it was seen. Returns whether the rollout went on (a wait does not)."""
    if not _swap(seen, now, **_fold(seen)):
        return False
    _note_verdict(seen, now)
    return _carry_out(decision, seen, now)


def _swap(seen: Observation, now: datetime, **values: Any) -> bool:
    """Write `values` to the rollout unless somebody was first; on success the row in hand carries them."""
    rollout = seen.rollout
    rows = type(rollout).objects.filter(pk=rollout.pk, row_version=rollout.row_version)
    if not rows.update(row_version=F("row_version") + 1, **values):
        return False
    rollout.row_version += 1
    for name, value in values.items():
        setattr(rollout, name, value)
    return True


def _fold(seen: Observation) -> dict[str, Any]:
    """Return what was counted since the last look; it is stored with whatever is decided on it."""
    return {
        "judge": seen.watch.judge,
        "judge_cursor": seen.watch.cursor,
        "step_candidate_requests": seen.rollout.step_candidate_requests + seen.watch.step_candidate,
        "step_stable_requests": seen.rollout.step_stable_requests + seen.watch.step_stable,
        "assessment": seen.watch.assessment,
    }


def _note_verdict(seen: Observation, now: datetime) -> None:
    old, new = seen.watch.old_verdict, seen.watch.verdict
    if new and new != old:
        sentence = seen.watch.assessment.get("sentence", new)
        event_add(
            seen.release,
            "rollout.verdict",
            sentence,
            actor=ENGINE,
            now=now,
            old=old,
            new=new,
            data=seen.watch.assessment,
        )
        announce(seen.release)
    _note_split(seen, now)


def _note_split(seen: Observation, now: datetime) -> None:
    """A split that turns wrong, or right again, is a line of the history."""
    watch = seen.watch
    if bool(watch.split_off) == watch.was_split_off:
        return
    kind = "rollout.split_off" if watch.split_off else "rollout.split_right"
    sentence = watch.split_off or "The traffic is split as asked again."
    event_add(seen.release, kind, sentence, actor=ENGINE, now=now, data=watch.assessment["split"])
    announce(seen.release)


@singledispatch
def _carry_out(decision: Decision, seen: Observation, now: datetime) -> bool:
    raise TypeError(f"unknown decision {decision!r}")


@_carry_out.register
def _(decision: Wait, seen: Observation, now: datetime) -> bool:
    Release.objects.filter(pk=seen.release.pk).update(due_at=decision.until)
    reason = decision.reason[: limits.STATUS_REASON_MAX_CHARS]
    if reason != seen.rollout.waiting_for:
        type(seen.rollout).objects.filter(pk=seen.rollout.pk).update(waiting_for=reason)
        announce(seen.release)
    return False


@_carry_out.register
def _(decision: Enter, seen: Observation, now: datetime) -> bool:
    release, rollout = seen.release, seen.rollout
    leaving = {"candidate_requests": rollout.step_candidate_requests, "stable_requests": rollout.step_stable_requests}
    values: dict[str, Any] = {
        "step": decision.step,
        "step_began_at": now,
        "deadline_at": decision.deadline_at,
        "paused_s": 0,
        "waiting_for": "",
    }
    if decision.phase is Phase.BAKING:
        values |= {"applied_at": now, "step_candidate_requests": 0, "step_stable_requests": 0}
        if rollout.watched_at is None and seen.facts.has_traffic:
            values["watched_at"] = now
    if decision.weight_pct is not None:
        table = _publish_weights(release, decision.weight_pct, decision.mirror_pct, decision.sentence, now)
        values |= {"weight_pct": decision.weight_pct, "route_revision": table, "applied_at": None}
        leaving["mirror_pct"] = decision.mirror_pct
        if mirroring(release, rollout):
            values |= {"judge": {}, "watched_at": None}  # what copies showed is no evidence on clients' own requests
    _go(seen, decision.phase, decision.sentence, now, values, data=leaving)
    return True


@_carry_out.register
def _(decision: Revert, seen: Observation, now: datetime) -> bool:
    release = seen.release
    release.endpoint.arms.filter(release=release).delete()
    release.endpoint.arms.filter(arm=Arm.STABLE).update(weight_pct=100)
    revision = _published(release, f"{release} goes back", now)
    values = {
        "weight_pct": 0,
        "route_revision": revision,
        "outcome": decision.outcome.value,
        "outcome_reason": decision.reason,
        "deadline_at": now + timedelta(seconds=limits.REVERT_DEADLINE_S),
        "step_began_at": now,
        "waiting_for": "",
    }
    _go(seen, Phase.REVERTING, f"The old weights are published. {decision.reason}", now, values)
    return True


@_carry_out.register
def _(decision: Finish, seen: Observation, now: datetime) -> bool:
    by = seen.rollout.wish_by if seen.rollout.wish in ("abort", "rollback") else ""
    check_phase_move(seen.rollout.phase, Phase.DONE)
    _swap(seen, now, phase=Phase.DONE, waiting_for="", deadline_at=None)
    reason = decision.reason
    if decision.warning:
        _warn(seen, decision.warning, now)
        room = limits.STATUS_REASON_MAX_CHARS - len(decision.warning) - 1
        reason = f"{reason[:room]} {decision.warning}".strip()
    return end(seen.release, decision.status, reason=reason, actor=ENGINE, on_behalf_of=by, now=now)


def _warn(seen: Observation, warning: str, now: datetime) -> None:
    """The release ends although a gateway does not obey: a line of its history, and a finding until a person has looked."""
    release = seen.release
    event_add(
        release, "rollout.not_obeyed", warning, actor=ENGINE, now=now, data={"revision": seen.rollout.route_revision}
    )
    finding_add(
        model=release.endpoint.model,
        kind="gateway_does_not_obey",
        summary=f"{release.endpoint}: {warning}",
        data={"release": str(release.pk), "revision": seen.rollout.route_revision},
        now=now,
    )


def _go(
    seen: Observation,
    phase: Phase,
    sentence: str,
    now: datetime,
    values: dict[str, Any],
    data: dict[str, Any] | None = None,
) -> None:
    """Enter a phase: the row, history, audit record, event."""
    rollout = seen.rollout
    old = rollout.phase
    check_phase_move(old, phase)
    _swap(seen, now, phase=phase, **values)
    Release.objects.filter(pk=seen.release.pk).update(due_at=now)
    facts = {
        "step": rollout.step,
        "weight_pct": rollout.weight_pct,
        "route_revision": rollout.route_revision,
        **(data or {}),
    }
    event_add(seen.release, "rollout.step", sentence, actor=ENGINE, now=now, old=old, new=phase.value, data=facts)
    if "route_revision" in values:
        audit_record(ENGINE, "rollout.weights_set", release_subject(seen.release), reason=sentence, data=facts)
    announce(seen.release)


def _publish_weights(release: Release, weight_pct: int, mirror_pct: int, sentence: str, now: datetime) -> int:
    """Set the arms' weights, publish the table, and return the revision that carries them."""
    EndpointArm.objects.update_or_create(
        endpoint=release.endpoint,
        arm=Arm.CANDIDATE,
        defaults={"version": release.version, "release": release, "weight_pct": weight_pct, "mirror_pct": mirror_pct},
    )
    release.endpoint.arms.filter(arm=Arm.STABLE).update(weight_pct=100 - weight_pct)
    return _published(release, f"{release}: {sentence}", now)


def _published(release: Release, reason: str, now: datetime) -> int:
    environment = release.endpoint.environment
    table: RouteTable | None = publish_if_changed(environment, reason=reason, now=now)
    return table.revision if table else newest_revision(environment)
