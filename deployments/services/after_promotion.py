"""The watch after a promotion: looked at by the tick until its time is over, and back by itself when it signals."""

from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db import transaction

from deployments import journal, limits, selectors
from deployments.actors import ROLLOUT
from deployments.lifecycle import Arm, BakeOutcome
from deployments.models import BakeWatch, Endpoint, Release
from deployments.rollout.reconcile import reconcile_now
from deployments.services.restoring import RestoringAct, restoring_release
from mlorch_site.lib.errors import Conflict
from monitoring.analysis.bake_watch import Watched, fold
from monitoring.selectors import arm_counts_since

log = structlog.get_logger(__name__)


def bake_watches_look(*, now: datetime) -> None:
    """Look at every watch that is due; twice is harmless."""
    due = BakeWatch.objects.filter(due_at__lte=now).order_by("due_at").values_list("pk", "release__endpoint")
    for pk, endpoint in due[: limits.BAKE_WATCHES_PER_TICK]:
        try:
            _look(pk, endpoint, now)
        except Exception:  # one watch that cannot be looked at must not stop the others
            log.exception("bake_watch.look_failed", watch=pk)
            BakeWatch.objects.filter(pk=pk).update(due_at=now + timedelta(seconds=limits.LOOK_IDLE_S))


@transaction.atomic
def _look(pk: int, endpoint_id: UUID, now: datetime) -> None:
    # The endpoint first, as a rollback by hand takes it: whoever comes second finds another release serving.
    endpoints = Endpoint.objects.select_for_update(of=("self",)).select_related("environment", "model")
    endpoint = endpoints.get(pk=endpoint_id)
    rows = BakeWatch.objects.select_for_update(of=("self",)).select_related(
        "release__endpoint__environment", "release__endpoint__model", "release__version__model", "release__requester"
    )
    watch = rows.filter(pk=pk, due_at__lte=now).first()
    if watch is None:
        return
    if endpoint.stable_release_id != watch.release_id or endpoint.retired_at is not None:
        _end(watch, BakeOutcome.REPLACED)
        return
    known = [Watched.from_dict(row) for row in watch.watched]
    watched, watch.cursor = _counted(watch, known)
    watch.watched = [one.to_dict() for one in watched]
    signalled = next((one for one in watched if one.is_signalled), None)
    if signalled is not None:
        _signal(watch, endpoint, signalled, now)
    elif now >= watch.until:
        sentence = f"Nothing of the watch after {_since(watch)} speaks against it. {watched[0].sentence}"
        journal.write(watch.release, "bake_watch.kept", sentence, actor=ROLLOUT, now=now)
        _end(watch, BakeOutcome.KEPT)
    else:
        watch.due_at = now + timedelta(seconds=limits.LOOK_S)
        watch.save(update_fields=["watched", "cursor", "due_at"])
        if [one.events for one in watched] != [one.events for one in known]:
            journal.announce(watch.release)


def _counted(watch: BakeWatch, known: list[Watched]) -> tuple[tuple[Watched, ...], int]:
    endpoint = watch.release.endpoint
    blocks, cursor = arm_counts_since(
        environment=endpoint.environment.name,
        endpoint=endpoint.name,
        release=str(watch.release_id),
        after_id=watch.cursor,
        not_before=watch.began_at,
        slos_ms=[one.guardrail.slo_ms for one in known if one.guardrail.slo_ms is not None],
        candidate_arm=Arm.STABLE,
    )
    watched = tuple(known)
    for block in blocks:
        watched = fold(watched, block.candidate)
    return watched, cursor


def _signal(watch: BakeWatch, endpoint: Endpoint, signalled: Watched, now: datetime) -> None:
    """Take the release back; while another one rolls out that has to end first. What was itself gone back to stays: the
    way from it is for a person to choose.
    """
    if watch.signalled_at is None:
        watch.signalled_at = now
        sentence, data = f"{signalled.guardrail.label}: {signalled.sentence}", {"watched": watch.watched}
        journal.write(watch.release, "bake_watch.signalled", sentence, actor=ROLLOUT, now=now, data=data)
    if watch.release.kind == "rollback":
        _leave(watch, "It was gone back to: what it replaced is no better. The way from here is for a person.", now)
        return
    if selectors.live_release(endpoint) is not None:
        watch.due_at = now + timedelta(seconds=limits.LOOK_S)
        watch.save()
        return
    target = selectors.rollback_target(endpoint)
    try:
        if target is None:
            raise Conflict(selectors.why_no_rollback_target(endpoint))
        with transaction.atomic():
            watch.back = _take_back(watch, endpoint, target, signalled)
    except Conflict as refused:
        _leave(watch, str(refused), now)
        return
    _end(watch, BakeOutcome.TAKEN_BACK)
    reconcile_now(str(watch.back.pk), now=now)


def _leave(watch: BakeWatch, why: str, now: datetime) -> None:
    """Say why it serves on although the watch speaks against it."""
    journal.write(watch.release, "bake_watch.no_return", why, actor=ROLLOUT, now=now)
    _end(watch, BakeOutcome.NO_RETURN)


def _since(watch: BakeWatch) -> str:
    return "its return" if watch.release.kind == "rollback" else "its promotion"


def _take_back(watch: BakeWatch, endpoint: Endpoint, target: Release, signalled: Watched) -> Release:
    release = watch.release
    reason = f"After its promotion {signalled.sentence}"
    sentence = f"{endpoint} goes back from version {release.version.number} to {target.version.number}. {reason}"
    data = {"from": release.version.number, "to": target.version.number, "watched": watch.watched}
    act = RestoringAct("endpoint.rolled_back", sentence, data)
    return restoring_release(
        actor=ROLLOUT, endpoint=endpoint, target=target, act=act, reason=reason, requester=release.requester
    )


def _end(watch: BakeWatch, outcome: BakeOutcome) -> None:
    watch.outcome, watch.due_at = outcome, None
    watch.save()
    journal.announce(watch.release)
