"""A release that brings back what an earlier one had brought: its version, its files, its serving config."""

from dataclasses import dataclass, field
from typing import Any

from deployments import journal, limits
from deployments.lifecycle import ReleaseStatus
from deployments.models import Endpoint, Release
from deployments.rollout.begin import rollout_begin
from deployments.rollout.strategies import first_release_steps
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import User
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Forbidden
from mlorch_site.lib.hashing import content_hash
from registry.selectors import ruling_policy
from registry.services import artifact_set_hold
from registry.version_lifecycle import is_blocked, why_out_of_use


@dataclass(frozen=True)
class RestoringAct:
    """What the history and the audit record say of the act."""

    action: str
    sentence: str
    data: dict[str, Any] = field(default_factory=dict)


def restoring_release(
    *,
    actor: Actor,
    endpoint: Endpoint,
    target: Release,
    act: RestoringAct,
    reason: str,
    requester: User | None = None,
) -> Release:
    """A release of kind `rollback` that restores `target`, with its rollout begun. Belongs into the transaction of the
    act.

    Nobody approves again what was approved: so the version, the digest and the serving config are those that `target`
    froze. `requester` is in whose name a part of mlorch acts: who asked for what it takes back. Raises Conflict when
    the artifacts are gone or the version is blocked, Forbidden when there is no person.
    """
    if is_blocked(target.version, target.digest):
        raise why_not_restored(target)
    if not artifact_set_hold(digest=target.digest, now=clock.now()):
        raise Conflict(
            f"The artifacts of {target.version} that were approved ({target.digest[:19]}…) are not in the artifact "
            "store any more; it cannot be restored. Request a release of the version: it fetches them again.",
            code="artifacts_missing",
        )
    requester = actor.user or requester
    if requester is None:
        raise Forbidden("This is for a person to decide.")
    release = _create(requester, endpoint, target, reason)
    data = {"release": str(release.pk), **act.data}
    entry = journal.AuditEntry(act.action, data, reason, journal.endpoint_subject(endpoint))
    now = release.created_at
    journal.write(release, act.action, act.sentence, actor=actor, now=now, new=release.status, audit=entry)
    rollout_begin(release, actor=actor, now=now)
    return release


def why_not_restored(target: Release) -> Conflict:
    """The refusal to go back to what is blocked."""
    text = f"{why_out_of_use(target.version)} Nothing goes back to it; request a release of another version."
    return Conflict(text, code="blocked")


def _create(requester: User, endpoint: Endpoint, target: Release, reason: str) -> Release:
    now = clock.now()
    plan = {"steps": [step.to_dict() for step in first_release_steps()], "guardrails": [], "judge_deadline_s": 0}
    config = target.serving_config
    covered = {"restores": str(target.pk), "digest": target.digest, "plan": plan, "serving_config": config.revision}
    return Release.objects.create(
        kind="rollback",
        endpoint=endpoint,
        version=target.version,
        digest=target.digest,
        restores=target,
        requester=requester,
        reason=reason[: limits.REASON_MAX_CHARS],
        strategy={"kind": "immediate"},
        plan=plan,
        content_hash=content_hash(covered),
        policy=ruling_policy(endpoint.environment, endpoint.model),
        serving_config=config,
        status=ReleaseStatus.ROLLING_OUT,
        created_at=now,
        started_at=now,
        due_at=now,
    )
