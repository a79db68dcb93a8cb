"""The one place that reads the wall clock, so that a test can hold it."""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.fromtimestamp(time.time(), tz=UTC)


def from_unix(seconds: float) -> datetime:
    """The moment `seconds` after the Unix epoch, in UTC."""
    return datetime.fromtimestamp(seconds, tz=UTC)
