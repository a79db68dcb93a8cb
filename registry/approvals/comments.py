"""Comments on a request: written, edited for a while, and told to those who are named in them."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Prefetch
from django.utils.safestring import SafeString

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import User
from mlorch_site.audit.services import audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid, NotFound
from mlorch_site.lib.hashing import content_hash
from mlorch_site.lib.markdown import render
from mlorch_site.lib.readable import is_text
from mlorch_site.live.outbox import publish
from registry import audit_subjects
from registry.approvals.mentions import mentions_settle, mentions_tell, mentions_write, named_people
from registry.approvals.services import approval_locked
from registry.models import ApprovalRequest, Comment, CommentEdit, Mention

TEXT_MAX_CHARS = 10_000
COMMENTS_MAX = 500  # on one request
EDITS_MAX = 50  # of one comment
EDIT_WITHIN = timedelta(minutes=15)


@dataclass(frozen=True)
class Said:
    """A comment as a page shows it, with its replies. `why_not_edit` is empty for who may edit it still."""

    comment: Comment
    html: SafeString
    edits: list[CommentEdit]
    why_not_edit: str
    replies: "list[Said]"


@dataclass(frozen=True)
class Written:
    """A comment that was kept, and the names in it that nobody who may see the request has."""

    comment: Comment
    unknown: list[str]


@transaction.atomic
def comment_add(*, actor: Actor, request: ApprovalRequest, text: str, parent: int | None = None) -> Written:
    """Say something about a request, also after it has ended; a reply goes under the comment that it replies to.

    Whoever may see the request may say something. Twice the same within a minute is once. Raises Invalid for a text
    that is empty or too long, NotFound for a parent of another request.
    """
    if actor.user is None:
        raise Forbidden("Only a person can comment.")
    actor.require_write()
    request, now, text = approval_locked(request), clock.now(), _checked(text)
    above = _parent(request, parent)
    newest = request.comments.filter(author=actor.user).order_by("-pk").first()
    if newest is not None and _is_same(newest, text, above, now):
        return Written(newest, named_people(request, text)[1])
    if request.comments.count() >= COMMENTS_MAX:
        raise Conflict(f"{COMMENTS_MAX} comments were made on this request; that is all it takes.")
    comment = Comment.objects.create(request=request, author=actor.user, parent=above, text=text, at=now)
    people, unknown = named_people(request, text)
    mentions_settle(actor=actor, request=request)
    _changed(actor, "approval.commented", comment, mentions_write(comment, people))
    return Written(comment, unknown)


@transaction.atomic
def comment_edit(*, actor: Actor, comment: Comment, text: str) -> Written:
    """Say it otherwise, within a quarter of an hour; what was said before is kept.

    Raises Forbidden for somebody else's comment, Conflict when it is too late.
    """
    actor.require_write()
    text = _checked(text)
    request = approval_locked(comment.request)
    comment = Comment.objects.select_for_update(of=("self",)).select_related("request").get(pk=comment.pk)
    now = clock.now()
    if actor.user is None or comment.author_id != actor.user.pk:
        raise Forbidden("Only who wrote a comment can edit it.")
    if comment.text == text:
        return Written(comment, named_people(request, text)[1])
    if why := why_not_edit(actor, comment, now):
        raise Conflict(why)
    if comment.edits.count() >= EDITS_MAX:
        raise Conflict(f"It was edited {EDITS_MAX} times; write another comment.")
    CommentEdit.objects.create(comment=comment, text=comment.text, at=now)
    Comment.objects.filter(pk=comment.pk).update(text=text, edited_at=now)
    comment.text, comment.edited_at = text, now
    people, unknown = named_people(request, text)
    _changed(actor, "approval.comment_edited", comment, mentions_write(comment, people))
    return Written(comment, unknown)


@transaction.atomic
def mention_done(*, actor: Actor, request: ApprovalRequest) -> None:
    """Say that what waits because of comments on a request need not wait any more. Twice is harmless."""
    actor.require_write()
    if mentions_settle(actor=actor, request=request):
        publish("approvals", "approval.mention_done", {"request": str(request.pk)})


def comment_of(request: ApprovalRequest, number: int) -> Comment:
    """A comment of a request. Raises NotFound."""
    comment = request.comments.filter(pk=number).select_related("request", "author").first()
    if comment is None:
        raise NotFound("There is no such comment.")
    return comment


def why_not_edit(actor: Actor, comment: Comment, now: datetime) -> str:
    """Why the actor cannot edit the comment, empty when it can."""
    if actor.user is None or comment.author_id != actor.user.pk:
        return "Only who wrote a comment can edit it."
    minutes = int(EDIT_WITHIN.total_seconds() // 60)
    return "" if now < comment.at + EDIT_WITHIN else f"A comment can be edited for {minutes} minutes; write another."


def thread_of(request: ApprovalRequest, actor: Actor) -> list[Said]:
    """The comments on a request with their replies, oldest first."""
    named = Prefetch("mentions", Mention.objects.select_related("person"))
    rows = list(request.comments.select_related("author").prefetch_related("edits", named))
    return [_said(row, rows, actor, clock.now()) for row in rows if row.parent_id is None]


def _said(comment: Comment, rows: list[Comment], actor: Actor, now: datetime) -> Said:
    names = {mention.person.username for mention in comment.mentions.all()}
    replies = [_said(row, [], actor, now) for row in rows if row.parent_id == comment.pk]
    edits = list(comment.edits.all())
    html = render(comment.text, heading_first=4, names=names)
    return Said(comment, html, edits, why_not_edit(actor, comment, now), replies)


def _checked(text: str) -> str:
    text = text.replace("\r\n", "\n").strip()
    if not text or len(text) > TEXT_MAX_CHARS or not is_text(text):
        said = f"Write 1 to {TEXT_MAX_CHARS} readable characters."
        raise Invalid(said, details={"text": f"1 to {TEXT_MAX_CHARS} characters"})
    return text


def _parent(request: ApprovalRequest, number: int | None) -> Comment | None:
    """The comment above a reply: replies stand one level deep, so a reply to a reply goes under the same comment."""
    if number is None:
        return None
    found = comment_of(request, number)
    return found.parent or found


def _is_same(newest: Comment, text: str, parent: Comment | None, now: datetime) -> bool:
    is_recent = now - newest.at < timedelta(minutes=1)
    return is_recent and newest.text == text and newest.parent_id == (parent.pk if parent else None)


def _changed(actor: Actor, action: str, comment: Comment, told: list[User]) -> None:
    """Record that something was said, by its hash: the words can be proved, and are not kept twice. Then tell of it."""
    data = {"comment": comment.pk, "text_hash": content_hash(comment.text)}
    audit_record(actor, action, audit_subjects.of_approval(comment.request), data=data)
    publish("approvals", action, {"request": str(comment.request_id), "comment": comment.pk})
    mentions_tell(comment, told)
