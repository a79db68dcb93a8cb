"""What people are shown of the gates of a release: each with its answer, its waivers and what it found before."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from deployments.gate_cases import case_of, gate_input
from deployments.lifecycle import GATED_STATUSES, ReleaseStatus
from deployments.models import Release
from deployments.services.approval_content import SUBJECT_KIND
from registry.gates import GATES
from registry.models import GateResult, Waiver
from registry.services.gate_runs import stale_inputs
from registry.waivers import WaivedCase, waivers_of, why_not_holding


@dataclass(frozen=True)
class WaiverLine:
    """One waiver, as the report has it too. `why_not_holding` is empty while it holds."""

    waiver: Waiver
    why_not_holding: str

    @property
    def given_by(self) -> str:
        return self.waiver.given_by.username

    @property
    def role(self) -> str:
        return self.waiver.role

    @property
    def reason(self) -> str:
        return self.waiver.reason

    @property
    def expires_at(self) -> str:
        return self.waiver.expires_at.isoformat()

    def values(self) -> dict[str, Any]:
        """The waiver as JSON-able values."""
        waiver = self.waiver
        return {
            "id": str(waiver.pk),
            "gate": waiver.gate,
            "finding": waiver.finding,
            "sentence": waiver.sentence,
            "given_by": self.given_by,
            "role": waiver.role,
            "reason": waiver.reason,
            "given_at": waiver.given_at.isoformat(),
            "expires_at": self.expires_at,
            "withdrawn_at": waiver.withdrawn_at.isoformat() if waiver.withdrawn_at else None,
            "withdrawn_by": waiver.withdrawn_by,
            "withdrawn_reason": waiver.withdrawn_reason,
            "why_not_holding": self.why_not_holding,
        }


@dataclass(frozen=True)
class GateLine:
    """One gate of a release. `stale` names what changed since it looked; `earlier` are its former answers, newest
    first.
    """

    row: GateResult
    stale: tuple[str, ...] = ()
    waivers: tuple[WaiverLine, ...] = ()
    earlier: tuple[GateResult, ...] = field(default=())

    @property
    def gate(self) -> str:
        return self.row.gate

    @property
    def label(self) -> str:
        return GATES[self.gate].label if self.gate in GATES else self.gate.replace("_", " ")

    @property
    def help(self) -> str:
        return GATES[self.gate].help if self.gate in GATES else ""

    @property
    def state(self) -> str:
        return self.row.state

    @property
    def outcome(self) -> str:
        return self.row.outcome

    @property
    def sentence(self) -> str:
        """What the gate says: its answer, or what it does meanwhile."""
        if self.row.is_ended:
            return self.row.sentence
        return self.row.step or ("It looks." if self.row.started_at else "It waits for its turn.")

    @property
    def is_waived(self) -> bool:
        return self.row.is_refusing and any(not one.why_not_holding for one in self.waivers)

    def values(self) -> dict[str, Any]:
        """The gate as JSON-able values, for programs and for the report."""
        return {
            "gate": self.gate,
            "state": self.state,
            "outcome": self.outcome,
            "sentence": self.sentence,
            "evidence": self.row.evidence,
            "finding": self.row.finding,
            "at": self.row.at.isoformat(),
            "duration_ms": self.row.duration_ms,
            "stale": list(self.stale),
            "waivers": [one.values() for one in self.waivers],
            "earlier": [
                {"at": row.at.isoformat(), "outcome": row.outcome, "sentence": row.sentence} for row in self.earlier
            ],
        }


def gate_lines(release: Release, now: datetime) -> list[GateLine]:
    """The gates of a release in the order in which its policy names them (reads the database)."""
    rows = list(GateResult.objects.filter(subject_kind=SUBJECT_KIND, subject_id=str(release.pk)).order_by("id"))
    former: dict[str, list[GateResult]] = defaultdict(list)
    for row in reversed(rows):
        if not row.is_current:
            former[row.gate].append(row)
    waived = _waivers(release, rows, now)
    is_gated = ReleaseStatus(release.status) in GATED_STATUSES
    given = gate_input(release) if is_gated and rows else None
    lines = [
        GateLine(
            row,
            tuple(stale_inputs(row, given)) if given else (),
            tuple(waived[row.gate]),
            tuple(former[row.gate]),
        )
        for row in rows
        if row.is_current
    ]
    order = {name: number for number, name in enumerate(release.policy.gates)}
    return sorted(lines, key=lambda line: order.get(line.gate, len(order)))


def _waivers(release: Release, rows: Sequence[GateResult], now: datetime) -> dict[str, list[WaiverLine]]:
    case = case_of(release)
    # What was given after it had ended has nothing to do with it.
    until = release.ended_at or now
    found: dict[str, list[WaiverLine]] = defaultdict(list)
    for waiver in waivers_of(case, rows):
        if waiver.given_at <= until:
            found[waiver.gate].append(_line(waiver, case, until, is_over=release.ended_at is not None))
    return found


def _line(waiver: Waiver, case: WaivedCase, at: datetime, *, is_over: bool) -> WaiverLine:
    """What is said of a waiver; of a release that has ended only what was so until then."""
    if not is_over:
        return WaiverLine(waiver, why_not_holding(waiver, case, at))
    if waiver.withdrawn_at is not None and waiver.withdrawn_at <= at:
        return WaiverLine(waiver, f"It was withdrawn by {waiver.withdrawn_by}: {waiver.withdrawn_reason}")
    return WaiverLine(waiver, f"It ended at {waiver.expires_at:%Y-%m-%d %H:%M} UTC." if waiver.expires_at <= at else "")
