"""What people do with a rollout: pause, resume, promote, abort, roll back.

Besides their role, the policy may name who of those may: to pause, promote and abort that which the release was
requested under, to roll an endpoint back that in force.
"""

import contextlib
import uuid

from django.db import transaction

from deployments import journal, limits, selectors
from deployments.actors import ROLLOUT
from deployments.lifecycle import LIVE_STATUSES, OPEN_STATUSES, ReleaseStatus
from deployments.models import Endpoint, Release, Rollout
from deployments.moves import release_move
from deployments.rollout.closing import settled, why_held
from deployments.rollout.reconcile import reconcile_now
from deployments.services.restoring import RestoringAct, restoring_release, why_not_restored
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Invalid
from mlorch_site.lib.swap import swap
from registry.approvals.services import approval_withdraw
from registry.lifecycle import ApprovalStatus
from registry.operators import require_operator, require_rollback


@transaction.atomic
def release_pause(*, actor: Actor, release: Release, reason: str = "") -> Release:
    """Hold the rollout where it is: step timers stand still, judging goes on, and a harmful verdict still takes it
    back.

    Pausing twice is harmless. Raises Conflict when nothing is rolling out.
    """
    actor.require(Action.RELEASE_PAUSE, release.scopes)
    release, rollout = _locked(release)
    require_operator(actor, release.policy, "pause", release.scopes)
    if release.status == ReleaseStatus.PAUSED:
        return release
    _require_moving(release, rollout, "paused")
    now = clock.now()
    sentence = f"Paused by {actor.name}." + (f" {reason}" if reason else "")
    if release_move(release, ReleaseStatus.PAUSED, actor=actor, reason=sentence, now=now):
        swap(rollout, paused_at=now, **settled(rollout, now))
    return _fresh(release)


@transaction.atomic
def release_resume(*, actor: Actor, release: Release, reason: str = "") -> Release:
    """Let a paused rollout go on; the time it was paused does not count. Resuming one that moves is harmless."""
    actor.require(Action.RELEASE_PAUSE, release.scopes)
    release, rollout = _locked(release)
    require_operator(actor, release.policy, "pause", release.scopes)
    if release.status == ReleaseStatus.ROLLING_OUT:
        return release
    if release.status != ReleaseStatus.PAUSED:
        raise Conflict(f"This release is {release.status.replace('_', ' ')}; only a paused one can be resumed.")
    now = clock.now()
    paused_s = (now - rollout.paused_at).total_seconds() if rollout.paused_at else 0.0
    deadline = rollout.deadline_at and rollout.deadline_at + (now - (rollout.paused_at or now))
    sentence = f"Resumed by {actor.name}." + (f" {reason}" if reason else "")
    if release_move(release, ReleaseStatus.ROLLING_OUT, actor=actor, reason=sentence, now=now):
        swap(rollout, paused_at=None, paused_s=rollout.paused_s + paused_s, deadline_at=deadline)
    return _fresh(release)


@transaction.atomic
def release_promote(*, actor: Actor, release: Release, reason: str = "") -> Release:
    """Skip the rest of the plan and give all traffic to the candidate as soon as it is ready. Asking twice is harmless.

    Raises Conflict when nothing is rolling out, the rollout is on its way back, or a window holds it; Invalid without a
    reason while the candidate is still compared or the traffic is not split as asked.
    """
    actor.require(Action.RELEASE_PROMOTE, release.scopes)
    release, rollout = _locked(release)
    require_operator(actor, release.policy, "promote", release.scopes)
    if rollout is not None and rollout.wish == "promote":
        return release
    _require_moving(release, rollout, "promoted")
    if held := why_held(release, clock.now()):
        raise Conflict(f"{held} Nobody promotes while that lasts; it can be taken back at any time.", code="closed")
    if why_asked := _why_reason(rollout) if not reason.strip() else "":
        raise Invalid(why_asked, details={"reason": "needed"})
    _wish(actor, release, rollout, "promote", reason)
    return _reconciled(release)


