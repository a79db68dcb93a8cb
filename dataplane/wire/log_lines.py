"""Lines that processes write and people read: what somebody else said in them is shown, not carried out.

A terminal obeys escape codes, and a line that holds the end of a line is two.
"""

import io
import json
import logging
import sys
import unicodedata
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any, TextIO

import structlog

TEXT, JSON = "text", "json"
KEPT = "\t"
TRACEBACKS = ("exc_info", "exception", "stack")
UNSHOWN = ("Cc", "Cf", "Zl", "Zp", "Cs")  # controls, marks that turn text around, ends of lines, halves of characters


def shown(text: str) -> str:
    """The text with everything that would act as its escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(letter if _is_plain(letter) else _escaped(letter) for letter in text)


def _is_plain(letter: str) -> bool:
    return letter in KEPT or unicodedata.category(letter) not in UNSHOWN


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape", "backslashreplace").decode()


def shown_lines(text: str) -> str:
    """The lines of a traceback, each a little to the right: what an error says cannot begin a line of the log."""
    return "\n".join(f"  {shown(line)}" for line in text.splitlines())


def shown_values(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The processor of structlog that escapes what an entry says."""
    for name, value in event.items():
        if name not in TRACEBACKS:
            event[name] = shown(value) if isinstance(value, str) else _shown_inside(value)
    return event


def _shown_inside(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float) else shown(str(value))


class ShownFormatter(logging.Formatter):
    """The formatter of the standard library's loggers that escapes what a message says; a traceback keeps its lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = shown(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        return shown_lines(super().formatException(ei))


def _write_traceback(output: TextIO, exc_info: Any) -> None:
    plain = io.StringIO()
    structlog.dev.plain_traceback(plain, exc_info)
    output.write(shown_lines(plain.getvalue()))


class JsonFormatter(logging.Formatter):
    """The formatter of the standard library's loggers for programs that collect logs: an object a line, as
    structlog's.
    """

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "event": record.getMessage(),
            "logger": record.name,
            "level": record.levelname.lower(),
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
        }
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told)


def formatter(style: str = TEXT) -> logging.Formatter:
    """The formatter for the standard library's loggers. Raises ValueError for a style that is neither."""
    return JsonFormatter() if _checked(style) == JSON else ShownFormatter("%(levelname)s %(name)s %(message)s")


def configure(style: str = TEXT) -> None:
    """Let structlog write objects for programs (`json`), or for people (`text`): escaped, and otherwise as it comes.

    Raises ValueError for a style that is neither.
    """
    if _checked(style) == JSON:
        structlog.configure(processors=_json_processors())
        return
    processors = list(structlog.get_config()["processors"])
    if shown_values not in processors:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), exception_formatter=_write_traceback)
        structlog.configure(processors=[*processors[:-1], shown_values, renderer])


def _checked(style: str) -> str:
    if style not in (TEXT, JSON):
        raise ValueError(f"MLORCH_LOG_FORMAT is {TEXT} or {JSON}, not {style!r}")
    return style


def _json_processors() -> list[Any]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.JSONRenderer(),
    ]
