"""Second places for checkpoints: another folder, a syslog server, a webhook. Whoever takes one must take all."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog
from django.conf import settings

from mlorch_site.audit.checkpoints import CheckpointFile
from mlorch_site.lib import outgoing
from mlorch_site.lib.errors import Unavailable
from mlorch_site.lib.readable import whole_number

log = structlog.get_logger(__name__)

SYSLOG_PRIORITY = 13 * 8 + 5  # facility "log audit", severity "notice"
SYSLOG_PORT = 514


class CheckpointCopy(Protocol):
    """A place that gets each checkpoint as it is written."""

    def send(self, line: bytes) -> None:
        """Send one; that it cannot be sent is logged, and holds nothing up."""


@dataclass(frozen=True)
class FolderCopy:
    """Another file, which `audit_verify` reads too."""

    folder: Path

    def send(self, line: bytes) -> None:
        try:
            CheckpointFile(self.folder).add(line)
        except OSError as error:
            log.error("audit.copy_failed", place=str(self.folder), error=type(error).__name__)


@dataclass(frozen=True)
class SyslogCopy:
    """A syslog server: the path of its socket, or host and port for UDP."""

    address: str

    def send(self, line: bytes) -> None:
        message = f"<{SYSLOG_PRIORITY}>mlorch-audit: ".encode() + line
        host, _, port = self.address.rpartition(":")
        is_path = self.address.startswith("/")
        family, place = (
            (socket.AF_UNIX, self.address) if is_path else (socket.AF_INET, (host or self.address, _port(port)))
        )
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as sender:
                sender.sendto(message, place)
        except OSError as error:
            log.error("audit.copy_failed", place=self.address, error=type(error).__name__)


def _port(text: str) -> int:
    return whole_number(text) or SYSLOG_PORT


@dataclass(frozen=True)
class WebhookCopy:
    """A URL that each checkpoint is posted to."""

    url: str

    def send(self, line: bytes) -> None:
        try:
            status = outgoing.post(self.url, line, "application/json")
            if not 200 <= status < 300:
                raise Unavailable(f"The answer was {status}.")
        except Unavailable as error:
            log.error("audit.copy_failed", place="webhook", reason=error.message)


def copies() -> Iterator[CheckpointCopy]:
    """The places that are configured."""
    if settings.AUDIT_COPY_DIR:
        yield FolderCopy(Path(settings.AUDIT_COPY_DIR))
    if settings.AUDIT_COPY_SYSLOG:
        yield SyslogCopy(settings.AUDIT_COPY_SYSLOG)
    if settings.AUDIT_COPY_WEBHOOK:
        yield WebhookCopy(settings.AUDIT_COPY_WEBHOOK)
