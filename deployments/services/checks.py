"""Run a release's gates and open its approval.

Slow (gates read artifacts), so the `work` queue calls it; twice is harmless.
"""

from datetime import datetime, timedelta

from django.db import transaction

from deployments import journal, limits
from deployments.actors import GATES
from deployments.biography import taken_back_sentences
from deployments.lifecycle import ReleaseStatus
from deployments.models import Release
from deployments.moves import release_move
from deployments.services.answering import answered_request
from deployments.services.approval_content import SUBJECT_KIND, approval_content, covered_content
from mlorch_site.audit.services import Subject
from mlorch_site.lib.enqueue import TaskName
from mlorch_site.lib.hashing import content_hash
from mlorch_site.lib.swap import swap
from registry.approvals.services import approval_open
from registry.gates import GateInput, GateOutcomeRow, gate_results_record, run
from registry.lifecycle import ApprovalStatus, DigestStatus, GateOutcome
from registry.selectors import why_changed_outside
from registry.services import artifact_set_hold, artifacts_fetch

CHECK_RELEASE = TaskName("deployments.check_release", "work")
REFUSING = {GateOutcome.FAIL, GateOutcome.ERROR}


def release_check(*, release_id: str, now: datetime) -> None:
    """Run the gates of a release in status `checking` and move it on: to its approval, or rejected with the gate's
    sentence.

    While the version's digest is not known yet the release waits with that reason.
    """
    rows = Release.objects.select_related(
        "endpoint__environment",
        "endpoint__model",
        "version__model",
        "policy",
        "serving_config",
        "requester",
        "replaces__version",
    )
    release = rows.filter(pk=release_id, status=ReleaseStatus.CHECKING).first()
    if release is None:
        return
    if why := why_changed_outside(release.version, release.digest):
        with transaction.atomic():
            release_move(release, ReleaseStatus.REJECTED, actor=GATES, reason=why, now=now)
        return
    if release.version.digest_status == DigestStatus.PENDING:
        _wait(release, _digest_reason(release), now)
        return
    if release.version.digest and (why := artifacts_fetch(version=release.version, now=now)):
        _wait(release, why, now)
        return
    results = run(release.policy.gates, _gate_input(release))
    if results is None:
        _wait(release, "A check waits for what it needs.", now)
        return
    _checked(release, list(results), now)


def _digest_reason(release: Release) -> str:
    error = release.version.digest_error
    return f"Waits for the digest of {release.version}." + (f" {error}" if error else "")


def _gate_input(release: Release) -> GateInput:
    stable = release.endpoint.stable_release
    return GateInput(
        version=release.version,
        environment=release.endpoint.environment,
        policy=release.policy,
        guardrails=release.guardrails,
        slo={row["metric"]: row["slo_ms"] for row in release.guardrails if "slo_ms" in row},
        subject_kind=SUBJECT_KIND,
        subject_id=str(release.pk),
        content_hash=release.content_hash,
        from_version=stable.version if stable else None,
        taken_back=taken_back_sentences(release),
    )


@transaction.atomic
def _wait(release: Release, reason: str, now: datetime) -> None:
    changed = reason != release.status_reason
    due_at = now + timedelta(seconds=limits.LOOK_S)
    if swap(release, status_reason=reason[: limits.STATUS_REASON_MAX_CHARS], due_at=due_at) and changed:
        journal.announce(release)


@transaction.atomic
def _checked(release: Release, results: list[GateOutcomeRow], now: datetime) -> None:
    """Record the evidence and move on; what the approval covers is fixed here, with the digest."""
    digest = release.version.digest
    if digest and not artifact_set_hold(digest=digest, now=now):
        return  # they left the store after the gates had looked; the next look waits for them
    if not swap(release, digest=digest, content_hash=content_hash(approval_content(release))):
        return
    gate_results_record(
        actor=GATES,
        subject=Subject(SUBJECT_KIND, str(release.pk), scopes=tuple(release.scopes)),
        content_hash=release.content_hash,
        results=results,
    )
    passed = sum(1 for row in results if row.outcome not in REFUSING)
    sentence = f"{passed} of {len(results)} checks did not object."
    journal.write(
        release,
        "release.checked",
        sentence,
        actor=GATES,
        now=now,
        data={row.gate: str(row.outcome) for row in results},
    )
    refusing = [row for row in results if row.outcome in REFUSING]
    if refusing:
        reason = "; ".join(f"{row.gate.replace('_', ' ')}: {row.sentence}" for row in refusing)
        release_move(release, ReleaseStatus.REJECTED, actor=GATES, reason=reason, now=now)
        return
    _ask(release, now)


def _ask(release: Release, now: datetime) -> None:
    """Open the approval; without rules it is given at once."""
    request = approval_open(
        actor=GATES,
        subject_kind=SUBJECT_KIND,
        subject_id=str(release.pk),
        title=f"{release.version} to {release.endpoint}",
        url=f"/releases/{release.pk}/",
        content=covered_content(release),
        policy=release.policy,
        scopes=release.scopes,
        requester=release.requester,
        excluded=_excluded(release),
        risk_tier=release.plan.get("risk_tier", ""),
        answers=answered_request(release),
    )
    if request.status == ApprovalStatus.APPROVED:
        reason = "Checks passed; nobody has to approve."
        release_move(release, ReleaseStatus.APPROVED, actor=GATES, reason=reason, now=now, approval=request)
        return
    reason = "Checks passed; waits for approval."
    release_move(release, ReleaseStatus.AWAITING_APPROVAL, actor=GATES, reason=reason, now=now, approval=request)


def _excluded(release: Release) -> list[int]:
    """The ids of people who may not decide: the requester.

    Who made the version is not known: what MLflow says of it anybody may have written, also to keep a reviewer out.
    """
    return [release.requester_id]