def _why_reason(rollout: Rollout) -> str:
    """Why promoting by hand needs a reason, or an empty string when it is what the plan waits for."""
    if rollout.phase != "holding":
        return "Say why the rest of the plan is skipped."
    if (rollout.assessment.get("split") or {}).get("is_off"):
        return "Say why it is promoted although the traffic is not split as asked."
    return ""


@transaction.atomic
def release_abort(*, actor: Actor, release: Release, reason: str = "") -> Release:
    """End the release: before its rollout at once, during it by sending all traffic back first.

    Aborting twice is harmless.

    Raises Conflict when it has ended otherwise or is being promoted for good.
    """
    release, rollout = _locked(release)
    _require_abort(actor, release)
    if release.status == ReleaseStatus.ABORTED or (rollout and rollout.phase == "reverting"):
        return release
    if ReleaseStatus(release.status) not in OPEN_STATUSES:
        raise Conflict(f"This release is {release.status.replace('_', ' ')}; there is nothing left to abort.")
    if rollout is None:
        return _abort_before_rollout(actor, release, reason)
    if rollout.wish != "abort":
        _wish(actor, release, rollout, "abort", reason)
    return _reconciled(release)


@transaction.atomic
def endpoint_rollback(*, actor: Actor, endpoint: Endpoint, expects: str, reason: str) -> Release:
    """Take the endpoint back to the version before. Returns the release that is taken back, or the rollback's own.

    During a rollout: that release is reverted (status `rolled_back`). Otherwise a release of kind `rollback` restores
    what the stable one had replaced, without approval. `expects` is the id of the release that is to be taken back: the
    one that rolls out, or the stable one. Asking again for the same is harmless. Raises Conflict when another release
    is there by now, or when there is nothing to go back to.
    """
    actor.require(Action.ENDPOINT_ROLLBACK, endpoint.scopes)
    require_rollback(actor, endpoint.environment, endpoint.model, endpoint.scopes)
    endpoint = (
        Endpoint.objects.select_for_update(of=("self",)).select_related("environment", "model").get(pk=endpoint.pk)
    )
    live = selectors.live_release(endpoint)
    taken_back = live or endpoint.stable_release
    if taken_back is None or str(taken_back.pk) != expects:
        return _asked_before(endpoint, live, expects)
    if live is not None:
        return live if live.kind == "rollback" else _revert_by_hand(actor, live, reason)
    return _reconciled(_rollback_release(actor, endpoint, reason))


def _asked_before(endpoint: Endpoint, live: Release | None, expects: str) -> Release:
    """The release that already did, or does, what was asked. Raises Conflict with what is the case when there is none.

    Whoever clicks twice, or together with somebody else, meant one step back.
    """
    present = live or endpoint.stable_release
    if present is not None and present.kind == "rollback" and str(present.replaces_id) == expects:
        return present
    with contextlib.suppress(ValueError):  # what is no id names no release
        reverted = endpoint.releases.filter(pk=uuid.UUID(expects), status=ReleaseStatus.ROLLED_BACK).first()
        if reverted is not None:
            return reverted
    if live is not None:
        what = f"version {live.version.number} is rolling out"
    elif endpoint.stable_release is not None:
        what = f"version {endpoint.stable_release.version.number} serves"
    else:
        what = "nothing serves"
    raise Conflict(
        f"{endpoint} is not as you saw it: {what} now. Look again before you roll back.",
        code="changed_meanwhile",
        details={"release": str(live.pk) if live else str(endpoint.stable_release_id or "")},
    )


def _revert_by_hand(actor: Actor, live: Release, reason: str) -> Release:
    release, rollout = _locked(live)
    if rollout is None:
        raise Conflict("The rollout is just beginning; try again.")
    if rollout.phase != "reverting" and rollout.wish != "rollback":
        if release.replaces_id is None:
            raise Conflict(
                f"{release.endpoint} has no version to go back to: this is its first release. "
                "Abort it to take it out of service."
            )
        _wish(actor, release, rollout, "rollback", reason)
    return _reconciled(release)


