"""Route tables: what makes one valid, and the last good one of each environment on disk (docs/wire.md section 2)."""

import hashlib
import json
import math
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

FORMAT = 1
NAME = re.compile(r"^[a-z0-9][a-z0-9\-]{0,62}$")
STABLE = "stable"
TEXT_MAX_CHARS = 300


class InvalidTable(Exception):
    """The table must not be used; the text says why."""


@dataclass(frozen=True)
class Key:
    """What one gateway key opens. `expires_at` is Unix time or None."""

    prefix: str
    endpoints: frozenset[str]
    expires_at: float | None

    def opens(self, endpoint: str) -> bool:
        return "*" in self.endpoints or endpoint in self.endpoints


@dataclass(frozen=True)
class Target:
    """One replica: its id and the path of its socket."""

    id: str
    socket: str


@dataclass(frozen=True)
class ArmRoute:
    """One arm of an endpoint. The pair (first, last) is its range of buckets, last excluded."""

    arm: str
    version: str
    weight_pct: int
    release: str
    replicas: tuple[Target, ...]
    mirror_pct: int

    @cached_property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The response headers that name this arm."""
        return (
            (b"x-mlorch-version", self.version.encode()),
            (b"x-mlorch-arm", self.arm.encode()),
            (b"x-mlorch-release", self.release.encode()),
        )


@dataclass(frozen=True)
class EndpointRoute:
    """One endpoint with its limits."""

    name: str
    release: str
    salt: str
    timeout_ms: int
    max_body_bytes: int
    max_in_flight: int
    max_batch_rows: int
    max_batch_delay_ms: int
    retry_on_stable: bool
    log_share: float
    log_redacted: frozenset[str]
    shadow: "ArmRoute | None"
    arms: tuple[ArmRoute, ...]


@dataclass(frozen=True)
class Table:
    """One environment's routes, immutable."""

    environment: str
    revision: int
    keys: dict[str, Key]
    endpoints: dict[str, EndpointRoute]
    document: dict[str, Any]


def parse(document: Any) -> Table:
    """Return the table of a document. Raises InvalidTable for anything that docs/wire.md does not allow."""
    try:
        return _table(document)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise InvalidTable(f"malformed: {type(error).__name__} {error}") from error


def _table(document: dict[str, Any]) -> Table:
    if type(document["format"]) is not int or document["format"] != FORMAT:
        raise InvalidTable(f"format {document['format']!r} is not {FORMAT}")
    revision = document["revision"]
    if type(revision) is not int or revision < 1:
        raise InvalidTable("the revision is not a positive integer")
    environment = _name(document["environment"])
    endpoints = {_name(name): _endpoint(name, route) for name, route in document["endpoints"].items()}
    keys = {_text(key["digest"]): _key(key) for key in document["keys"]}
    return Table(environment, revision, keys, endpoints, document)


def _name(value: Any) -> str:
    if not isinstance(value, str) or not NAME.match(value):
        raise InvalidTable(f"{value!r} is not a name")
    return value


def _text(value: Any) -> str:
    """Return a text that may stand in a header."""
    if not isinstance(value, str) or len(value) > TEXT_MAX_CHARS or not (value.isascii() and value.isprintable()):
        raise InvalidTable(
            f"{str(value)[:TEXT_MAX_CHARS]!r} is not a printable ASCII text of {TEXT_MAX_CHARS} characters at most"
        )
    return value


