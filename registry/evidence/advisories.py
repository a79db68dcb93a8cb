"""Advisories in the OSV form (https://ossf.github.io/osv-schema/), as far as they say which versions of which Python
package have a flaw, and how bad it is. Pure.
"""

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Annotated, Any

import cvss
from msgspec import Meta, Struct
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from dataplane.wire import shapes
from dataplane.wire.shapes import Malformed
from mlorch_site.lib.errors import Invalid

ECOSYSTEM = "PyPI"
FILE_MAX_BYTES = 1024**3
ENTRY_MAX_BYTES = 16 * 1024 * 1024
ENTRIES_MAX = 1_000_000
VERSIONS_MAX = 20_000
MALICIOUS = "MAL-"
BEGINNING = "0"

Short = Annotated[str, Meta(max_length=300)]


class Severity(IntEnum):
    """How bad a flaw is, by the words of CVSS. Its own worth of `UNKNOWN` is decided by whoever asks."""

    UNKNOWN = 0
    LOW = 1
    MODERATE = 2
    HIGH = 3
    CRITICAL = 4


WORDS = {"NONE": Severity.LOW, "MEDIUM": Severity.MODERATE} | {one.name: one for one in Severity}
BOUNDS = ((9.0, Severity.CRITICAL), (7.0, Severity.HIGH), (4.0, Severity.MODERATE), (0.0, Severity.LOW))
VECTORS = {"CVSS_V2": cvss.CVSS2, "CVSS_V3": cvss.CVSS3, "CVSS_V4": cvss.CVSS4}


class Package(Struct):
    ecosystem: Short
    name: Short


class Change(Struct, omit_defaults=True):
    """One change along the versions of a package."""

    introduced: Short | None = None
    fixed: Short | None = None
    last_affected: Short | None = None


class Range(Struct):
    """Versions between events. Only ranges of the ecosystem's own versions are looked at."""

    type: Short
    events: Annotated[list[Change], Meta(max_length=1_000)] = []


class Score(Struct):
    type: Short
    score: Short


class Affected(Struct):
    """Which versions of one package have the flaw."""

    package: Package | None = None
    ranges: Annotated[list[Range], Meta(max_length=1_000)] = []
    versions: Annotated[list[Short], Meta(max_length=VERSIONS_MAX)] = []
    severity: list[Score] = []
    database_specific: dict[str, Any] = {}


class Entry(Struct):
    """One advisory, as far as it is read."""

    id: Annotated[str, Meta(min_length=1, max_length=100)]
    modified: datetime
    withdrawn: datetime | None = None
    summary: str = ""
    aliases: list[Short] = []
    affected: Annotated[list[Affected], Meta(max_length=10_000)] = []
    severity: list[Score] = []
    database_specific: dict[str, Any] = {}


class Flaw(Struct):
    """What is kept of an advisory about one package."""

    ranges: list[list[Change]]
    versions: list[str]
    severity: int
    summary: str
    aliases: list[str]


@dataclass(frozen=True)
class ReadAdvisory:
    """One advisory about one Python package, ready to be kept."""

    number: str
    package: str
    content: dict[str, Any]


@dataclass(frozen=True)
class ReadFile:
    """What an advisory file holds: how many advisories, their newest change, and those that count."""

    count: int
    as_of: datetime
    rows: list[ReadAdvisory]


def read_advisories(raw: bytes) -> ReadFile:
    """The advisories of a file: one JSON object, a list, lines of JSON, or a zip of such files. Withdrawn ones, and
    those about other ecosystems, are left out.

    Raises Invalid: for what is no advisory, with which one, and for a file that holds none about Python packages.
    """
    rows: list[ReadAdvisory] = []
    known: set[str] = set()
    as_of: datetime | None = None
    for place, value in _values(raw):
        entry = _entry(place, value)
        of_ours = [one for one in entry.affected if one.package and one.package.ecosystem.split(":")[0] == ECOSYSTEM]
        if not of_ours:
            continue
        if entry.id in known:
            raise Invalid(f"The advisory {entry.id[:80]} is in the file twice.")
        known.add(entry.id)
        as_of = max(as_of, entry.modified) if as_of else entry.modified
        if entry.withdrawn is None:
            rows += [_kept(entry, one) for one in of_ours]
    if as_of is None:
        raise Invalid(f"The file holds no advisory about packages of {ECOSYSTEM}.")
    return ReadFile(len(known), as_of, rows)


def _entry(place: str, value: Any) -> Entry:
    try:
        found = shapes.convert(Entry, value)
    except Malformed as error:
        raise Invalid(f"{place} is no advisory in the OSV form: {error}.") from error
    if found.modified.tzinfo is None:
        raise Invalid(f"{place} does not say in which time zone it was modified.")
    return found


