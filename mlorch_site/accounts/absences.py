"""Absences: a person says when they are away, and everybody who waits for them can know it.

A day is one of the person's own time zone. What is asked of a person does not change by an absence; pages say it.
"""

from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta

from django.db import transaction

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import Absence, User
from mlorch_site.accounts.selectors import zone_of
from mlorch_site.accounts.services import user_subject
from mlorch_site.audit.services import audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid, NotFound
from mlorch_site.live.outbox import publish

NOTE_MAX_CHARS = 200
ABSENCE_MAX_DAYS = 366
AHEAD_MAX_DAYS = 366
ABSENCES_MAX_PER_PERSON = 20
PAST_SHOWN = 20


def today_of(user: User, now: datetime) -> date:
    """The day that it is for a person at `now`."""
    return now.astimezone(zone_of(user)).date()


def absences_of(user: User, now: datetime) -> tuple[list[Absence], list[Absence]]:
    """The person's absences that last or are to come, and the newest of those that are over (reads the database)."""
    standing = list(user.absences.filter(ended_at=None, last_day__gte=today_of(user, now)))
    over = user.absences.exclude(pk__in=[absence.pk for absence in standing])
    return standing, list(over.order_by("-last_day", "-pk")[:PAST_SHOWN])


def absent_among(people: Collection[int], now: datetime) -> dict[int, Absence]:
    """Who of these people, by their keys, is absent at `now`, each with the absence that lasts longest (reads the
    database).
    """
    day = now.astimezone(UTC).date()
    near = Absence.objects.filter(  # no zone is further than a day from UTC
        user__in=people, ended_at=None, first_day__lte=day + timedelta(days=1), last_day__gte=day - timedelta(days=1)
    )
    rows = [row for row in near.select_related("user") if row.first_day <= today_of(row.user, now) <= row.last_day]
    return {row.user_id: row for row in sorted(rows, key=lambda row: row.last_day)}


@transaction.atomic
def absence_say(*, actor: Actor, first_day: date, last_day: date, note: str = "") -> Absence:
    """Say that the acting person is away from one day to another. The same days twice are one absence.

    Raises Invalid for days that are past, in the wrong order or too many, and for a note that is too long; Conflict
    when another absence of the person covers one of the days.
    """
    user, now = _locked(actor), clock.now()
    note = note.strip()
    _check_days(first_day, last_day, today_of(user, now))
    if len(note) > NOTE_MAX_CHARS:
        raise Invalid(f"A note has at most {NOTE_MAX_CHARS} characters.", details={"note": "too long"})
    standing, _ = absences_of(user, now)
    for other in standing:
        if (other.first_day, other.last_day, other.note) == (first_day, last_day, note):
            return other
        if other.first_day <= last_day and first_day <= other.last_day:
            said = f"You are absent from {other.first_day} to {other.last_day} already. Take that back first."
            raise Conflict(said, details={"first_day": "covered already"})
    if len(standing) >= ABSENCES_MAX_PER_PERSON:
        raise Invalid(f"A person may have {ABSENCES_MAX_PER_PERSON} absences ahead; take one back first.")
    absence = Absence.objects.create(user=user, first_day=first_day, last_day=last_day, note=note, said_at=now)
    _changed(actor, "absence.said", absence)
    return absence


def _check_days(first_day: date, last_day: date, today: date) -> None:
    if last_day < first_day:
        raise Invalid("The last day comes before the first.", details={"last_day": "before the first day"})
    if last_day < today:
        raise Invalid("These days are past.", details={"last_day": "is past"})
    if (last_day - first_day).days >= ABSENCE_MAX_DAYS:
        said = f"An absence has at most {ABSENCE_MAX_DAYS} days."
        raise Invalid(said, details={"last_day": f"at most {ABSENCE_MAX_DAYS} days"})
    if (first_day - today).days > AHEAD_MAX_DAYS:
        said = f"An absence begins within {AHEAD_MAX_DAYS} days."
        raise Invalid(said, details={"first_day": f"within {AHEAD_MAX_DAYS} days"})


@transaction.atomic
def absence_end(*, actor: Actor, number: int) -> Absence:
    """Take an absence of the acting person back, or end it early. Doing it twice is harmless, also when it is over.

    Raises NotFound for one of somebody else.
    """
    user, now = _locked(actor), clock.now()
    absence = user.absences.filter(pk=number).first()
    if absence is None:
        raise NotFound("You have no such absence.")
    if absence.ended_at is None and absence.last_day >= today_of(user, now):
        absence.ended_at = now
        absence.save(update_fields=["ended_at"])
        _changed(actor, "absence.ended", absence)
    return absence


def _locked(actor: Actor) -> User:
    """The acting person's row: two absences at once do not overlap."""
    actor.require_write()
    if actor.user is None:
        raise Forbidden("An absence is a person's.")
    return User.objects.select_for_update(no_key=True).get(pk=actor.user.pk)


def _changed(actor: Actor, action: str, absence: Absence) -> None:
    """Record and announce it: to the person's own pages, and to those that say who may approve."""
    days = {"first_day": absence.first_day.isoformat(), "last_day": absence.last_day.isoformat()}
    audit_record(actor, action, user_subject(absence.user), reason=absence.note, data={"absence": absence.pk, **days})
    publish(f"person.{absence.user_id}", "person.changed", {"person": absence.user_id})
    publish("approvals", "absence.changed", {"person": absence.user_id})
