"""The report of an ended release or rollback: who, what, on what evidence, step by step, as one document with its own
hash.
"""

from datetime import datetime
from typing import Any

from django.db.models import Max, Min

from deployments.gate_lines import gate_lines
from deployments.models import Release, ReleaseEvent, Report, Rollout
from deployments.selectors import sandboxes_of
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib.hashing import content_hash
from registry.approvals.selectors import approval_progress

FORMAT = 1


def report_create(release: Release, *, now: datetime) -> Report:
    """Write the report of a release that has just ended.

    Belongs into the transaction that ended it; writing it twice gives the first one.
    """
    document = document_of(release, now)
    report, _ = Report.objects.get_or_create(
        release=release,
        defaults={"kind": release.kind, "document": document, "digest": content_hash(document), "created_at": now},
    )
    return report


def document_of(release: Release, now: datetime) -> dict[str, Any]:
    """The report of a release as JSON-able values."""
    return {
        "format": FORMAT,
        "kind": release.kind,
        "release": str(release.pk),
        "what": _what(release),
        "who": {"requester": release.requester.username, "reason": release.reason},
        "outcome": {"status": release.status, "sentence": release.status_reason, "ended_at": _time(release.ended_at)},
        "policy": str(release.policy),
        "plan": release.plan,
        "content_hash": release.content_hash,
        "guardrails": release.guardrails,
        "approval": _approval(release),
        "gates": _gates(release, now),
        "sandboxes": sandboxes_of(release),
        "assessment": _assessment(release),
        "timeline": [_event(event) for event in release.events.all()],
        "audit": _audit_range(release),
    }


def _what(release: Release) -> dict[str, Any]:
    endpoint = release.endpoint
    return {
        "model": endpoint.model.name,
        "version": release.version.number,
        "digest": release.digest,
        "environment": endpoint.environment.name,
        "endpoint": endpoint.name,
        "replaces": release.replaces.version.number if release.replaces else None,
        "restores": str(release.restores_id) if release.restores_id else None,
        "requested_at": _time(release.created_at),
        "started_at": _time(release.started_at),
    }


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _approval(release: Release) -> dict[str, Any] | None:
    request = release.approval
    if request is None:
        return None
    used = release.emergency
    emergency = used and {
        "used_by": used.used_by.username,
        "at": _time(used.used_at),
        "reason": used.reason,
        "ticket": used.ticket,
        "skipped": used.skipped,
    }
    return {
        "status": request.status,
        "emergency": emergency,
        "rules": [{"rule": rule.label, "given_by": rule.given_by} for rule in approval_progress(request).rules],
        "decisions": [
            {"person": d.by, "kind": d.kind, "roles": d.roles, "comment": d.comment, "at": _time(d.at)}
            for d in request.decisions.select_related("person", "on_behalf_of")
        ],
    }


def _gates(release: Release, now: datetime) -> list[dict[str, Any]]:
    """What each gate found, with the waivers of it and what it had found before."""
    return [line.values() for line in gate_lines(release, now)]


def _assessment(release: Release) -> dict[str, Any]:
    rollout = Rollout.objects.filter(release=release).first()
    return dict(rollout.assessment) if rollout else {}


def _event(event: ReleaseEvent) -> dict[str, Any]:
    return {
        "at": _time(event.at),
        "kind": event.kind,
        "sentence": event.sentence,
        "actor": event.actor,
        "data": event.data,
    }


def _audit_range(release: Release) -> dict[str, Any]:
    """The span of audit records about the release, and the hash of its newest one."""
    records = AuditRecord.objects.filter(subject_kind="release", subject_id=str(release.pk))
    span = records.aggregate(first=Min("sequence"), last=Max("sequence"))
    newest = records.order_by("-sequence").values_list("hash", flat=True).first()
    return {"first": span["first"], "last": span["last"], "hash": newest or ""}
