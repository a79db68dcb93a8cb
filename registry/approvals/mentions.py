"""Who is named in a comment on a request, and what waits for them because of it (reads and writes the database)."""

from django.db.models import QuerySet

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import RoleBinding, User
from mlorch_site.accounts.roles import EVERYWHERE
from mlorch_site.lib import clock
from mlorch_site.lib.markdown import named
from mlorch_site.live.outbox import publish
from registry.models import ApprovalRequest, Comment, Mention

MENTIONS_MAX = 20  # people named in one comment


def people_who_see(request: ApprovalRequest) -> QuerySet[User]:
    """The active people who may see a request today."""
    held = RoleBinding.objects.in_force(clock.now()).filter(scope__in=[EVERYWHERE, *request.scopes])
    return User.objects.filter(is_active=True, pk__in=held.values("user"))


def named_people(request: ApprovalRequest, text: str) -> tuple[list[User], list[str]]:
    """The people whom `text` names and who may see the request, and the names that are nobody's of them."""
    asked = named(text)
    wanted = {spelling for spellings in asked for spelling in spellings}
    known = {user.username: user for user in people_who_see(request).filter(username__in=wanted)}
    found: dict[str, User] = {}
    unknown: list[str] = []
    for spellings in asked:
        name = next((one for one in spellings if one in known), "")
        if name:
            found[name] = known[name]
        elif spellings and spellings[-1] not in unknown:
            unknown.append(spellings[-1])
    return list(found.values())[:MENTIONS_MAX], unknown


def mentions_write(comment: Comment, people: list[User]) -> list[User]:
    """Let the comment wait for `people` and for nobody else; return those who have to be told, who were not before.

    Belongs into the change's transaction.
    """
    told = set(comment.mentions.values_list("person", flat=True))
    comment.mentions.exclude(person__in=people).filter(done_at=None).delete()
    found = [person for person in people if person.pk not in told and person.pk != comment.author_id]
    Mention.objects.bulk_create(Mention(comment=comment, person=person) for person in found)
    return found


def mentions_tell(comment: Comment, people: list[User]) -> None:
    """Publish that people were named in a comment."""
    for person in people:
        by = comment.author.username
        data = {"request": str(comment.request_id), "comment": comment.pk, "person": person.pk, "by": by}
        publish("approvals", "approval.mentioned", data)


def mentions_waiting(actor: Actor) -> QuerySet[Mention]:
    """The comments that wait for the actor, oldest first, of requests that it may still see."""
    if actor.user is None:
        return Mention.objects.none()
    rows = Mention.objects.filter(person=actor.user, done_at=None)
    known = rows.select_related("comment__author", "comment__request").order_by("comment__at", "pk")
    scopes = actor.visible_scopes()
    if scopes is None:
        return known
    seen = [pk for pk, own in known.values_list("pk", "comment__request__scopes") if scopes & set(own)]
    return known.filter(pk__in=seen)


def mentions_settle(*, actor: Actor, request: ApprovalRequest) -> int:
    """What waits for the actor because of a request is done: it answered, decided, or said so. Return how many were."""
    if actor.user is None:
        return 0
    waiting = Mention.objects.filter(person=actor.user, comment__request=request, done_at=None)
    return waiting.update(done_at=clock.now())
