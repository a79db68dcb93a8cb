"""Review tasks: each use of an emergency is looked at afterwards, by somebody else, who says what they found."""

from uuid import UUID

from django.db import transaction
from django.db.models import F, QuerySet

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.audit.services import audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid, NotFound
from mlorch_site.lib.swap import swap
from registry import audit_subjects
from registry.approvals.emergencies import emergency_publish
from registry.models import ApprovalRequest, Emergency

FINDING_MAX_CHARS = 4000


def reviews_visible_to(actor: Actor) -> QuerySet[Emergency]:
    """The emergencies of what the actor may see, open reviews first (reads the scopes of all for a scoped actor)."""
    rows = Emergency.objects.select_related(
        "request__policy__environment", "request__requester", "used_by", "closed_by"
    )
    scopes = actor.visible_scopes()
    if scopes is not None:
        places = rows.values_list("pk", "request__scopes")
        rows = rows.filter(pk__in=[pk for pk, own in places if scopes & set(own)])
    return (
        rows.order_by(F("closed_at").desc(nulls_first=True), "-used_at")
        if actor.may_anywhere(Action.VIEW)
        else rows.none()
    )


def review_for(actor: Actor, pk: UUID | str) -> Emergency:
    """One emergency with its review. Raises NotFound."""
    found = reviews_visible_to(actor).filter(pk=pk).first()
    if found is None:
        raise NotFound("There is no such review.")
    return found


def why_cannot_review(actor: Actor, used: Emergency) -> str:
    """Why this actor cannot close a review, empty when it can."""
    if not used.is_open:
        return "The review is closed."
    if actor.user is None:
        return "Only a person can close a review."
    if actor.user.pk == used.used_by_id:
        return "You used the emergency, so somebody else has to review it."
    if actor.user.pk in used.request.excluded or actor.user.pk == used.request.requester_id:
        return "You asked for this release, so somebody else has to review it."
    return actor.why_not(Action.RELEASE_DECIDE, used.request.scopes)


def reviews_waiting_for(actor: Actor) -> list[Emergency]:
    """The open reviews that this actor can close, oldest first."""
    waiting = reviews_visible_to(actor).filter(closed_at=None).order_by("used_at")
    return [used for used in waiting if not why_cannot_review(actor, used)]


@transaction.atomic
def review_close(*, actor: Actor, used: Emergency, finding: str) -> Emergency:
    """Close the review of an emergency with what was found.

    Raises Invalid without a finding, Forbidden for whoever used it or asked for the release and for people who may not
    decide, Conflict when somebody has closed it already.
    """
    ApprovalRequest.objects.select_for_update().get(pk=used.request_id)
    used = reviews_visible_to(actor).get(pk=used.pk)
    if not used.is_open:
        raise Conflict(f"{used.closed_by} has closed this review already.")
    if why := why_cannot_review(actor, used):
        raise Forbidden(why)
    if not 0 < len(finding.strip()) <= FINDING_MAX_CHARS:
        sentence = f"Say what you found, in 1 to {FINDING_MAX_CHARS} characters."
        raise Invalid(sentence, details={"finding": sentence})
    if not swap(used, "closed_at", closed_at=clock.now(), closed_by=actor.user, finding=finding.strip()):
        raise Conflict("Somebody closed this review at the same moment.")
    data = {"emergency": str(used.pk), "used_by": used.used_by.username}
    audit_record(actor, "emergency.reviewed", audit_subjects.of_approval(used.request), reason=used.finding, data=data)
    emergency_publish(used)
    return used
