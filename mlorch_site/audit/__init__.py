"""The append-only, hash-chained record of every act. Services call `record` inside the transaction of the act."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlorch_site.accounts.actor import Actor
    from mlorch_site.audit.models import AuditRecord


@dataclass(frozen=True)
class Subject:
    """What an act was about: kind (`release`, `token`, …), id, and the label people know it by."""

    kind: str
    id: str
    label: str = ""


def record(
    actor: "Actor", action: str, subject: Subject, *, reason: str = "", data: dict[str, Any] | None = None
) -> "AuditRecord":
    """Append one record and return it. Must run inside a transaction: an act without a record cannot exist.

    `action` is `<entity>.<past tense>`; `data` is JSON-able and carries digests before and after, versions, the policy revision.
    """
    from mlorch_site.audit.chain import append

    return append(actor, action, subject, reason=reason, data=data or {})
