"""The queue of an endpoint: requests that wait for their turn, and become releases by themselves then.

A request is made for the person who queued it, with the rights that person has when its turn comes.
"""

from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Max, Min

from deployments import journal, limits
from deployments.lifecycle import QueueOutcome
from deployments.models import Endpoint, QueuedRequest, Release
from deployments.queue_selectors import queue_turns, why_not_first, why_not_withdraw
from deployments.selectors import open_release
from deployments.services.commands import ReleaseCommand
from deployments.services.releases import release_request
from deployments.services.request_check import check_request
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.selectors import actor_for_user
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, DomainError, Forbidden, Invalid
from mlorch_site.lib.hashing import settled
from mlorch_site.live.outbox import publish

log = structlog.get_logger(__name__)

SENTENCE_MAX_CHARS = 2000


def release_request_or_queue(*, actor: Actor, command: ReleaseCommand) -> Release | QueuedRequest:
    """Request a release, or queue the request while another release of the endpoint is open. Raises as those do."""
    try:
        return release_request(actor=actor, command=command)
    except Conflict as error:
        if error.code != "endpoint_busy":
            raise
    return release_queue(actor=actor, command=command)


@transaction.atomic
def release_queue(*, actor: Actor, command: ReleaseCommand) -> QueuedRequest:
    """Let a request wait behind the endpoint's open release. The same one again is harmless.

    It has to be one that could be requested now, but for the release that is open. Raises Invalid (details name the
    fields), Forbidden, and Conflict when the endpoint is free, or too many wait for it.
    """
    check = check_request(actor, command)
    if check.forbidden:
        raise Forbidden(check.forbidden)
    if check.request is None:
        raise Invalid(" ".join(check.problems.values()), details=check.problems)
    if actor.user is None:
        raise Forbidden("A release is requested by a person.")
    endpoint = _locked(check.request.target.endpoint)
    if endpoint is None or open_release(endpoint) is None:
        raise Conflict("No release of the endpoint is open, so nothing is to be waited for; request it.")
    wish = settled(asdict(check.command) | {"supersedes": ""})  # chosen units are digests in it
    waiting = endpoint.queue.filter(ended_at=None)
    same = waiting.filter(requester=actor.user, command=wish).first()
    if same is not None:
        return same
    if waiting.count() >= limits.QUEUED_PER_ENDPOINT_MAX:
        raise Conflict(f"{limits.QUEUED_PER_ENDPOINT_MAX} requests wait for {endpoint} already; take one out first.")
    last = waiting.aggregate(last=Max("place"))["last"]
    queued = QueuedRequest.objects.create(
        endpoint=endpoint,
        requester=actor.user,
        command=wish,
        version=command.version,
        place=0 if last is None else last + 1,
        created_at=clock.now(),
    )
    _note(actor, queued, "release.queued", command.reason, {"command": wish})
    return queued


@transaction.atomic
def queued_withdraw(*, actor: Actor, queued: QueuedRequest, reason: str = "") -> QueuedRequest:
    """Take a request out of the queue. Twice is harmless. Raises Forbidden, and Conflict when it had its turn."""
    if why := why_not_withdraw(actor, queued):
        raise Forbidden(why)
    found = _waiting(queued)
    if found is None:
        queued.refresh_from_db()
        if queued.outcome == QueueOutcome.WITHDRAWN:
            return queued
        raise Conflict(f"It waits no longer: {queued.sentence}")
    sentence = f"{actor.name} took it out of the queue. {reason}".strip()
    _end(found, QueueOutcome.WITHDRAWN, sentence)
    _note(actor, found, "release.queue_left", reason, {})
    return found


