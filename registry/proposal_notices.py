"""Who is told of a proposal to take protection off an environment: the other administrators, while it is open."""

from uuid import UUID

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import User
from mlorch_site.accounts.roles import Action, roles_that_allow
from mlorch_site.accounts.selectors import actor_for_user
from mlorch_site.live.models import Event
from mlorch_site.notices.kinds import News, NoticeKind, register_kind
from mlorch_site.notices.services import notices_raise, notices_settle
from registry.approvals.approval_notices import holders_of
from registry.lifecycle import ProposalStatus
from registry.models import PolicyProposal
from registry.selectors import why_cannot_confirm

PROPOSAL = "proposal_waiting"


def on_policy_proposed(event: Event) -> None:
    """Tell who can confirm or refuse the open proposal of an environment; those of ended ones wait no more."""
    rows = PolicyProposal.objects.filter(environment__name=event.data["environment"])
    for proposal in rows.select_related("environment", "base", "proposer"):
        if proposal.status == ProposalStatus.OPEN:
            _proposal_tell(proposal)
        else:
            notices_settle(kinds=[PROPOSAL], thing=str(proposal.pk))


def _proposal_tell(proposal: PolicyProposal) -> None:
    scopes = [proposal.environment.scope]
    held = holders_of([role.value for role in roles_that_allow(Action.POLICY_EDIT)], scopes)
    people = User.objects.filter(pk__in=held)
    able = {one.pk for one in people if not why_cannot_confirm(actor_for_user(one), proposal, refusing=True)}
    sentence = f"{proposal.proposer.username} wants to take protection off: {' '.join(proposal.loosened)}"
    path = f"/environments/{proposal.environment.name}/"
    news = News(PROPOSAL, str(proposal.pk), str(proposal), sentence, path, tuple(scopes))
    notices_raise(news=news, people=able)


def _why_over(thing: str) -> str:
    is_open = PolicyProposal.objects.filter(pk=UUID(thing), status=ProposalStatus.OPEN).exists()
    return "" if is_open else "The proposal is decided by now."


def _why_not(actor: Actor, thing: str) -> str:
    rows = PolicyProposal.objects.select_related("environment", "base", "proposer")
    proposal = rows.filter(pk=UUID(thing)).first()
    return why_cannot_confirm(actor, proposal, refusing=True) if proposal else "The proposal is gone."


def register_kinds() -> None:
    """Called once, when the app is ready."""
    register_kind(NoticeKind(PROPOSAL, "Change of policy to be confirmed", _why_over, _why_not, waits=True))
