"""Reads of waivers: which cover what gates found, and who may give one.

A waiver covers one finding of one gate, of these files at this place. It holds while it is neither withdrawn nor over,
while whoever gave it is active and holds the role that the policy of the subject names, and never for a subject that
the giver asked for or made a part of.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mlorch_site.accounts.actor import Actor, MissingRole
from mlorch_site.accounts.roles import Action, Role
from registry.approvals.selectors import roles_now
from registry.gates import GATES
from registry.models import GateResult, Policy, Waiver


@dataclass(frozen=True)
class WaivedCase:
    """What gates found is waived for: these files, at this place, in these scopes, asked for by somebody, under a
    policy. `maker_ids` are who made what would be released: the serving config, or by MLflow's word the version.
    """

    digest: str
    place: str
    scopes: tuple[str, ...]
    requester_id: int
    policy: Policy
    maker_ids: frozenset[int] = frozenset()


def is_waivable(gate: str) -> bool:
    """Whether any policy may let somebody waive what the gate finds."""
    return gate in GATES and GATES[gate].is_waivable


def waivers_of(case: WaivedCase, results: Iterable[GateResult]) -> list[Waiver]:
    """Every waiver that was ever given of these findings for the case, oldest first; also those that do not hold."""
    findings = {(row.gate, row.finding) for row in results if row.finding}
    if not case.digest or not findings:
        return []
    gates = {gate for gate, _ in findings}
    rows = Waiver.objects.filter(digest=case.digest, place=case.place, gate__in=gates).select_related("given_by")
    return [row for row in rows if (row.gate, row.finding) in findings]


def why_not_holding(waiver: Waiver, case: WaivedCase, now: datetime) -> str:
    """Why a waiver does not cover the case now, as a sentence; empty when it does (reads the giver's roles)."""
    by = waiver.given_by
    if waiver.withdrawn_at is not None:
        return f"It was withdrawn by {waiver.withdrawn_by}: {waiver.withdrawn_reason}"
    if waiver.expires_at <= now:
        return f"It ended at {waiver.expires_at:%Y-%m-%d %H:%M} UTC."
    if not case.policy.waiver_role:
        return f"{case.policy} lets nobody waive a gate."
    if waiver.expires_at - waiver.given_at > timedelta(days=case.policy.waiver_days_max):
        return f"{case.policy} lets a waiver last {case.policy.waiver_days_max} days at most."
    if by.pk == case.requester_id:
        return f"{by.username} gave it and asked for this release too."
    if by.pk in case.maker_ids:
        return f"{by.username} gave it and made a part of what would be released."
    if not by.is_active:
        return f"{by.username}, who gave it, is not active any more."
    if case.policy.waiver_role not in roles_now(by, list(case.scopes)):
        return f"{by.username}, who gave it, does not hold the role {Role(case.policy.waiver_role).label}."
    return ""


def covering(case: WaivedCase, results: Sequence[GateResult], now: datetime) -> dict[str, Waiver]:
    """Gate → the newest waiver that covers what it found now."""
    refusing = [row for row in results if row.is_refusing and is_waivable(row.gate)]
    waivers = waivers_of(case, refusing)
    return {waiver.gate: waiver for waiver in waivers if not why_not_holding(waiver, case, now)}


def why_cannot_waive(actor: Actor, case: WaivedCase) -> str:
    """Why this actor can waive nothing of the case, empty when it can."""
    if not case.policy.waiver_role:
        return f"{case.policy} lets nobody waive a gate."
    if actor.user is None:
        return "Only a person can waive a gate."
    if reason := actor.why_not(Action.GATE_WAIVE, case.scopes):
        return reason
    if actor.user.pk == case.requester_id:
        return "You asked for this release, so somebody else has to waive what its gates find."
    if actor.user.pk in case.maker_ids:
        return (
            "You made a part of what would be released (the serving config, or by MLflow's word the version), so "
            "somebody else has to waive what its gates find."
        )
    role = Role(case.policy.waiver_role)
    if role not in actor.roles_in(case.scopes):
        return MissingRole(f"The policy lets {role.label} waive a gate, which you are not.", Action.GATE_WAIVE)
    return ""


def why_not_waivable(row: GateResult) -> str:
    """Why nothing of what a gate found can be waived, whoever asks; empty when it can."""
    if not row.is_current:
        return "The gate has answered again since."
    if not row.is_ended:
        return "The gate has not answered yet."
    if not row.is_refusing:
        return "The gate does not object, so there is nothing to waive."
    return "" if is_waivable(row.gate) else "What this gate finds can never be waived."
