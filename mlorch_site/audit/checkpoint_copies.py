"""Second places for checkpoints: a folder, a git repository, an object store, a syslog server, a webhook.

Whoever takes a checkpoint from one must take it from all. What was sent is never changed: places that can be read again
tell, each by itself, that the record or the checkpoints here were written anew.
"""

import hashlib
import socket
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from django.conf import settings

from mlorch_site.audit.checkpoints import CheckpointFile, by_series, line_hash, read_checkpoint
from mlorch_site.audit.git_copy import GitCopy
from mlorch_site.audit.object_copy import ObjectCopy
from mlorch_site.lib import outgoing
from mlorch_site.lib.errors import Unavailable
from mlorch_site.lib.readable import whole_number

SYSLOG_PRIORITY = 13 * 8 + 5  # facility "log audit", severity "notice"
SYSLOG_PORT = 514
SENT_AT_ONCE = 500
PLACE_HEX_CHARS = 16


class CheckpointCopy(Protocol):
    """A place that gets each checkpoint.

    `address` is what it is configured by, and may hold a secret; `label` is what people are shown. A new place that
    `keeps` gets all there are, another one the newest only. `at_once` lines go in one sending, which is all or nothing.
    """

    kind: str
    keeps: bool
    at_once: int

    @property
    def address(self) -> str: ...

    @property
    def label(self) -> str: ...

    def send(self, series: str, lines: list[bytes]) -> None:
        """Have these lines there, oldest first; those that are there already stay. Raises Unavailable."""


class ReadableCopy(CheckpointCopy, Protocol):
    """A place that can be asked what it holds."""

    def read(self, known: Collection[str]) -> dict[str, list[bytes]]:
        """Series → lines, oldest first. Of lines whose hashes are `known` all but the newest may be missing.

        Raises Unavailable.
        """


def place_of(copy: CheckpointCopy) -> str:
    """The key of a place: its kind and a hash, since an address may hold a secret."""
    return f"{copy.kind}:{hashlib.sha256(copy.address.encode()).hexdigest()[:PLACE_HEX_CHARS]}"


@dataclass(frozen=True)
class FolderCopy:
    """Another file, in which one series follows the other."""

    folder: Path
    kind = "folder"
    keeps = True
    at_once = SENT_AT_ONCE

    @property
    def address(self) -> str:
        return str(self.folder)

    @property
    def label(self) -> str:
        return str(self.folder)

    def send(self, series: str, lines: list[bytes]) -> None:
        file = CheckpointFile(self.folder)
        try:
            with file.locked():
                for line in self._missing(file, lines):
                    file.add(line)
        except OSError as error:
            raise Unavailable(f"{file.path} cannot be written ({type(error).__name__}).") from error

    def _missing(self, file: CheckpointFile, lines: list[bytes]) -> list[bytes]:
        if file.newest_hash() == read_checkpoint(lines[0]).previous:
            return lines
        there = {line_hash(line) for line in file.lines()}
        return [line for line in lines if line_hash(line) not in there]

    def read(self, known: Collection[str]) -> dict[str, list[bytes]]:
        file = CheckpointFile(self.folder)
        try:
            return by_series(file.lines())
        except OSError as error:
            raise Unavailable(f"{file.path} cannot be read ({type(error).__name__}).") from error


@dataclass(frozen=True)
class SyslogCopy:
    """A syslog server: the path of its socket, or host and port for UDP, which does not say whether it arrived."""

    address: str
    kind = "syslog"
    keeps = False
    at_once = 1

    @property
    def label(self) -> str:
        return self.address

    def send(self, series: str, lines: list[bytes]) -> None:
        host, _, port = self.address.rpartition(":")
        is_path = self.address.startswith("/")
        family, place = (
            (socket.AF_UNIX, self.address) if is_path else (socket.AF_INET, (host or self.address, _port(port)))
        )
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as sender:
                sender.settimeout(outgoing.TIMEOUT_S)
                for line in lines:
                    sender.sendto(f"<{SYSLOG_PRIORITY}>mlorch-audit: ".encode() + line, place)
        except OSError as error:
            raise Unavailable(f"{self.address} does not take it ({type(error).__name__}).") from error


def _port(text: str) -> int:
    return whole_number(text) or SYSLOG_PORT


@dataclass(frozen=True)
class WebhookCopy:
    """A URL that each checkpoint is posted to."""

    address: str
    kind = "webhook"
    keeps = False
    at_once = 1

    @property
    def label(self) -> str:
        try:
            return f"webhook at {urlsplit(self.address).hostname}"
        except ValueError:
            return "webhook"

    def send(self, series: str, lines: list[bytes]) -> None:
        for line in lines:
            status = outgoing.post(self.address, line, "application/json")
            if not 200 <= status < 300:
                raise Unavailable(f"The answer was {status}.")


def copies() -> Iterator[CheckpointCopy]:
    """The places that are configured."""
    yield from readable_copies()
    if settings.AUDIT_COPY_SYSLOG:
        yield SyslogCopy(settings.AUDIT_COPY_SYSLOG)
    if settings.AUDIT_COPY_WEBHOOK:
        yield WebhookCopy(settings.AUDIT_COPY_WEBHOOK)


def readable_copies() -> Iterator[ReadableCopy]:
    """Those of them that can be asked what they hold."""
    if settings.AUDIT_COPY_DIR:
        yield FolderCopy(Path(settings.AUDIT_COPY_DIR))
    if settings.AUDIT_COPY_GIT:
        yield GitCopy(Path(settings.AUDIT_COPY_GIT), settings.AUDIT_COPY_GIT_PUSH)
    if settings.AUDIT_COPY_S3:
        yield ObjectCopy(settings.AUDIT_COPY_S3, settings.AUDIT_COPY_S3_ENDPOINT, settings.AUDIT_COPY_S3_RETAIN_DAYS)
