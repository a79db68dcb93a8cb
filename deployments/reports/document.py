"""The report of an ended release or rollback as values: who, what, on what evidence, step by step, with its own hash.

Everything is frozen when the release ends, figures of charts too; nothing of it is read again when it is shown.
"""

from datetime import datetime
from typing import Any

from django.db.models import Count, Max, Min

from deployments.biography import Stay, biography
from deployments.gate_lines import gate_lines
from deployments.models import Release, ReleaseEvent, Rollout
from deployments.reports.deviations import deviations_of
from deployments.reports.report_approval import approval_of
from deployments.reports.report_traffic import figures_of, points_around, weights_of
from deployments.selectors import sandboxes_of
from deployments.watch_standing import watch_values
from mlorch_site.audit.models import AuditHead, AuditRecord
from mlorch_site.lib.hashing import settled

FORMAT = 2
RECORDS_MAX = 500  # audit records that a report names one by one


def document_of(release: Release, now: datetime) -> dict[str, Any]:
    """The report of a release as JSON-able values, the same after a database has kept them."""
    events = list(release.events.all())
    gates = [line.values() for line in gate_lines(release, now)]
    approval = approval_of(release)
    points = points_around(release)
    document: dict[str, Any] = settled(
        {
            "format": FORMAT,
            "kind": release.kind,
            "release": str(release.pk),
            "what": _what(release),
            "who": {"requester": release.requester.username, "reason": release.reason},
            "ticket": str(release.plan.get("ticket") or ""),
            "outcome": {
                "status": release.status,
                "sentence": release.status_reason,
                "ended_at": time_text(release.ended_at),
            },
            "policy": str(release.policy),
            "plan": release.plan,
            "content_hash": release.content_hash,
            "guardrails": release.guardrails,
            "approval": approval,
            "gates": gates,
            "waivers": [waiver for gate in gates for waiver in gate["waivers"]],
            "biography": _biography(release),
            "sandboxes": sandboxes_of(release),
            "assessment": _assessment(release),
            "verdicts": [_verdict(event) for event in events if event.kind == "rollout.verdict"],
            "weights": weights_of(release, events, points),
            "figures": figures_of(release, points),
            "deviations": deviations_of(release, events, approval, gates),
            "watch": watch_values(release),
            "timeline": [_event(event) for event in events],
            "audit": _audit_range(release),
        }
    )
    return document


def time_text(moment: datetime | None) -> str | None:
    """A moment as reports write it."""
    return moment.isoformat() if moment else None


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
        "requested_at": time_text(release.created_at),
        "started_at": time_text(release.started_at),
    }


def _biography(release: Release) -> dict[str, Any]:
    """What had become of the same files when the release was asked for. In full where whoever sees the report sees it
    anyway: in the same environment under the same model. Of other places it is said how many, and what was taken back.
    """
    at = release.created_at
    before = [_as_of(stay, at) for stay in biography(release) if stay.release.created_at < at]
    near = [stay for stay in before if stay.release.scopes == release.scopes]
    return {
        "stays": [_stay(stay, at) for stay in near],
        "elsewhere": len(before) - len(near),
        "taken_back": [
            f"in {stay.release.endpoint.environment.name} on {stay.at:%Y-%m-%d}: {stay.why}"
            for stay in before
            if stay.is_taken_back and stay.at <= at
        ],
    }


def _as_of(stay: Stay, at: datetime) -> Stay:
    """A stay without a rollback that came after `at`."""
    ended = stay.taken_back.ended_at if stay.taken_back else None
    return stay if ended is not None and ended <= at else Stay(stay.release, None)


def _stay(stay: Stay, at: datetime) -> dict[str, Any]:
    """One earlier release, as it stood `at` a moment."""
    ended = stay.release.ended_at
    is_over = ended is not None and ended <= at
    return {
        "release": str(stay.release.pk),
        "version": stay.release.version.number,
        "endpoint": stay.release.endpoint.name,
        "requested_at": time_text(stay.release.created_at),
        "ended_at": time_text(ended) if is_over else None,
        "status": stay.look.label.lower() if is_over else "open",
        "sentence": stay.why if is_over else "",
    }


def _assessment(release: Release) -> dict[str, Any]:
    rollout = Rollout.objects.filter(release=release).first()
    return dict(rollout.assessment) if rollout else {}


def _verdict(event: ReleaseEvent) -> dict[str, Any]:
    """A change of the verdict, with the guardrails' numbers: effective samples and intervals are among them."""
    return {
        "at": time_text(event.at),
        "old": event.old,
        "new": event.new,
        "sentence": event.sentence,
        "guardrails": event.data.get("guardrails", []),
    }


def _event(event: ReleaseEvent) -> dict[str, Any]:
    is_verdict = event.kind == "rollout.verdict"
    return {
        "at": time_text(event.at),
        "kind": event.kind,
        "sentence": event.sentence,
        "actor": event.actor,
        "data": {} if is_verdict else event.data,  # its numbers are under `verdicts`
    }


def _audit_range(release: Release) -> dict[str, Any]:
    """The audit records about the release so far, the newest `RECORDS_MAX` each with its hash, and how many records in
    all a signed checkpoint covered then.
    """
    records = AuditRecord.objects.filter(subject_kind="release", subject_id=str(release.pk))
    span = records.aggregate(first=Min("sequence"), last=Max("sequence"), count=Count("sequence"))
    newest = list(records.order_by("-sequence").values_list("sequence", "action", "hash")[:RECORDS_MAX])
    head = AuditHead.objects.filter(pk=1).first()
    return {
        **span,
        "hash": newest[0][2] if newest else "",
        "records": [{"sequence": number, "action": act, "hash": own} for number, act, own in reversed(newest)],
        "checkpoint_size": head.checkpoint_size if head else 0,
    }