def _rollback_release(actor: Actor, endpoint: Endpoint, reason: str) -> Release:
    target, stable = selectors.rollback_target(endpoint), endpoint.stable_release
    if target is None or stable is None:
        blocked = next(selectors.earlier_releases(endpoint), None)
        if blocked is not None:
            raise why_not_restored(blocked)
        raise Conflict(f"{endpoint} has no version to go back to.", code="no_rollback_target")
    sentence = f"{actor.name} rolled {endpoint} back from version {stable.version.number} to {target.version.number}."
    data = {"from": stable.version.number, "to": target.version.number}
    act = RestoringAct("endpoint.rolled_back", sentence, data)
    return restoring_release(actor=actor, endpoint=endpoint, target=target, act=act, reason=reason)


def _wish(actor: Actor, release: Release, rollout: Rollout, wish: str, reason: str) -> None:
    """Note what a person asked for; the engine does it at its next look, which follows at once."""
    now = clock.now()
    swap(rollout, wish=wish, wish_by=actor.name, wish_reason=reason[: limits.REASON_MAX_CHARS])
    sentence = {
        "promote": f"{actor.name} asked to promote without the rest of the plan.",
        "abort": f"{actor.name} aborted the release.",
        "rollback": f"{actor.name} rolled the endpoint back.",
    }[wish]
    entry = journal.AuditEntry(f"release.{wish}_ordered", {"phase": rollout.phase}, reason)
    journal.write(release, f"wish.{wish}", f"{sentence} {reason}".strip(), actor=actor, now=now, audit=entry)


def _abort_before_rollout(actor: Actor, release: Release, reason: str) -> Release:
    if release.approval is not None and release.approval.status == ApprovalStatus.OPEN:
        approval_withdraw(actor=actor, request=release.approval, reason=reason or "The release was aborted.")
    sentence = f"Aborted by {actor.name} before its rollout." + (f" {reason}" if reason else "")
    if not release_move(release, ReleaseStatus.ABORTED, actor=actor, reason=sentence, now=clock.now()):
        raise Conflict("The release changed at the same moment; try again.")
    return release


def _require_abort(actor: Actor, release: Release) -> None:
    """The requester may take the own release back before its rollout; otherwise the role decides."""
    own = actor.user is not None and actor.user.pk == release.requester_id
    if not (
        own and ReleaseStatus(release.status) not in LIVE_STATUSES and actor.may(Action.RELEASE_REQUEST, release.scopes)
    ):
        actor.require(Action.RELEASE_ABORT, release.scopes)
        require_operator(actor, release.policy, "abort", release.scopes)


def _require_moving(release: Release, rollout: Rollout | None, verb: str) -> None:
    if rollout is None or ReleaseStatus(release.status) not in LIVE_STATUSES:
        raise Conflict(f"This release is {release.status.replace('_', ' ')}; it cannot be {verb}.")
    if rollout.phase in ("reverting", "done") or rollout.wish in ("abort", "rollback"):
        raise Conflict(f"This rollout is on its way back; it cannot be {verb}.")


def _locked(release: Release) -> tuple[Release, Rollout]:
    """The rows as they are now, locked until the end of the transaction."""
    rows = Release.objects.select_for_update(of=("self",)).select_related(
        "endpoint__environment", "endpoint__model", "version__model", "approval", "policy", "serving_config"
    )
    fresh = rows.get(pk=release.pk)
    return fresh, Rollout.objects.select_for_update().filter(release=fresh).first()  # type: ignore[return-value]


def _reconciled(release: Release) -> Release:
    """Do now what needs no waiting, in the same transaction: old weights go out with the decision to roll back."""
    reconcile_now(str(release.pk), now=clock.now())
    return _fresh(release)


def _fresh(release: Release) -> Release:
    return selectors.releases_visible_to(ROLLOUT).get(pk=release.pk)
