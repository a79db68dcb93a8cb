"""Begin a rollout: its row, its replicas, what it replaces, and the challenger alias.

Runs inside the caller's transaction.
"""

import secrets
from datetime import datetime, timedelta

from deployments import limits
from deployments.journal import announce_goal
from deployments.lifecycle import Phase
from deployments.models import Release, Replica, Rollout
from deployments.rollout.steps import has_baseline, steps_from_plan
from mlorch_site.accounts.actor import Actor
from registry.services import alias_want

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"


def rollout_begin(release: Release, *, actor: Actor, now: datetime) -> Rollout:
    """Create the rollout in phase `starting` and let the candidate's replicas start (warm ones are taken back
    instead).
    """
    endpoint = release.endpoint
    Release.objects.filter(pk=release.pk).update(replaces=endpoint.stable_release_id)
    release.replaces = endpoint.stable_release
    replicas_want(release, now)
    if has_baseline(steps_from_plan(release.plan)):
        _baseline_want(release, now)
    config = release.serving_config
    start_s = config.start_timeout_s * (config.max_restarts + 1) + limits.START_SLACK_S
    if endpoint.environment.aliases and release.replaces is not None and release.kind == "release":
        alias_want(
            actor=actor,
            model=endpoint.model,
            name=CHALLENGER,
            version=release.version,
            reason=f"Rolling out to {endpoint}",
        )
    return Rollout.objects.create(
        release=release,
        phase=Phase.STARTING,
        began_at=now,
        step_began_at=now,
        deadline_at=now + timedelta(seconds=start_s),
    )


def replicas_want(release: Release, now: datetime) -> None:
    """Want as many replicas of what the release froze as its serving config says, taking back those kept warm first."""
    known = Replica.objects.filter(Replica.of(release), wanted=True)
    known.update(keep_until=None, removed_from_routes_at=None, removal_revision=0)
    missing = release.serving_config.replicas - known.count()
    if missing > 0:
        announce_goal()
    _create(release, release, missing, now)


def _baseline_want(release: Release, now: datetime) -> None:
    """Want as many replicas of the stable version as the candidate has, started with them, and set up alike."""
    if release.replaces is not None:
        announce_goal()
        _create(release, release.replaces, release.serving_config.replicas, now, is_baseline=True)


def _create(release: Release, frozen: Release, count: int, now: datetime, *, is_baseline: bool = False) -> None:
    """Want `count` replicas of the version that `frozen` names, as `release` sets them up."""
    for _ in range(count):
        Replica.objects.create(
            id=f"r-{secrets.token_hex(6)}",
            endpoint=release.endpoint,
            version=frozen.version,
            digest=frozen.digest,
            serving_config=release.serving_config,
            platform=release.endpoint.environment.platform,
            is_baseline=is_baseline,
            created_at=now,
        )
