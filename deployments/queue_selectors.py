"""Who waits for an endpoint, and whose turn it is. Everything here reads the database."""

from dataclasses import dataclass
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet

from deployments.lifecycle import OPEN_STATUSES
from deployments.models import Endpoint, QueuedRequest, Release
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import in_scopes
from mlorch_site.lib.errors import NotFound

OPEN = sorted(status.value for status in OPEN_STATUSES)
WITH = ("endpoint__environment", "endpoint__model", "requester", "release")


@dataclass(frozen=True)
class QueueLine:
    """One request that waits: how many wait before it (0: it is next), and why the actor may not take it out, or let
    it go first; empty when it may.
    """

    queued: QueuedRequest
    before: int
    why_not_withdraw: str
    why_not_first: str


def queue_visible_to(actor: Actor) -> "QuerySet[QueuedRequest]":
    """The requests that this actor may see, by endpoint and place."""
    if not actor.may_anywhere(Action.VIEW):
        return QueuedRequest.objects.none()
    scopes = in_scopes(actor, environment="endpoint__environment__name", model="endpoint__model__name")
    return QueuedRequest.objects.filter(scopes).select_related(*WITH)


def queued_for(actor: Actor, pk: UUID) -> QueuedRequest:
    """One request of the queue. Hidden and missing look the same (NotFound)."""
    found = queue_visible_to(actor).filter(pk=pk).first()
    if found is None:
        raise NotFound("There is no such request in the queue.")
    return found


def queue_lines(actor: Actor, endpoint: Endpoint) -> list[QueueLine]:
    """Who waits for an endpoint, the next one first."""
    rows = endpoint.queue.filter(ended_at=None).select_related(*WITH).order_by("place")
    return [
        QueueLine(row, before, why_not_withdraw(actor, row), why_not_first(actor, row) if before else "It is next.")
        for before, row in enumerate(rows)
    ]


def why_not_withdraw(actor: Actor, queued: QueuedRequest) -> str:
    """Why this actor may not take it out of the queue; empty when it may: the own one, or with the right to abort."""
    if actor.user is not None and actor.user.pk == queued.requester_id:
        return actor.why_not(Action.RELEASE_REQUEST, queued.scopes)
    return actor.why_not(Action.RELEASE_ABORT, queued.scopes)


def why_not_first(actor: Actor, queued: QueuedRequest) -> str:
    """Why this actor may not let it go first; empty when it may."""
    return actor.why_not(Action.RELEASE_PROMOTE, queued.scopes)


def queue_turns() -> "QuerySet[QueuedRequest]":
    """The requests whose endpoint is free now; of several for one endpoint the next one has its turn."""
    is_open = Release.objects.filter(endpoint=OuterRef("endpoint"), status__in=OPEN)
    earlier = QueuedRequest.objects.filter(endpoint=OuterRef("endpoint"), ended_at=None, place__lt=OuterRef("place"))
    return QueuedRequest.objects.filter(~Exists(is_open), ~Exists(earlier), ended_at=None)
