"""What people do about the gates of a release: let one answer again, waive what it found, take a waiver back."""

from uuid import UUID

from django.db import transaction

from deployments import journal
from deployments.gate_cases import case_of, subject_of
from deployments.lifecycle import GATED_STATUSES, ReleaseStatus
from deployments.models import Release
from deployments.services.approval_content import approval_content
from deployments.services.checks import CHECK_RELEASE
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.lib import clock
from mlorch_site.lib.enqueue import enqueue_on_commit
from mlorch_site.lib.errors import Conflict, Invalid, NotFound
from mlorch_site.lib.hashing import content_hash
from registry.models import GateResult, Waiver
from registry.services.gate_runs import REASON_MAX_CHARS, current_results, gates_ask_again
from registry.services.waivers import waiver_give, waiver_withdraw
from registry.waivers import waivers_of


def why_gates_rest(release: Release) -> str:
    """Why nothing is done about the gates of a release any more, empty while something can be."""
    if release.kind == "release" and ReleaseStatus(release.status) in GATED_STATUSES:
        return ""
    return f"The release is {release.status.replace('_', ' ')}; its gates have had their say."


def _row_of(release: Release, gate: str) -> GateResult:
    row = current_results(subject_of(release)).filter(gate=gate).first()
    if row is None:
        raise NotFound(f"The gate {gate[:40]!r} does not run for this release.")
    return row


def _require_open(release: Release) -> None:
    if why := why_gates_rest(release):
        raise Conflict(why)


@transaction.atomic
def gate_run_again(*, actor: Actor, release: Release, gate: str, reason: str) -> Release:
    """Let one gate of a release answer again; what it found before stays as history.

    Raises NotFound for a gate that does not run, Invalid without a reason, Conflict while it has not answered yet and
    when the rollout has begun.
    """
    actor.require(Action.GATE_RUN, release.scopes)
    row = _row_of(release, gate)
    if problem := _reason_problem(reason):
        raise Invalid(problem, details={"reason": problem})
    _require_open(release)
    if not row.is_ended:
        raise Conflict("The gate has not answered yet; it is asked already.")
    content = content_hash(approval_content(release))
    asked = gates_ask_again(
        actor=actor, subject=subject_of(release), gates=[gate], content_hash=content, reason=reason.strip()
    )
    if asked:
        words = f"{actor.name} lets the gate {gate.replace('_', ' ')} answer again: {reason.strip()}"
        journal.write(release, "gate.asked_again", words, actor=actor, now=clock.now(), data={"gate": gate})
        enqueue_on_commit(CHECK_RELEASE, str(release.pk))
    return release


def _reason_problem(reason: str) -> str:
    if not reason.strip():
        return "Say why the gate should answer again."
    return f"A reason has at most {REASON_MAX_CHARS} characters." if len(reason) > REASON_MAX_CHARS else ""


@transaction.atomic
def gate_waive(*, actor: Actor, release: Release, gate: str, finding: str, reason: str, days: int) -> Waiver:
    """Let what a gate found about a release pass, for so many days; the release goes on when nothing else objects.

    `finding` is the fingerprint of what the person read. Raises as `waiver_give` does, and Conflict when the rollout
    has begun.
    """
    actor.require(Action.GATE_WAIVE, release.scopes)
    row = _row_of(release, gate)
    _require_open(release)
    waiver = waiver_give(
        actor=actor,
        subject=subject_of(release),
        case=case_of(release),
        row=row,
        finding=finding,
        reason=reason,
        days=days,
    )
    words = (
        f"{actor.name} waives what the gate {gate.replace('_', ' ')} found, until "
        f"{waiver.expires_at:%Y-%m-%d %H:%M} UTC: {waiver.reason}"
    )
    data = {"gate": gate, "waiver": str(waiver.pk), "finding": waiver.finding}
    journal.write(release, "gate.waived", words, actor=actor, now=clock.now(), data=data)
    enqueue_on_commit(CHECK_RELEASE, str(release.pk))
    return waiver


def waiver_for(release: Release, pk: UUID | str) -> Waiver:
    """A waiver of what the gates of a release found. Raises NotFound."""
    results = GateResult.objects.filter(subject_kind="release", subject_id=str(release.pk))
    found = next((waiver for waiver in waivers_of(case_of(release), results) if str(waiver.pk) == str(pk)), None)
    if found is None:
        raise NotFound("There is no such waiver for this release.")
    return found


@transaction.atomic
def waiver_take_back(*, actor: Actor, release: Release, waiver: Waiver, reason: str) -> Waiver:
    """Take a waiver back; what rests on it and has not begun its rollout ends or waits again.

    Raises as `waiver_withdraw` does.
    """
    actor.require(Action.GATE_WAIVE, release.scopes)
    taken = waiver_withdraw(
        actor=actor, subject=subject_of(release), case=case_of(release), waiver=waiver, reason=reason
    )
    words = f"{actor.name} takes the waiver of the gate {waiver.gate.replace('_', ' ')} back: {reason.strip()}"
    journal.write(release, "gate.waiver_withdrawn", words, actor=actor, now=clock.now(), data={"gate": waiver.gate})
    for one in Release.objects.filter(endpoint=release.endpoint_id, status__in=GATED_STATUSES):
        enqueue_on_commit(CHECK_RELEASE, str(one.pk))
    return taken
