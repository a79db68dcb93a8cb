"""Where what is served comes from: a release as it was at an instant, with who asked for it and who approved it."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Prefetch, QuerySet

from deployments.models import Release, ReleaseEvent, Report
from deployments.selectors import original_of
from registry.approvals.selectors import approval_progress, approving_decisions
from registry.models import Decision, Emergency

# Lines of a rollout say phases and verdicts, not the release's status.
NOT_OF_THE_STATUS = "rollout."
# Documents that may be large and are not shown of the past.
LEFT_OUT = (
    "strategy",
    "guardrails",
    "version__manifest",
    "version__evidence",
    "version__signature",
    "report__document",
    "restores__strategy",
    "restores__guardrails",
)


@dataclass(frozen=True)
class Provenance:
    """A release as it was at an instant. `status` is empty where no line of its history says one.

    `original` is what was approved: the release itself, or the one whose version it restored. `approved_by` are the
    decisions that counted as approvals by then; `approval` says in a sentence how far the approval was. `report` is
    None while it had not been written. `emergency` is the one in which it had begun without its approvals.
    """

    release: Release
    status: str
    original: Release
    approved_by: tuple[Decision, ...]
    approval: str
    report: Report | None
    emergency: Emergency | None


def provenances(ids: Collection[str], instant: datetime) -> dict[str, Provenance]:
    """Id → these releases as they were at `instant` (reads the database, whatever their number a constant number of
    times).
    """
    releases = list(_rows(instant).filter(pk__in=ids))
    statuses = _statuses([release.pk for release in releases], instant)
    return {str(row.pk): _provenance(row, statuses.get(row.pk, ""), instant) for row in releases}


def _rows(instant: datetime) -> QuerySet[Release]:
    made_by_then = Decision.objects.filter(at__lte=instant).select_related("person", "on_behalf_of")
    rows = Release.objects.select_related(
        "endpoint__environment",
        "endpoint__model",
        "version__model",
        "requester",
        "policy__environment",
        "serving_config",
        "report",
        "approval__policy",
        "approval__emergency__used_by",
        "restores__approval__policy",
        "restores__approval__emergency__used_by",
        "restores__requester",
    )
    return rows.defer(*LEFT_OUT).prefetch_related(
        Prefetch("approval__decisions", made_by_then), Prefetch("restores__approval__decisions", made_by_then)
    )


def _statuses(releases: Iterable[object], instant: datetime) -> dict[object, str]:
    """Release → its status at `instant`, by the newest line of its history that says one."""
    lines = ReleaseEvent.objects.filter(release__in=list(releases), at__lte=instant).exclude(new="")
    told = lines.exclude(kind__startswith=NOT_OF_THE_STATUS).order_by("id")
    return dict(told.values_list("release", "new"))


def _provenance(release: Release, status: str, instant: datetime) -> Provenance:
    report: Report | None = getattr(release, "report", None)
    original = original_of(release)
    approved_by, approval = _approval(original, instant)
    written = report if report is not None and report.created_at <= instant else None
    return Provenance(release, status, original, approved_by, approval, written, _emergency(original, instant))


def _emergency(release: Release, instant: datetime) -> Emergency | None:
    """The emergency in which it had begun without approvals by then."""
    used = release.emergency
    return used if used is not None and used.used_at <= instant else None


def _approval(release: Release, instant: datetime) -> tuple[tuple[Decision, ...], str]:
    """Who had approved by `instant`, and how far that was. Only decisions made by then are in the rows."""
    request = release.approval
    if request is None or request.created_at > instant:
        return (), "No approval had been asked for yet."
    if not request.rules:
        return (), f"Policy {request.policy.revision} asked for nobody's approval."
    if used := _emergency(release, instant):
        return tuple(approving_decisions(request)), used.sentence
    given = tuple(sorted(approving_decisions(request), key=lambda decision: (decision.at, decision.pk)))
    progress = approval_progress(request)
    return given, "Every rule of the policy was met." if progress.met else f"Not approved then. {progress.missing}"
