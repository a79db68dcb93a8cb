"""Requesting a release, previewing one, deciding about one."""

from django.db import IntegrityError, transaction

from deployments import journal, limits
from deployments.lifecycle import LIVE_STATUSES, ReleaseStatus
from deployments.models import Endpoint, Release
from deployments.quotas import quota_lock
from deployments.rollout.steps import steps_from_plan
from deployments.selectors import open_release
from deployments.services.advance import release_look, release_void_changed
from deployments.services.approval_content import approval_content
from deployments.services.checks import CHECK_RELEASE
from deployments.services.commands import Preview, ReleaseCommand
from deployments.services.controls import release_abort
from deployments.services.endpoints import endpoint_create, serving_config_of
from deployments.services.preview import preview_of
from deployments.services.request_check import CheckedRequest, check_request
from mlorch_site.accounts.actor import Actor
from mlorch_site.lib import clock
from mlorch_site.lib.enqueue import enqueue_on_commit
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid
from mlorch_site.lib.hashing import content_hash
from registry.approvals.services import approval_decide
from registry.lifecycle import DecisionKind
from registry.models import Environment
from registry.selectors import why_changed_outside
from registry.services import artifact_set_hold
from registry.version_lifecycle import why_out_of_use


def release_preview(*, actor: Actor, command: ReleaseCommand) -> Preview:
    """What the release would do and need; nothing is written. Raises NotFound only for what hides everything else."""
    return preview_of(actor, check_request(actor, command))


@transaction.atomic
def release_request(*, actor: Actor, command: ReleaseCommand) -> Release:
    """Request a release and return it with status `checking`; its gates run in the background.

    The endpoint is created when it does not exist. Calling twice makes one release: the second call is a Conflict that
    names the first. An open release that the command supersedes is ended with it, or neither happens; one that rolls
    out is not superseded. Raises Invalid (details name the fields), Forbidden, Conflict.
    """
    quota_lock(Environment.objects.filter(name=command.environment).first())
    check = check_request(actor, command)
    if check.forbidden:
        raise Forbidden(check.forbidden)
    if check.request is None:
        raise Invalid(" ".join(check.problems.values()), details=check.problems)
    if actor.user is None:
        raise Forbidden("A release is requested by a person.")
    target = check.request.target
    endpoint = target.endpoint or endpoint_create(
        actor=actor, environment=target.environment, name=command.endpoint, model=target.model
    )
    _make_way(actor, endpoint, command)
    _check_free(endpoint)
    release = _create(actor, endpoint, check.request)
    enqueue_on_commit(CHECK_RELEASE, str(release.pk))
    return release


def release_decide(
    *, actor: Actor, release: Release, decision: str, comment: str = "", on_behalf_of: str = ""
) -> Release:
    """Approve, reject, ask for changes, or take back what one said. The last approval that is needed lets the rollout
    start by itself. `on_behalf_of` names the person who delegated the power to decide.

    Raises Conflict when the release does not wait for decisions or what was asked about has changed, which voids the
    request; and whatever the approval itself refuses.
    """
    if release.approval is None or release.status != "awaiting_approval":
        raise Conflict(f"This release is {release.status.replace('_', ' ')}; it does not wait for a decision.")
    if decision == DecisionKind.APPROVE and (why := why_changed_outside(release.version, release.digest)):
        raise Conflict(f"{why} It cannot be approved; request the release again.", code="changed_outside")
    if decision == DecisionKind.APPROVE and (why := why_out_of_use(release.version)):
        raise Conflict(f"{why} It cannot be approved.", code="out_of_use")
    with transaction.atomic():
        # The release first, as everywhere: whoever takes two rows in another order may wait for somebody for ever.
        Release.objects.select_for_update(of=("self",)).get(pk=release.pk)
        changed = release_void_changed(release, now=clock.now()) if decision == DecisionKind.APPROVE else ""
        if not changed:
            _note_decision(actor, release, decision, comment, on_behalf_of)
    if changed:
        raise Conflict(f"{changed} It cannot be approved; request the release again.", code="changed")
    release_look(release_id=str(release.pk), now=clock.now())
    release.refresh_from_db()
    return release


def _note_decision(actor: Actor, release: Release, decision: str, comment: str, on_behalf_of: str) -> None:
    assert release.approval is not None
    noted = approval_decide(
        actor=actor, request=release.approval, kind=decision, comment=comment, on_behalf_of=on_behalf_of
    )
    if noted is None:
        return
    for_whom = f" for {on_behalf_of}" if on_behalf_of else ""
    sentence = f"{comment or decision.replace('_', ' ')}{for_whom and f' ({actor.name}{for_whom})'}"
    journal.write(release, f"decision.{decision}", sentence, actor=actor, now=clock.now())


def _make_way(actor: Actor, endpoint: Endpoint, command: ReleaseCommand) -> None:
    """End the open release that the command supersedes. One that has ended meanwhile is in nobody's way."""
    busy = open_release(endpoint) if command.supersedes else None
    if busy is None or str(busy.pk) != command.supersedes:
        return
    if ReleaseStatus(busy.status) in LIVE_STATUSES:
        raise Conflict(
            f"{busy} is {busy.status.replace('_', ' ')}; it cannot be superseded. "
            "Abort it, and request this one when the traffic is back.",
            code="endpoint_busy",
            details={"release": str(busy.pk), "status": busy.status},
        )
    reason = f"Superseded by {actor.name}'s request of version {command.version}."
    release_abort(actor=actor, release=busy, reason=reason)


def _check_free(endpoint: Endpoint) -> None:
    """Raise Conflict, naming it, when a release of the endpoint is open."""
    busy = open_release(endpoint)
    if busy is None:
        return
    raise Conflict(
        f"{endpoint} is busy: the release of version {busy.version.number} is {busy.status.replace('_', ' ')}. "
        "Wait until it has ended, or abort it.",
        code="endpoint_busy",
        details={"release": str(busy.pk), "status": busy.status},
    )


def _create(actor: Actor, endpoint: Endpoint, request: CheckedRequest) -> Release:
    now = clock.now()
    config = serving_config_of(endpoint)
    # Without its files the release waits in its checks until they are fetched again.
    artifact_set_hold(digest=request.version.digest, now=now)
    release = Release(
        endpoint=endpoint,
        version=request.version,
        digest=request.version.digest,
        requester=actor.user,
        reason=request.command.reason[: limits.REASON_MAX_CHARS],
        strategy=request.command.strategy,
        guardrails=request.guardrails,
        plan=request.plan,
        group_id=request.plan.get("group", {}).get("id"),
        policy=request.target.policy,
        serving_config=config,
        created_at=now,
        due_at=now,
    )
    release.content_hash = content_hash(approval_content(release))
    try:
        with transaction.atomic():
            release.save(force_insert=True)
    except IntegrityError:
        _check_free(endpoint)
        raise
    steps = len(steps_from_plan(release.plan))
    sentence = f"{actor.name} requested version {request.version.number} for {endpoint} ({steps} steps)."
    entry = journal.AuditEntry(
        "release.requested",
        {
            "endpoint": str(endpoint),
            "version": request.version.number,
            "digest": request.version.digest,
            "plan": request.plan,
            "content_hash": release.content_hash,
            "policy": request.target.policy.revision,
            **({"supersedes": request.command.supersedes} if request.command.supersedes else {}),
        },
        release.reason,
    )
    journal.write(release, "release.requested", sentence, actor=actor, now=now, new="checking", audit=entry)
    return release
