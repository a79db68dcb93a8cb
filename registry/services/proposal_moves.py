"""Move a proposal from one status to the next: the table, compare-and-swap, the audit record, the announcement."""

from typing import Any

from mlorch_site.accounts.actor import Actor
from mlorch_site.audit.services import audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import IllegalTransition
from mlorch_site.lib.swap import swap
from mlorch_site.live.outbox import publish
from registry import audit_subjects
from registry.lifecycle import PROPOSAL_MOVES, ProposalStatus
from registry.models import PolicyProposal


def proposal_move(proposal: PolicyProposal, to: ProposalStatus, *, actor: Actor, reason: str, **changes: Any) -> None:
    """Move `proposal` to a status. Belongs into a transaction.

    Raises IllegalTransition when it has ended already, also when somebody was first.
    """
    old = proposal.status
    decided = {"decided_by": actor.name, "decided_at": clock.now(), "decision_reason": reason}
    if to not in PROPOSAL_MOVES[ProposalStatus(old)] or not swap(
        proposal, "status", status=to.value, **decided, **changes
    ):
        proposal.refresh_from_db()
        raise IllegalTransition("proposal", proposal.status, to, proposal.decision_reason)
    proposal_tell(proposal, actor=actor, reason=reason)


def proposal_tell(proposal: PolicyProposal, *, actor: Actor, reason: str) -> None:
    """Record and announce where a proposal stands now."""
    verb = "made" if proposal.status == ProposalStatus.OPEN else proposal.status
    data = {"base": proposal.base.revision, "proposer": proposal.proposer.username}
    data |= {"changes": proposal.values, "loosened": proposal.loosened}
    audit_record(actor, f"proposal.{verb}", audit_subjects.of_proposal(proposal), reason=reason, data=data)
    publish("registry", "policy.proposed", {"environment": proposal.environment.name, "status": proposal.status})