def _strings(values: Any) -> frozenset[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InvalidTable(f"{type(values).__name__} in the place of a list of texts")
    return frozenset(values)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidTable(f"{value!r} is neither true nor false")
    return value


def _key(key: dict[str, Any]) -> Key:
    expires_at = key.get("expires_at")
    if expires_at is not None and (type(expires_at) not in (int, float) or not math.isfinite(expires_at)):
        raise InvalidTable("a key's end is no point in time")
    return Key(_text(key["prefix"]), _strings(key["endpoints"]), None if expires_at is None else float(expires_at))


def _positive(route: dict[str, Any], name: str, default: int) -> int:
    value = route.get(name, default)
    if type(value) is not int or value < 1:
        raise InvalidTable(f"{name} is not a positive integer")
    return value


def _endpoint(name: str, route: dict[str, Any]) -> EndpointRoute:
    arms = tuple(_arm(name, arm) for arm in route["arms"])
    if not arms:
        raise InvalidTable(f"{name} has no arm")
    if len({arm.arm for arm in arms}) != len(arms):
        raise InvalidTable(f"{name} names an arm twice")
    total = sum(arm.weight_pct for arm in arms)
    if total != 100:
        raise InvalidTable(f"weights of {name} sum to {total}")
    return EndpointRoute(
        name=name,
        release=_text(route["release"]),
        salt=_text(route["salt"]),
        timeout_ms=_positive(route, "timeout_ms", 10_000),
        max_body_bytes=_positive(route, "max_body_bytes", 8 * 1024 * 1024),
        max_in_flight=_positive(route, "max_in_flight", 256),
        max_batch_rows=_positive(route, "max_batch_rows", 64),
        max_batch_delay_ms=_positive(route, "max_batch_delay_ms", 5),
        retry_on_stable=_flag(route.get("retry_on_stable", False)),
        log_share=_share(route.get("log", {}).get("share_pct", 0)),
        log_redacted=_strings(route.get("log", {}).get("redacted", [])),
        shadow=next((arm for arm in arms if arm.mirror_pct and arm.replicas), None),
        arms=arms,
    )


def _arm(endpoint: str, arm: dict[str, Any]) -> ArmRoute:
    weight = arm["weight_pct"]
    if type(weight) is not int or not 0 <= weight <= 100:
        raise InvalidTable(f"weight {weight!r} of {endpoint} is not an integer from 0 to 100")
    replicas = tuple(_target(replica) for replica in arm["replicas"])
    if weight > 0 and not replicas:
        raise InvalidTable(f"the {arm['arm']} arm of {endpoint} has weight and no replica")
    mirror = arm.get("mirror_pct", 0)
    if type(mirror) is not int or not 0 <= mirror <= 100:
        raise InvalidTable(f"mirror share {mirror!r} of {endpoint} is not an integer from 0 to 100")
    return ArmRoute(_name(arm["arm"]), _text(arm["version"]), weight, _text(arm["release"]), replicas, mirror)


def _share(pct: Any) -> float:
    if type(pct) not in (int, float) or not 0 <= pct <= 100:
        raise InvalidTable(f"log share {pct!r} is not a number from 0 to 100")
    return float(pct) / 100


def _target(replica: dict[str, Any]) -> Target:
    kind, _, path = str(replica["address"]).partition(":")
    if kind != "unix" or not path.startswith("/"):
        raise InvalidTable(f"address {replica['address']!r} is not a unix: absolute path")
    return Target(_text(replica["id"]), path)


def save(folder: Path, table: Table) -> None:
    """Keep `table` as the last good one: written aside, synced, renamed, with its own hash in the first line."""
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps(table.document, sort_keys=True).encode()
    temporary = folder / f".{table.environment}.{os.getpid()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / f"{table.environment}.json")


def forget(folder: Path, environment: str) -> None:
    """Remove the kept table of an environment that is no more."""
    (folder / f"{environment}.json").unlink(missing_ok=True)


def load(path: Path) -> Table:
    """Return the table kept in `path`. Raises InvalidTable when it is torn, changed or not valid."""
    try:
        digest, _, content = path.read_bytes().partition(b"\n")
    except OSError as error:
        raise InvalidTable(f"cannot be read: {error}") from error
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise InvalidTable("torn: the content does not match its hash")
    try:
        return parse(json.loads(content))
    except ValueError as error:
        raise InvalidTable(f"not JSON: {error}") from error


def load_all(folder: Path) -> tuple[dict[str, Table], dict[str, str]]:
    """Return the good tables in `folder`, and why each other file was refused."""
    good: dict[str, Table] = {}
    refused: dict[str, str] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            table = load(path)
            good[table.environment] = table
        except InvalidTable as error:
            refused[path.stem] = str(error)
    return good, refused
