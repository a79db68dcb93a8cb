"""Changes that take protection off an environment: one administrator proposes, another one confirms or refuses."""

from typing import Any

from django.db import transaction

from mlorch_site.accounts.actor import Actor
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid
from registry.lifecycle import ProposalStatus
from registry.models import Environment, Policy, PolicyProposal
from registry.policy_lines import PolicyLine
from registry.selectors import open_proposal, why_cannot_confirm, why_cannot_withdraw, why_not_propose
from registry.services.environments import policy_change, revision_write
from registry.services.proposal_moves import proposal_move, proposal_tell

PROPOSAL_REASON_MAX_CHARS = 300


@transaction.atomic
def policy_propose(
    *, actor: Actor, environment: Environment, based_on: int, reason: str, **fields: Any
) -> PolicyProposal:
    """Propose a change of a policy that takes protection off; nothing changes until another administrator confirms it.

    Raises RevisedMeanwhile when `based_on` is not in force any more, Invalid for a bad value, a missing reason or a
    change that needs no proposal, Conflict while another proposal for the environment is open.
    """
    change = policy_change(actor=actor, line=PolicyLine(environment), based_on=based_on, fields=fields)
    reason = _reason(reason)
    if not change.loosened or change.base is None:
        raise Invalid("This takes no protection off, so it needs no second administrator: save it.")
    if actor.user is None:
        raise Forbidden("Only a person can propose.")
    if waiting := open_proposal(environment):
        raise Conflict(why_not_propose(waiting), code="proposal_open")
    proposal = PolicyProposal.objects.create(
        environment=environment,
        base=change.base,
        values={name: value for name, value in change.changed.items() if name != "note"},
        loosened=change.loosened,
        reason=reason,
        proposer=actor.user,
        created_at=clock.now(),
    )
    proposal_tell(proposal, actor=actor, reason=reason)
    return proposal


def _reason(text: str) -> str:
    """The text without spaces around it. Raises Invalid when it is empty or too long."""
    if not text.strip():
        raise Invalid("Say why.", details={"reason": "required"})
    if len(text) > PROPOSAL_REASON_MAX_CHARS:
        raise Invalid(f"A reason has at most {PROPOSAL_REASON_MAX_CHARS} characters.", details={"reason": "too long"})
    return text.strip()


def _locked(proposal: PolicyProposal) -> PolicyProposal:
    """The proposal as it is now, under the lock that revisions take too. Raises Conflict when it has ended."""
    Environment.objects.select_for_update().get(pk=proposal.environment_id)
    rows = PolicyProposal.objects.select_related("environment", "base", "proposer")
    found = rows.get(pk=proposal.pk)
    if found.status != ProposalStatus.OPEN:
        raise Conflict(f"This proposal is {found.status} already. {found.decision_reason}".strip())
    return found


@transaction.atomic
def proposal_confirm(*, actor: Actor, proposal: PolicyProposal) -> Policy:
    """Bring a proposal of another administrator into force, as the next revision.

    Raises Forbidden for the proposer and for people without the role, Conflict when it has ended, or its proposer may
    not change policies any more.
    """
    proposal = _locked(proposal)
    if reason := why_cannot_confirm(actor, proposal):
        raise Forbidden(reason)
    values = {**proposal.values, "note": proposal.reason}
    by = actor.on_behalf(proposal.proposer.username)
    change = policy_change(
        actor=by, line=PolicyLine(proposal.environment), based_on=proposal.base.revision, fields=values
    )
    proposal_move(proposal, ProposalStatus.CONFIRMED, actor=actor, reason="")
    policy = revision_write(actor=by, change=change)
    PolicyProposal.objects.filter(pk=proposal.pk).update(made=policy)
    return policy


@transaction.atomic
def proposal_refuse(*, actor: Actor, proposal: PolicyProposal, reason: str) -> PolicyProposal:
    """Refuse a proposal of another administrator, saying why. Raises as `proposal_confirm` does."""
    proposal = _locked(proposal)
    if why := why_cannot_confirm(actor, proposal, refusing=True):
        raise Forbidden(why)
    proposal_move(proposal, ProposalStatus.REFUSED, actor=actor, reason=_reason(reason))
    return proposal


@transaction.atomic
def proposal_withdraw(*, actor: Actor, proposal: PolicyProposal) -> PolicyProposal:
    """Take one's own proposal back. Raises Forbidden for everybody else, Conflict when it has ended."""
    proposal = _locked(proposal)
    if why := why_cannot_withdraw(actor, proposal):
        raise Forbidden(why)
    proposal_move(proposal, ProposalStatus.WITHDRAWN, actor=actor, reason="")
    return proposal
