"""Reading one row of posted outcomes: strict, with the sentence of what is wrong. Pure."""

import math
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dataplane.wire.unit_buckets import UNIT_MAX_CHARS
from mlorch_site.lib.errors import Invalid
from monitoring import limits

NEEDED = frozenset({"environment", "endpoint", "name", "value", "at"})
KNOWN = NEEDED | {"request_id", "unit", "release", "version", "observed_at"}
TEXT_MAX_CHARS = 80
REQUEST_ID = re.compile(r"[A-Za-z0-9_.\-]{8,64}")  # what the gateway takes for one
UNIT = re.compile(rf"[!-~](?:[ -~]{{0,{UNIT_MAX_CHARS - 2}}}[!-~])?")  # as it travels in a header
RELEASE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
VERSION_MAX = 10**9


@dataclass(frozen=True)
class OutcomeRow:
    """One posted outcome. It is about `request_id`, or without one about `unit`; `at` is when that was answered, and
    `observed_at` when the outcome became known.
    """

    environment: str
    endpoint: str
    name: str
    value: object
    at: datetime
    observed_at: datetime
    request_id: str = ""
    unit: str = ""
    release: str = ""
    version: int | None = None


def read_row(row: Any, now: datetime) -> OutcomeRow:
    """The row. Raises Invalid, whose details name the fields."""
    if not isinstance(row, dict):
        raise _wrong("outcomes", "Each outcome is an object.")
    if unknown := sorted(set(row) - KNOWN):
        raise _wrong(str(unknown[0])[:TEXT_MAX_CHARS], "This field is not known.")
    if missing := sorted(NEEDED - set(row)):
        raise _wrong(missing[0], "This field is needed.")
    if isinstance(row["value"], float) and not math.isfinite(row["value"]):
        raise _wrong("value", "A finite number.")
    at = _moment(row, "at", now)
    if now - at > limits.OUTCOME_AGE_MAX:
        raise _wrong("at", f"At most {limits.OUTCOME_AGE_MAX.days} days ago.")
    named = {name: _text(row, name) for name in ("environment", "endpoint", "name")}
    about = {
        "request_id": _matching(row, "request_id", REQUEST_ID, "8 to 64 letters, digits, -, _ and ."),
        "unit": _matching(row, "unit", UNIT, f"Up to {UNIT_MAX_CHARS} ASCII characters, as sent in the header."),
        "release": _matching(row, "release", RELEASE, "As the answer's X-Mlorch-Release says it."),
    }
    if not about["unit"] and not (about["request_id"] and about["release"]):
        raise _wrong("request_id", "Name the unit, or the request with the release that its answer named.")
    observed = _moment(row, "observed_at", now) if row.get("observed_at") is not None else now
    return OutcomeRow(
        **named, **about, value=row["value"], at=at, observed_at=observed, version=_version(row.get("version"))
    )


def _wrong(field: str, sentence: str) -> Invalid:
    return Invalid(sentence, details={field: sentence})


def _text(row: dict[str, Any], name: str) -> str:
    value = row[name]
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_MAX_CHARS:
        raise _wrong(name, f"A text of up to {TEXT_MAX_CHARS} characters.")
    return value


def _matching(row: dict[str, Any], name: str, pattern: re.Pattern[str], ask: str) -> str:
    value = row.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise _wrong(name, ask)
    return value


def _version(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10:
        value = int(value)  # as the header has it
    if value is not None and (type(value) is not int or not 0 < value < VERSION_MAX):
        raise _wrong("version", "As the answer's X-Mlorch-Version says it.")
    return value


def _moment(row: dict[str, Any], name: str, now: datetime) -> datetime:
    value = row[name]
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) and len(value) <= 40 else None
        aware = moment is not None and moment.tzinfo is not None
        is_ahead = aware and moment is not None and moment - now > limits.OUTCOME_AHEAD_MAX
    except (ValueError, OverflowError):
        moment, aware, is_ahead = None, False, False
    if moment is None or not aware:
        raise _wrong(name, "ISO 8601 with an offset, as 2026-11-03T14:00:00Z.")
    if is_ahead:
        raise _wrong(name, "This is in the future.")
    return moment