def _values(raw: bytes) -> Iterator[tuple[str, Any]]:
    if len(raw) > FILE_MAX_BYTES:
        raise Invalid(f"The file is larger than {FILE_MAX_BYTES >> 20} MiB.")
    if raw[:4] == b"PK\x03\x04":
        yield from _of_zip(raw)
        return
    try:
        whole = json.loads(raw)
    except RecursionError as error:
        raise Invalid("The file is nested too deep.") from error
    except ValueError:
        yield from _of_lines(raw)
        return
    for number, value in enumerate(whole if isinstance(whole, list) else [whole], 1):
        yield f"Entry {number}", value


def _of_lines(raw: bytes) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(raw.splitlines(), 1):
        if line.strip():
            yield f"Line {number}", _read(line, f"Line {number}")


def _of_zip(raw: bytes) -> Iterator[tuple[str, Any]]:
    whole = 0
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            names = [name for name in archive.namelist() if name.endswith(".json")]
            if len(names) > ENTRIES_MAX:
                raise Invalid(f"The archive holds more than {ENTRIES_MAX} files.")
            for name in names:
                with archive.open(name) as file:
                    text = file.read(ENTRY_MAX_BYTES + 1)
                whole += len(text)
                if len(text) > ENTRY_MAX_BYTES or whole > 4 * FILE_MAX_BYTES:
                    raise Invalid(f"{name[:80]} in the archive is too large, or all files of it are.")
                yield name[:80], _read(text, name[:80])
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
        raise Invalid(f"The archive cannot be read: {error}.") from error


def _read(text: bytes, place: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{place} is no JSON: {str(error)[:100]}.") from error


def _kept(entry: Entry, affected: Affected) -> ReadAdvisory:
    assert affected.package is not None
    ranges = [one.events for one in affected.ranges if one.type in ("ECOSYSTEM", "SEMVER")]
    flaw = Flaw(ranges, affected.versions, severity_of(entry, affected), entry.summary[:300], entry.aliases[:20])
    return ReadAdvisory(entry.id, canonicalize_name(affected.package.name)[:200], shapes.plain(flaw))


def severity_of(entry: Entry, affected: Affected) -> Severity:
    """The worst that the advisory says of itself; a package that was made to do harm is as bad as can be."""
    if entry.id.startswith(MALICIOUS):
        return Severity.CRITICAL
    said = [_scored(one) for one in [*entry.severity, *affected.severity]]
    for words in (entry.database_specific, affected.database_specific):
        said.append(WORDS.get(str(words.get("severity", "")).upper(), Severity.UNKNOWN))
    return max(said, default=Severity.UNKNOWN)


def _scored(score: Score) -> Severity:
    """What a CVSS vector comes to; UNKNOWN for one that cannot be read."""
    kind = VECTORS.get(score.type)
    if kind is None:
        return Severity.UNKNOWN
    try:
        number = float(kind(score.score).base_score)
    except (cvss.CVSSError, ArithmeticError, ValueError):
        return Severity.UNKNOWN
    return next(word for bound, word in BOUNDS if number >= bound)


class Concern(IntEnum):
    """Whether a version has a flaw."""

    CLEAR = 0
    CANNOT_TELL = 1
    AFFECTED = 2


def concern(flaw: Flaw, version: str) -> Concern:
    """Whether a version is among those that a flaw affects, by its list and its ranges.

    A local part (`1.0+cu118`) is a build of the same version. What names neither versions nor ranges cannot be told.
    """
    try:
        looked_at = _public(version)
    except InvalidVersion:
        return Concern.CANNOT_TELL
    listed = set(flaw.versions)
    if version in listed or any(_same(text, looked_at) for text in listed):
        return Concern.AFFECTED
    if not flaw.ranges and not flaw.versions:
        return Concern.CANNOT_TELL
    return max((_in_range(events, looked_at) for events in flaw.ranges), default=Concern.CLEAR)


def _public(text: str) -> Version:
    return Version(Version(text).public)


def _same(text: str, version: Version) -> bool:
    try:
        return _public(text) == version
    except InvalidVersion:
        return False


def _in_range(events: list[Change], version: Version) -> Concern:
    """The last event at or before the version decides, as the OSV form has it."""
    marks: list[tuple[Version, int, bool]] = []
    try:
        for event in events:
            if event.introduced is not None:
                marks.append((_public("0.dev0" if event.introduced == BEGINNING else event.introduced), 1, True))
            if event.fixed is not None:
                marks.append((_public(event.fixed), 0, False))
            if event.last_affected is not None and version > _public(event.last_affected):
                marks.append((_public(event.last_affected), 2, False))
    except InvalidVersion:
        return Concern.CANNOT_TELL
    if not marks:
        return Concern.CANNOT_TELL
    before = sorted(mark for mark in marks if mark[0] <= version)
    return Concern.AFFECTED if before and before[-1][2] else Concern.CLEAR


def flaw_of(content: dict[str, Any]) -> Flaw:
    """A flaw as it was kept. Raises Malformed."""
    return shapes.convert(Flaw, content)
