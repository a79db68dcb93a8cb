"""A moment that somebody asks about, as an address names it: `?at=`."""

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse

from mlorch_site.lib.errors import Invalid

AT_MAX_CHARS = 40
ASK = "Write it as 2026-11-03T14:00+01:00, or as 2026-11-03 for the end of that day."
# In an address a plus that was not encoded arrives as a space.
SPACE_FOR_PLUS = re.compile(r" (?=\d\d:?\d\d$)")


def read_instant(text: str, *, zone: tzinfo, now: datetime) -> datetime:
    """The moment, in UTC, that `text` names in ISO 8601.

    Without an offset it is in `zone`. A date alone is the end of that day, and the present moment while the day lasts.
    Raises Invalid with what to write instead for what names no moment, and for the future.
    """
    text = text.strip()
    if not text:
        raise Invalid(f"Say at which moment. {ASK}", details={"at": "required"})
    if len(text) > AT_MAX_CHARS:
        raise Invalid(f"A moment has at most {AT_MAX_CHARS} characters. {ASK}", details={"at": "too long"})
    try:
        day = _day(text)
        moment = _end_of(day, zone, now) if day else _moment(text, zone)
    except (ValueError, OverflowError) as error:
        raise Invalid(f"“{text}” names no moment. {ASK}", details={"at": "not ISO 8601"}) from error
    if moment > now:
        raise Invalid(f"{text} is in the future; only what was can be shown.", details={"at": "in the future"})
    return moment


def past_url(request: HttpRequest, route: str, *arguments: str) -> str:
    """The address of a page of the past, at the instant that the request names, as it names it."""
    return f"{reverse(route, args=arguments)}?{urlencode({'at': request.GET['at']})}"


def _day(text: str) -> date | None:
    """The day that a date alone names, None for a date with a time."""
    return date.fromisoformat(text) if re.fullmatch(r"[\dW-]{7,10}", text) else None


def _end_of(day: date, zone: tzinfo, now: datetime) -> datetime:
    end = datetime.combine(day + timedelta(days=1), time.min, zone).astimezone(UTC) - timedelta(microseconds=1)
    begin = datetime.combine(day, time.min, zone).astimezone(UTC)
    return now if begin <= now < end else end


def _moment(text: str, zone: tzinfo) -> datetime:
    if not text.isprintable():  # what follows a zero character would not be read
        raise ValueError("it holds what cannot be shown")
    moment = datetime.fromisoformat(SPACE_FOR_PLUS.sub("+", text) if "T" in text or text.count(" ") > 1 else text)
    if moment.tzinfo is None:
        _require_once(moment, zone)
        moment = moment.replace(tzinfo=zone)
    return moment.astimezone(UTC)


def _require_once(moment: datetime, zone: tzinfo) -> None:
    """Raise Invalid for what a clock in `zone` showed twice or never, because it was put back or forward."""
    first, second = (moment.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    if first is None or second is None or first == second:
        return
    offsets = " or ".join(f"{moment.replace(tzinfo=zone, fold=fold):%z}" for fold in (0, 1))
    times = "twice" if first > second else "never"
    raise Invalid(
        f"Clocks in {zone} showed {moment:%H:%M on %Y-%m-%d} {times}; add the offset that is meant, {offsets}.",
        details={"at": f"{times} in this zone"},
    )
