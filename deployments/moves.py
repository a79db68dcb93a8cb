"""Move a release from one status to the next: the table, compare-and-swap, the journal, and the report at the end."""

from datetime import datetime
from typing import Any

from deployments import journal, limits
from deployments.lifecycle import ENDED_STATUSES, ReleaseStatus, check_release_move
from deployments.models import Release
from deployments.reports.report_writing import report_create
from mlorch_site.accounts.actor import Actor
from mlorch_site.audit.services import Subject
from mlorch_site.lib.swap import swap
from registry.services.gate_runs import gates_end


def release_move(
    release: Release, to: ReleaseStatus, *, actor: Actor, reason: str, now: datetime, **changes: Any
) -> bool:
    """Move `release` to a status and return True, or return False when somebody was first. Belongs into a transaction.

    `changes` are further fields of the row. A release that ends gets its report. Raises IllegalTransition for a move
    that the table does not have.
    """
    old = release.status
    check_release_move(old, to)
    ends = to in ENDED_STATUSES
    due = {"ended_at": now, "due_at": None} if ends else {"due_at": now}
    values = {"status": to.value, "status_reason": reason[: limits.STATUS_REASON_MAX_CHARS], **due, **changes}
    if not swap(release, **values):
        return False
    hashes = {"content_hash": release.content_hash, "digest": release.digest}
    entry = journal.AuditEntry(f"release.{to.value}", {"old": old, "new": to.value, **hashes})
    journal.write(release, f"release.{to.value}", reason, actor=actor, now=now, old=old, new=to.value, audit=entry)
    if ends:
        gates_end(subject=Subject("release", str(release.pk)), reason="The release ended before the gate had answered.")
        report_create(release, now=now)
    return True
