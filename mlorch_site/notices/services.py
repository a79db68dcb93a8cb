"""Tell people of things, and let them read it, and say how they want to be told.

A notice follows from an act that has its own record and its own event, so it leaves none; whatever raises one is safe
to run again.
"""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import User
from mlorch_site.accounts.selectors import zone_of
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Invalid, NotFound
from mlorch_site.notices import limits
from mlorch_site.notices.kinds import News, NoticeKind, notice_kind, notice_kinds
from mlorch_site.notices.lifecycle import Channel, NoticeMode
from mlorch_site.notices.mail import is_mail_configured
from mlorch_site.notices.models import Delivery, Notice, NoticeSettings
from mlorch_site.notices.selectors import mode_of, notices_visible_to
from mlorch_site.notices.subscriptions import webhooks_raise


@transaction.atomic
def notices_raise(*, news: News, people: Collection[int]) -> int:
    """Tell active `people` (ids) of something, and subscriptions too; return how many people had not been told of it
    yet.
    """
    kind, now = _known(news.kind), clock.now()
    same = Notice.objects.filter(kind=news.kind, thing=news.thing, occasion=news.occasion)
    told = set(same.values_list("person", flat=True))
    new = User.objects.filter(pk__in=set(people) - told, is_active=True).select_related("notice_settings")
    count = sum(_notice_add(news, kind, person, now) for person in new)
    webhooks_raise(news=news, now=now)
    return count


def _known(name: str) -> NoticeKind:
    kind = notice_kind(name)
    if kind is None:
        raise Invalid(f"There is no kind of notice {name}.", details={"kind": "unknown"})
    return kind


def _notice_add(news: News, kind: NoticeKind, person: User, now: datetime) -> bool:
    """Add the notice and what carries it by e-mail; False when somebody was first."""
    notice, is_new = Notice.objects.get_or_create(
        person=person,
        kind=news.kind,
        thing=news.thing,
        occasion=news.occasion,
        defaults={
            "title": news.title[: limits.TITLE_MAX_CHARS],
            "sentence": news.sentence[: limits.SENTENCE_MAX_CHARS],
            "path": news.path,
            "environment": news.place("environment"),
            "model": news.place("model"),
            "created_at": now,
        },
    )
    if is_new and is_mail_configured() and person.email:
        _mail_plan(notice, mode_of(person, kind), now)
    return is_new


def _mail_plan(notice: Notice, mode: NoticeMode, now: datetime) -> None:
    if mode is NoticeMode.AT_ONCE:
        notice.mail = Delivery.objects.create(
            channel=Channel.MAIL,
            person=notice.person,
            kind=notice.kind,
            thing=notice.thing,
            occasion=notice.occasion,
            title=notice.title,
            environment=notice.environment,
            model=notice.model,
            created_at=now,
            due_at=now,
        )
        notice.save(update_fields=["mail"])
    elif mode is NoticeMode.DIGEST:
        Notice.objects.filter(pk=notice.pk).update(wants_digest=True)
        waiting, _ = NoticeSettings.objects.get_or_create(person=notice.person)
        NoticeSettings.objects.filter(pk=waiting.pk, digest_due_at=None).update(
            digest_due_at=next_digest(notice.person, now)
        )


def next_digest(person: User, now: datetime) -> datetime:
    """When the next daily digest of a person leaves: in the morning of their own time zone."""
    here = now.astimezone(zone_of(person))
    morning = here.replace(hour=limits.DIGEST_HOUR, minute=0, second=0, microsecond=0)
    return morning if morning > here else morning + timedelta(days=1)


@transaction.atomic
def notices_settle(*, kinds: Iterable[str], thing: str, except_people: Collection[int] = ()) -> int:
    """Note that a thing does not wait any more for those who were told of it, but for `except_people`. Twice is
    harmless.
    """
    open_ones = Notice.objects.filter(kind__in=list(kinds), thing=thing, settled_at=None)
    return open_ones.exclude(person__in=except_people).update(settled_at=clock.now())


@transaction.atomic
def notice_read(*, actor: Actor, notice_id: str | UUID) -> Notice:
    """Note that the actor has read a notice of theirs. Reading twice is harmless. Raises NotFound, and Forbidden for a
    token that may only read.
    """
    actor.require_write()
    notice = notices_visible_to(actor).filter(pk=notice_id).first()
    if notice is None:
        raise NotFound("There is no such notice.")
    if notice.read_at is None:
        notice.read_at = clock.now()
        notice.save(update_fields=["read_at"])
    return notice


@transaction.atomic
def notices_read(*, actor: Actor) -> int:
    """Note that the actor has read all notices that they can see; return how many were unread."""
    actor.require_write()
    return notices_visible_to(actor).filter(read_at=None).update(read_at=clock.now())


@transaction.atomic
def notice_settings_set(*, actor: Actor, modes: dict[str, str]) -> NoticeSettings:
    """Set how the actor wants to be told of kinds of things; kinds that are not named stay as they are.

    Raises Invalid (details name the kind) for what is not known, and for switching off what cannot be.
    """
    actor.require_write()
    assert actor.user is not None
    problems = _problems(modes)
    if problems:
        raise Invalid(" ".join(problems.values()), details=problems)
    found, _ = NoticeSettings.objects.select_for_update().get_or_create(person=actor.user)
    changed = {name: mode for name, mode in modes.items() if found.modes.get(name, NoticeMode.AT_ONCE) != mode}
    if changed:
        found.modes = {**found.modes, **changed}
        found.save(update_fields=["modes"])
        subject = Subject("person", str(actor.user.pk), actor.user.username)
        audit_record(actor, "person.notices_set", subject, data=changed)
    return found


def _problems(modes: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    known = {kind.name: kind for kind in notice_kinds()}
    for name, mode in modes.items():
        if name not in known:
            found[name] = "This kind is not known."
        elif mode not in [str(one) for one in NoticeMode]:
            found[name] = f"{known[name].label}: choose at once, digest or off."
        elif mode not in known[name].modes:
            found[name] = f"{known[name].label}: this e-mail cannot be switched off."
    return found


def notices_forget(*, now: datetime) -> int:
    """Delete notices that are old; return how many. What they were about has its own record."""
    return Notice.objects.filter(created_at__lt=now - limits.NOTICES_KEPT).delete()[0]