@transaction.atomic
def queued_move_first(*, actor: Actor, queued: QueuedRequest) -> QueuedRequest:
    """Let a request have the next turn. Twice is harmless. Raises Forbidden, and Conflict when it waits no longer."""
    if why := why_not_first(actor, queued):
        raise Forbidden(why)
    _locked(queued.endpoint)
    found = _waiting(queued)
    if found is None:
        raise Conflict("It waits no longer.")
    first = found.endpoint.queue.filter(ended_at=None).aggregate(first=Min("place"))["first"]
    if found.place > first:
        found.place = first - 1
        found.save(update_fields=["place"])
        _note(actor, found, "release.queue_first", "", {})
    return found


def queue_look(*, now: datetime) -> int:
    """Give everybody a turn whose endpoint is free; return how many had one. Twice, or two at once, is harmless."""
    turns = list(queue_turns().values_list("pk", flat=True)[: limits.QUEUE_TURNS_PER_TICK])
    for pk in turns:
        try:
            _turn(pk, now)
        except Exception:  # one request that cannot be made must not stop the others
            log.exception("release.queue_failed", queued=str(pk))
    return len(turns)


@transaction.atomic
def _turn(pk: UUID, now: datetime) -> None:
    rows = QueuedRequest.objects.select_for_update(of=("self",)).select_related(
        "endpoint__environment", "endpoint__model", "requester"
    )
    queued = rows.filter(pk=pk, ended_at=None).first()
    if queued is None or open_release(queued.endpoint) is not None:
        return
    actor = actor_for_user(queued.requester)
    try:
        with transaction.atomic():
            release = release_request(actor=actor, command=_command(queued))
    except Conflict as error:
        if error.code == "endpoint_busy":
            return
        _refuse(actor, queued, error)
    except DomainError as error:
        _refuse(actor, queued, error)
    else:
        queued.release = release
        _end(queued, QueueOutcome.REQUESTED, "Its turn came, and it was requested.")
        waited = f"It waited in the queue since {queued.created_at:%Y-%m-%d %H:%M:%S} UTC."
        journal.write(release, "release.queue_turn", waited, actor=actor, now=now)


def _command(queued: QueuedRequest) -> ReleaseCommand:
    """The request as it was written. Raises Invalid for one that another version of mlorch wrote otherwise."""
    try:
        return ReleaseCommand(**queued.command)
    except TypeError as error:
        raise Invalid("It was written by another version of mlorch; request it again.") from error


def _refuse(actor: Actor, queued: QueuedRequest, error: DomainError) -> None:
    sentence = f"Its turn came, and it could not be requested: {error.message}"[:SENTENCE_MAX_CHARS]
    _end(queued, QueueOutcome.REFUSED, sentence)
    _note(actor, queued, "release.queue_refused", sentence, {})


def _locked(endpoint: Endpoint | None) -> Endpoint | None:
    """The endpoint, whose queue nobody else changes until the transaction ends."""
    rows = Endpoint.objects.select_for_update(of=("self",)).select_related("environment", "model")
    return rows.filter(pk=endpoint.pk).first() if endpoint is not None else None


def _waiting(queued: QueuedRequest) -> QueuedRequest | None:
    rows = QueuedRequest.objects.select_for_update(of=("self",)).select_related(
        "endpoint__environment", "endpoint__model", "requester"
    )
    return rows.filter(pk=queued.pk, ended_at=None).first()


def _end(queued: QueuedRequest, outcome: QueueOutcome, sentence: str) -> None:
    queued.outcome, queued.sentence, queued.ended_at = outcome, sentence[:SENTENCE_MAX_CHARS], clock.now()
    queued.save(update_fields=["outcome", "sentence", "ended_at", "release"])
    _announce(queued)


def _note(actor: Actor, queued: QueuedRequest, action: str, reason: str, data: dict[str, Any]) -> None:
    subject = Subject("queued_request", str(queued.pk), str(queued), tuple(queued.scopes))
    audit_record(actor, action, subject, reason=reason, data=data)
    _announce(queued)


def _announce(queued: QueuedRequest) -> None:
    endpoint = queued.endpoint
    publish(f"endpoint.{endpoint.environment.name}.{endpoint.name}", "queue.changed", {"queued": str(queued.pk)})
