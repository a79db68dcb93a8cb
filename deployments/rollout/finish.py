"""Finish a rollout: arms, stable release, replicas, aliases, status. Runs inside the caller's transaction."""

from datetime import datetime, timedelta

from django.db.models import QuerySet

from deployments import selectors
from deployments.actors import ROLLOUT
from deployments.journal import announce_endpoint, write_traffic
from deployments.lifecycle import Arm, ReleaseStatus
from deployments.models import BakeWatch, Endpoint, EndpointArm, Release, Replica
from deployments.moves import release_move
from deployments.rollout.begin import CHALLENGER, CHAMPION, PREVIOUS
from deployments.rollout.watch_terms import watch_terms
from deployments.routes.publish import publish_if_changed
from deployments.routes.revisions import newest_revision
from mlorch_site.accounts.actor import Actor
from registry.models import Version
from registry.services import alias_want


def rollout_finish(release: Release, status: ReleaseStatus, *, reason: str, ordered_by: str, now: datetime) -> bool:
    """Leave the endpoint with exactly one arm (or none), retire the replicas it does not need, and end the release."""
    if status is ReleaseStatus.SUCCEEDED:
        _make_stable(release)
        _watch_on(release, now)
    else:
        release.endpoint.arms.filter(release=release).delete()
        release.endpoint.arms.filter(arm=Arm.STABLE).update(weight_pct=100)
    _retire_replicas(release, now)
    environment = release.endpoint.environment
    table = publish_if_changed(environment, reason=f"{release}: {status.value}", now=now)
    revision = table.revision if table else newest_revision(environment)
    _retired_replicas(release).filter(removal_revision=0).update(removal_revision=revision)
    sentence = f"{release}: {reason or status.value}"
    write_traffic(release.endpoint, sentence, actor=ROLLOUT, now=now, release=release, revision=revision)
    if environment.aliases:
        _aliases_want(release, status)
    announce_endpoint(release.endpoint)
    return release_move(release, status, actor=ROLLOUT.on_behalf(ordered_by), reason=reason, now=now)


def endpoint_empty(endpoint: Endpoint, *, actor: Actor, now: datetime) -> None:
    """Leave an endpoint without any arm and without replicas, and MLflow's aliases without what it served."""
    endpoint.arms.all().delete()
    going = Replica.objects.filter(endpoint=endpoint, wanted=True)
    going.update(keep_until=None)
    going.filter(removed_from_routes_at=None).update(removed_from_routes_at=now, removal_revision=0)
    environment = endpoint.environment
    table = publish_if_changed(environment, reason=f"{endpoint} was retired", now=now)
    revision = table.revision if table else newest_revision(environment)
    going.filter(removal_revision=0).update(removal_revision=revision)
    write_traffic(endpoint, f"{actor.name} retired {endpoint}.", actor=actor, now=now, revision=revision)
    if environment.aliases:
        for name in (CHALLENGER, CHAMPION, PREVIOUS):
            alias_want(actor=actor, model=endpoint.model, name=name, version=None, reason=f"{endpoint} was retired")


def _make_stable(release: Release) -> None:
    """The candidate becomes the stable arm."""
    release.endpoint.arms.exclude(release=release).delete()
    EndpointArm.objects.update_or_create(
        endpoint=release.endpoint,
        release=release,
        defaults={"arm": Arm.STABLE, "version": release.version, "weight_pct": 100, "mirror_pct": 0},
    )
    Endpoint.objects.filter(pk=release.endpoint_id).update(stable_release=release)
    release.endpoint.stable_release = release


def _watch_on(release: Release, now: datetime) -> None:
    """Watch what became stable for as long as its terms say."""
    terms = watch_terms(release)
    if terms.watched:
        BakeWatch.objects.create(
            release=release,
            began_at=now,
            until=now + timedelta(seconds=terms.seconds),
            watched=[one.to_dict() for one in terms.watched],
            cursor=release.rollout.judge_cursor,
            due_at=now,
        )


def _retired_replicas(release: Release) -> QuerySet[Replica]:
    return Replica.objects.filter(endpoint=release.endpoint, wanted=True, removed_from_routes_at__isnull=False)


def _retire_replicas(release: Release, now: datetime) -> None:
    """Take replicas that no arm needs out of the routes; keep only those of the rollback target warm."""
    endpoint = release.endpoint
    idle = Replica.objects.filter(endpoint=endpoint, wanted=True)
    for arm in endpoint.arms.select_related("release"):
        idle = idle.exclude(Replica.of(arm.release))
    idle.filter(removed_from_routes_at=None).update(removed_from_routes_at=now, removal_revision=0)
    target = selectors.rollback_target(endpoint)
    if target is None:
        idle.update(keep_until=None)
        return
    idle.exclude(Replica.of(target)).update(keep_until=None)
    watch = BakeWatch.objects.filter(release=release, outcome="").first()
    keep_until = now + timedelta(seconds=release.serving_config.keep_previous_s)
    if watch is not None:
        keep_until = max(keep_until, watch.until)
    idle.filter(Replica.of(target), keep_until=None).update(keep_until=keep_until)


def _aliases_want(release: Release, status: ReleaseStatus) -> None:
    """Let MLflow's aliases say what is served: champion, what a rollback would restore, and no challenger any more."""
    endpoint = release.endpoint
    wanted: dict[str, Version | None] = {CHALLENGER: None}
    if status is ReleaseStatus.SUCCEEDED:
        target = selectors.rollback_target(endpoint)
        wanted |= {CHAMPION: release.version, PREVIOUS: target.version if target else None}
    for name, version in wanted.items():
        alias_want(actor=ROLLOUT, model=endpoint.model, name=name, version=version, reason=f"{release}: {status.value}")
