"""How a shape is read and written, and the types of fields that several shapes share. A shape is a msgspec struct.

What a newer process adds and an older one does not know is left out when it is read; what is known must be right.
"""

import re
import unicodedata
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

COUNT_MAX = 2**53  # what JSON carries exactly
REVISION_MAX = 2**31 - 1
UNIX_TIME_MAX_S = 4_102_444_800  # the year 2100: a clock beyond it is wrong
HEADER_TEXT_MAX_CHARS = 300
TEXT_MAX_CHARS = 500
BOOT_MAX_CHARS = 36
ENTRIES_MAX = 10_000
WAIT_MAX_S = 25.0  # of a long poll
SLOS_MAX = 10  # latency objectives that an endpoint is watched for at once
SLO_MS_MAX = 600_000

# `\Z`, because `$` would let a newline follow.
HeaderName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9\-]{0,62}\Z")]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9\-]{0,62}\Z")]
HeaderText = Annotated[str, Meta(pattern=r"^[ -~]*\Z", max_length=HEADER_TEXT_MAX_CHARS)]
Text = Annotated[str, Meta(max_length=TEXT_MAX_CHARS)]
Boot = Annotated[str, Meta(min_length=1, max_length=BOOT_MAX_CHARS, pattern=r"^[ -~]+\Z")]
UnixAddress = Annotated[str, Meta(pattern=r"^unix:/[^\x00]*\Z", max_length=HEADER_TEXT_MAX_CHARS)]
OptionalAddress = Annotated[str, Meta(pattern=r"^(unix:/[^\x00]*)?\Z", max_length=HEADER_TEXT_MAX_CHARS)]
Count = Annotated[int, Meta(ge=0, le=COUNT_MAX)]
Positive = Annotated[int, Meta(ge=1, le=COUNT_MAX)]
Revision = Annotated[int, Meta(ge=0, le=REVISION_MAX)]
Percent = Annotated[int, Meta(ge=0, le=100)]
Number = Annotated[float, Meta(ge=0, le=COUNT_MAX)]
SloMs = Annotated[float, Meta(gt=0, le=SLO_MS_MAX)]
Slos = Annotated[list[SloMs], Meta(max_length=SLOS_MAX)]
UnixTime = Annotated[float, Meta(ge=0, lt=UNIX_TIME_MAX_S)]

# Control, format (which turns the direction of text), surrogate and unassigned characters, separators of lines.
NOT_SHOWN = frozenset({"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"})
_PLACE = re.compile(r" - at (?:`key` in )?`\$\.?([^`]*)`$")

ShapeT = TypeVar("ShapeT", bound=Struct)


class Malformed(ValueError):
    """What was sent is not of the shape. `place` is the path of the field that is wrong, empty for the whole."""

    def __init__(self, sentence: str, place: str = "") -> None:
        super().__init__(sentence)
        self.place = place


def read(shape: type[ShapeT], raw: bytes) -> ShapeT:
    """The shape that JSON bytes hold. Raises Malformed."""
    try:
        return msgspec.json.decode(raw, type=shape)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise _malformed(error) from error


def convert(shape: type[ShapeT], value: Any) -> ShapeT:
    """The shape that parsed JSON (dicts, lists, texts, numbers) holds. Raises Malformed."""
    try:
        return msgspec.convert(value, shape, str_keys=True)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise _malformed(error) from error


def write(value: Struct) -> bytes:
    """A shape as JSON bytes."""
    return msgspec.json.encode(value)


def plain(value: Any) -> Any:
    """A shape as dicts, lists, texts and numbers, as a JSON column keeps it."""
    return msgspec.json.decode(msgspec.json.encode(value))


def changed(shape: ShapeT, **fields: Any) -> ShapeT:
    """The shape with other values in some of its fields."""
    return msgspec.structs.replace(shape, **fields)


def plain_text(said: str) -> str:
    """What a model or a tool said, fit for a log, a page, or a terminal: each control, direction or lone surrogate
    character is written as its number.
    """
    return "".join(
        letter if letter == " " or unicodedata.category(letter) not in NOT_SHOWN else f"\\u{ord(letter):04x}"
        for letter in said
    )


def cut(sentence: str) -> str:
    """A sentence that can be shown, as long as a `Text` may be."""
    return plain_text(sentence[:TEXT_MAX_CHARS])[:TEXT_MAX_CHARS]


def _malformed(error: Exception) -> Malformed:
    sentence = str(error)
    found = _PLACE.search(sentence)
    return Malformed(sentence, found.group(1) if found else "")
