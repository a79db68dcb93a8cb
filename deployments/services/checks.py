"""Run a release's gates, open its approval, and look again at both until the rollout begins.

Slow (gates read artifacts), so the `work` queue calls it; twice is harmless.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from django.db import transaction

from deployments import journal, limits
from deployments.actors import GATES
from deployments.gate_cases import CHECKED, case_of, gate_input, subject_of, worsened
from deployments.lifecycle import GATED_STATUSES, ReleaseStatus
from deployments.models import Release
from deployments.moves import release_move
from deployments.selectors import plan_editors
from deployments.services.answering import answered_request
from deployments.services.approval_content import approval_content, covered_content
from mlorch_site.accounts.roles import Role
from mlorch_site.lib import clock
from mlorch_site.lib.enqueue import TaskName, enqueue, enqueue_on_commit
from mlorch_site.lib.hashing import content_hash
from mlorch_site.lib.swap import swap
from registry.approvals.authors import claims_of
from registry.approvals.content_changes import content_changes
from registry.approvals.services import approval_open, approval_void
from registry.gates.base import GateInput
from registry.lifecycle import ApprovalStatus, DigestStatus
from registry.models import ApprovalRequest, GateResult
from registry.services import artifact_set_hold, artifacts_fetch
from registry.services.gate_runs import (
    current_results,
    gates_ask,
    gates_ask_again,
    gates_call,
    gates_note,
    gates_run,
    stale_inputs,
)
from registry.version_lifecycle import why_not_served
from registry.waivers import covering, is_waivable

CHECK_RELEASE = TaskName("deployments.check_release", "work")


@dataclass(frozen=True)
class GateVerdict:
    """What the gates say together: `refusal` why the release may not go on, `waits` what is still to come; both empty
    when nothing objects.
    """

    refusal: str = ""
    waits: str = ""


def release_check(*, release_id: str, now: datetime) -> None:
    """Run the gates of a release that has not begun its rollout, and move one in status `checking` on: to its approval,
    or rejected with the gate's sentence.

    While the version's digest is not known yet the release waits with that reason.
    """
    release = _read(release_id)
    if release is None or (release.status == ReleaseStatus.CHECKING and not _is_ready(release, now)):
        return
    subject, given = subject_of(release), gate_input(release)
    gates_ask(subject=subject, gates=release.policy.gates, content_hash=content_hash(approval_content(release)))
    gates_run(subject=subject, given=given, call=partial(enqueue, CHECK_RELEASE, release_id))
    again = _read(release_id)  # gates may have taken long
    if again is not None and again.status == ReleaseStatus.CHECKING:
        _go_on(again, clock.now())


def _read(release_id: str) -> Release | None:
    rows = Release.objects.select_related(
        "endpoint__environment",
        "endpoint__model",
        "endpoint__stable_release__version__model",
        "version__model",
        "policy__environment",
        "serving_config",
        "requester",
        "approval",
        "replaces__version",
    )
    return rows.filter(pk=release_id, status__in=GATED_STATUSES, kind="release").first()


def _is_ready(release: Release, now: datetime) -> bool:
    """Whether the gates of a release can look at its version; what lacks is noted."""
    if why := why_not_served(release.version, release.digest):
        with transaction.atomic():
            release_move(release, ReleaseStatus.REJECTED, actor=GATES, reason=why, now=now)
        return False
    if release.version.digest_status == DigestStatus.PENDING:
        _wait(release, _digest_reason(release), now)
        return False
    if release.version.digest and (why := artifacts_fetch(version=release.version, now=now)):
        _wait(release, why, now)
        return False
    return True


def _digest_reason(release: Release) -> str:
    error = release.version.digest_error
    return f"Waits for the digest of {release.version}." + (f" {error}" if error else "")


@transaction.atomic
def _wait(release: Release, reason: str, now: datetime, seconds: float = limits.LOOK_S) -> None:
    changed = reason != release.status_reason
    due_at = now + timedelta(seconds=seconds)
    if swap(release, status_reason=reason[: limits.STATUS_REASON_MAX_CHARS], due_at=due_at) and changed:
        journal.announce(release)


@transaction.atomic
def _go_on(release: Release, now: datetime) -> None:
    """Move a release on by what its gates say; what the approval covers is fixed here, with the digest."""
    given = gate_input(release)
    verdict = gates_verdict(release, given, now)
    if verdict.waits and not verdict.refusal:
        _wait(release, verdict.waits, now, limits.LOOK_IDLE_S)  # whoever waives or answers asks for a look
        return
    digest = release.version.digest
    if digest and not artifact_set_hold(digest=digest, now=now):
        return  # they left the store after the gates had looked; the next look waits for them
    if not swap(release, digest=digest, content_hash=content_hash(approval_content(release))):
        return
    results = list(current_results(subject_of(release)))
    note_checked(release, results, now)
    if verdict.refusal:
        release_move(release, ReleaseStatus.REJECTED, actor=GATES, reason=verdict.refusal, now=now)
        return
    _ask(release, now)


def note_checked(release: Release, results: Sequence[GateResult], now: datetime) -> None:
    """Record what the gates found. Belongs into the transaction that acts on it."""
    gates_note(actor=GATES, subject=subject_of(release), content_hash=release.content_hash, results=results)
    passed = sum(1 for row in results if not row.is_refusing)
    sentence = f"{passed} of {len(results)} checks did not object."
    data = {
        "outcomes": {row.gate: row.outcome for row in results},
        "findings": {row.gate: row.finding for row in results},
    }
    journal.write(release, CHECKED, sentence, actor=GATES, now=now, data=data)


def gates_verdict(release: Release, given: GateInput, now: datetime) -> GateVerdict:
    """What the gates of a release say now. Answers that are stale are asked for again.

    Belongs into a transaction.
    """
    subject, case = subject_of(release), case_of(release)
    order = {name: number for number, name in enumerate(release.policy.gates)}  # whichever answered first
    results = sorted(current_results(subject), key=lambda row: order.get(row.gate, len(order)))
    missing = sorted(set(release.policy.gates) - {row.gate for row in results})
    stale = {row.gate: changed for row in results if (changed := stale_inputs(row, given))}
    for gate, changed in stale.items():
        reason = f"What it looked at has changed: {', '.join(changed)}."
        gates_ask_again(actor=GATES, subject=subject, gates=[gate], content_hash=given.content_hash, reason=reason)
    if stale or missing:
        enqueue_on_commit(CHECK_RELEASE, str(release.pk))
        return GateVerdict(waits=f"Gates answer again: {_names([*stale, *missing])}.")
    if unfinished := [row for row in results if not row.is_ended]:
        if release.status != ReleaseStatus.CHECKING and gates_call(
            subject=subject, now=now, again_s=limits.CHECK_LEASE_S
        ):
            enqueue_on_commit(CHECK_RELEASE, str(release.pk))
        return GateVerdict(waits=_unfinished(unfinished))
    waived = covering(case, results, now)
    refusing = [row for row in results if row.is_refusing and row.gate not in waived]
    if not refusing:
        return GateVerdict()
    refusal = "; ".join(f"{row.gate.replace('_', ' ')}: {row.sentence}" for row in refusing)
    return _waiting_for_waivers(release, refusing, now) or GateVerdict(refusal=refusal)


def _unfinished(rows: Sequence[GateResult]) -> str:
    """What the gates do that have not ended, in a sentence."""
    steps = [f"{row.gate.replace('_', ' ')}: {row.step.rstrip('.')}" for row in rows if row.step]
    said = f" {'; '.join(steps)}." if steps else ""
    return f"Waits for {len(rows)} gate{'s' if len(rows) > 1 else ''}: {_names([row.gate for row in rows])}.{said}"


def _names(gates: Sequence[str]) -> str:
    return ", ".join(gate.replace("_", " ") for gate in gates)


def _waiting_for_waivers(release: Release, refusing: Sequence[GateResult], now: datetime) -> GateVerdict | None:
    """The wait for people who may waive what gates found; None when nobody may, or the time for it is over.

    A release whose approval is open or given does not wait: what carried it is gone.
    """
    role, ends_at = release.policy.waiver_role, waits_until(release)
    may = role and release.status == ReleaseStatus.CHECKING and all(is_waivable(row.gate) for row in refusing)
    if not may or ends_at <= now:
        return None
    gates = _names([row.gate for row in refusing])
    more = "s" if len(refusing) > 1 else ""
    said = "; ".join(row.sentence.rstrip(".") for row in refusing)
    return GateVerdict(
        waits=f"Waits for a waiver of the gate{more} {gates} by {Role(role).label}, or is rejected on "
        f"{ends_at:%Y-%m-%d %H:%M} UTC. {said}."
    )


def waits_until(release: Release) -> datetime:
    """How long a release whose gates object waits for waivers."""
    return release.created_at + timedelta(days=release.policy.approval_days)


def _ask(release: Release, now: datetime) -> None:
    """Open the approval; without rules it is given at once."""
    request = _opened(release)
    if request.status == ApprovalStatus.APPROVED:
        reason = "Checks passed; nobody has to approve."
        release_move(release, ReleaseStatus.APPROVED, actor=GATES, reason=reason, now=now, approval=request)
        return
    reason = "Checks passed; waits for approval."
    release_move(release, ReleaseStatus.AWAITING_APPROVAL, actor=GATES, reason=reason, now=now, approval=request)


def _opened(release: Release) -> ApprovalRequest:
    return approval_open(
        actor=GATES,
        subject_kind=subject_of(release).kind,
        subject_id=str(release.pk),
        title=f"{release.version} to {release.endpoint}",
        url=f"/releases/{release.pk}/",
        content=covered_content(release),
        policy=release.policy,
        scopes=release.scopes,
        requester=release.requester,
        excluded=_excluded(release),
        authors=release.plan["authors"] if "authors" in release.plan else claims_of(release.version),
        risk_tier=release.plan.get("risk_tier", ""),
        answers=answered_request(release),
    )


def _excluded(release: Release) -> list[int]:
    """The ids of people who may not decide: the requester, and who wrote the serving config it would bring."""
    return sorted({release.requester_id, *plan_editors(release.endpoint, release.serving_config)})


def gates_hold(release: Release, now: datetime) -> str:
    """Why a release whose approval is open or given cannot go on for its gates, empty when it can.

    Stale answers are asked for again; gates that refuse now end the release, and where one found something worse than
    those who decide have seen, they are asked anew. Belongs into a transaction.
    """
    if release.kind != "release":
        return ""  # what comes back was released before; a rollback waits for no gate
    given = gate_input(release)
    verdict = gates_verdict(release, given, now)
    if verdict.refusal:
        _refuse(release, verdict.refusal, now)
        return verdict.refusal
    if verdict.waits:
        return verdict.waits
    if release.status == ReleaseStatus.IN_EMERGENCY:
        return ""  # nobody decides on it, so nobody is asked anew; what refuses has ended it above
    results = list(current_results(subject_of(release)))
    if release.approval is not None and (worse := worsened(release, results)):
        return _ask_anew(release, f"Gates found more than those who decide have seen: {_names(worse)}.", now)
    return ""


def _refuse(release: Release, why: str, now: datetime) -> None:
    """End a release that its gates do not let go on any more, and void what was given to it."""
    note_checked(release, list(current_results(subject_of(release))), now)
    if release_move(release, ReleaseStatus.REJECTED, actor=GATES, reason=why, now=now) and release.approval is not None:
        approval_void(actor=GATES, request=release.approval, reason=why)


def _ask_anew(release: Release, why: str, now: datetime) -> str:
    """Void what was given and ask those who decide again, about what the gates found now."""
    note_checked(release, list(current_results(subject_of(release))), now)
    if not release.policy.approval_rules:
        return ""
    if (former := release.approval) is not None:
        changes = content_changes(former.content, covered_content(release)) if former.content else []
        approval_void(actor=GATES, request=former, reason=why, changes=changes)
    request, waits = _opened(release), f"{why} Waits for approval again."
    if release.status == ReleaseStatus.APPROVED:
        release_move(release, ReleaseStatus.AWAITING_APPROVAL, actor=GATES, reason=waits, now=now, approval=request)
    elif swap(release, approval=request, status_reason=waits[: limits.STATUS_REASON_MAX_CHARS]):
        journal.write(release, "release.waiting", waits, actor=GATES, now=now, new=release.status)
    return waits
