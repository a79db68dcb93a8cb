"""The span of time that a page of figures is about, as its address names it. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from urllib.parse import parse_qsl, urlencode

from mlorch_site.lib import clock
from mlorch_site.lib.errors import Invalid
from mlorch_site.lib.instant import read_instant

RANGES = {
    "1h": ("1 hour", timedelta(hours=1)),
    "24h": ("24 hours", timedelta(hours=24)),
    "7d": ("7 days", timedelta(days=7)),
    "30d": ("30 days", timedelta(days=30)),
    "90d": ("90 days", timedelta(days=90)),
}
DEFAULT_RANGE = "24h"
SPAN_MIN, SPAN_MAX = timedelta(minutes=1), timedelta(days=400)


@dataclass(frozen=True)
class Span:
    """From `since` up to `until`. `key` is the range of `RANGES` that it was asked by, empty for a "from–to"."""

    since: datetime
    until: datetime
    key: str = ""

    @property
    def seconds(self) -> float:
        return (self.until - self.since).total_seconds()

    @property
    def label(self) -> str:
        return f"the last {RANGES[self.key][0]}" if self.key else "the span"

    @property
    def before(self) -> "Span":
        """The span of the same length just before."""
        return Span(self.since - (self.until - self.since), self.since)

    @property
    def query(self) -> str:
        """The span as a part of an address: a range goes on with the time, a "from–to" stays."""
        return urlencode({"range": self.key}) if self.key else self.fixed_query

    @property
    def query_fields(self) -> list[tuple[str, str]]:
        """The fields of `query`, for a form."""
        return parse_qsl(self.query)

    @property
    def fixed_query(self) -> str:
        """The very span as a part of an address, whenever it is opened."""
        return urlencode({"from": self.since.isoformat(), "to": self.until.isoformat()})

    def aligned(self, width_s: int) -> "Span":
        """The span that windows of a width cover which touch this one."""
        first, last = int(self.since.timestamp()) // width_s, -(-self.until.timestamp() // width_s)
        return Span(clock.from_unix(first * width_s), clock.from_unix(last * width_s), self.key)


def read_span(query: Mapping[str, str], *, zone: tzinfo, now: datetime) -> Span:
    """The span that an address names: `from` and `to` in ISO 8601, in `zone` without an offset, or a `range` up to now.

    Without any of them it is the last day. Raises Invalid with what to write instead.
    """
    if query.get("from") or query.get("to"):
        return _from_to(query, zone, now)
    key = query.get("range") or DEFAULT_RANGE
    if key not in RANGES:
        raise Invalid(f"range is one of {', '.join(RANGES)}.", details={"range": "unknown"})
    return Span(now - RANGES[key][1], now, key)


def _from_to(query: Mapping[str, str], zone: tzinfo, now: datetime) -> Span:
    since = _instant("from", _begin_of_day(query.get("from", "")), zone, now)
    until = _instant("to", query["to"], zone, now) if query.get("to") else now
    if until - since < SPAN_MIN:
        raise Invalid("“to” is at least a minute after “from”.", details={"to": "not after from"})
    if until - since > SPAN_MAX or now - since > SPAN_MAX:
        raise Invalid(f"Telemetry is kept for {SPAN_MAX.days} days.", details={"from": "too long ago"})
    return Span(since, until)


def _begin_of_day(text: str) -> str:
    """A date alone is the begin of its day where a span begins."""
    return f"{text}T00:00" if re.fullmatch(r"\d{4}-\d\d-\d\d", text.strip()) else text


def _instant(name: str, text: str, zone: tzinfo, now: datetime) -> datetime:
    try:
        return read_instant(text, zone=zone, now=now)
    except Invalid as error:
        raise Invalid(f"{name}: {error.message}", details={name: error.details.get("at", "wrong")}) from error
