"""All that the page of an approval request shows: what changes, on what evidence, who decides, what is said of it."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from deployments.biography import biography
from deployments.decision_sheet import headline, planned_steps
from deployments.gate_lines import gate_lines
from deployments.models import Release
from deployments.rollout.guardrails import guardrail_sentences
from deployments.services.answering import why_not_withdraw
from deployments.serving_comparison import compare_serving
from mlorch_site.accounts.absences import absent_among
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import User
from mlorch_site.lib import clock
from mlorch_site.lib.errors import NotFound
from registry.approvals.authors import authorship_words
from registry.approvals.comments import thread_of
from registry.approvals.content_changes import content_changes
from registry.approvals.delegations import stand_ins
from registry.approvals.electorate import who_may_decide
from registry.approvals.rules import holder_label
from registry.approvals.selectors import (
    approval_progress,
    counting_decisions,
    own_counting_decision,
    usable_voices,
    why_cannot_decide,
)
from registry.approvals.voices import delegated_voices
from registry.cards.selectors import card_evidence
from registry.lifecycle import ApprovalStatus, DecisionKind
from registry.models import ApprovalRequest
from registry.policy_lines import ruling_frozen
from registry.selectors import why_changed_outside
from registry.version_comparison import compare_versions
from registry.version_lifecycle import why_out_of_use

SOON = timedelta(hours=24)


@dataclass(frozen=True)
class Awaited:
    """A role or group that is still asked for, who counts by it and may decide (name, until when they are absent, who
    decides for them meanwhile).
    """

    role: str
    people: list[tuple[str, date | None, list[str]]]

    @property
    def sentence(self) -> str:
        """The people by name, each with until when they are absent, and with who decides for them."""
        return ", ".join(self._one(*person) for person in self.people)

    def _one(self, name: str, absent_until: date | None, others: list[str]) -> str:
        said = [f"absent until {absent_until}"] if absent_until else []
        said += [f"{' or '.join(others)} may decide for {name}"] if others else []
        return f"{name} ({'; '.join(said)})" if said else name


def release_of(row: ApprovalRequest) -> Release:
    """The release that a request is about. Raises NotFound."""
    release = Release.objects.select_related(
        "endpoint__environment",
        "endpoint__model",
        "version__model",
        "requester",
        "policy",
        "serving_config",
        "approval",
    ).filter(approval=row)
    found = release.first()
    if found is None:
        raise NotFound("The release this approval was about is gone.")
    return found


def replaced_by(release: Release) -> Release | None:
    """The release that served when this one was asked for: what its plan is bound to, whatever serves by now."""
    key = release.plan.get("replaces")
    return Release.objects.select_related("version__model", "serving_config").filter(pk=key).first() if key else None


def approval_context(actor: Actor, row: ApprovalRequest) -> dict[str, Any]:
    """What the template of the page needs."""
    release = release_of(row)
    return {**_evidence(actor, row, release), **_people(actor, row, release), "approval": row, "release": release}


def _evidence(actor: Actor, row: ApprovalRequest, release: Release) -> dict[str, Any]:
    stable, is_open = replaced_by(release), row.status == ApprovalStatus.OPEN
    comparison = compare_versions(stable.version if stable else None, release.version)
    stays, gates = biography(release, actor), gate_lines(release, clock.now())
    answers = row.answers
    return {
        "before_label": "Serves now" if is_open else "Served then",
        "from_version": stable.version if stable else None,
        "headline": headline(comparison, stays, gates),
        "comparison": comparison,
        "biography": stays,
        "serving": compare_serving(stable.serving_config if stable else None, release.serving_config),
        "changed_outside": why_changed_outside(release.version, release.digest) if is_open else "",
        "card": card_evidence(release.version, release.plan.get("card")),
        "out_of_use": why_out_of_use(release.version) if is_open else "",
        "ruling": ruling_frozen(row.policy),
        "authorship": authorship_words(row),
        "steps": planned_steps(release),
        "guardrails": guardrail_sentences(release),
        "gates": gates,
        "answers": answers,
        "answer_changes": content_changes(answers.content, row.content) if answers and answers.content else [],
        "answered_by": row.answered_by.order_by("created_at").first(),
    }


def _people(actor: Actor, row: ApprovalRequest, release: Release) -> dict[str, Any]:
    now, is_open = clock.now(), row.status == ApprovalStatus.OPEN
    decisions = list(row.decisions.select_related("person", "on_behalf_of"))
    counting = {decision.pk for decision in counting_decisions(row) if decision.kind != DecisionKind.TAKE_BACK}
    voices = usable_voices(actor, row, delegated_voices(actor, now))
    asked = [decision for decision in decisions if decision.kind == DecisionKind.REQUEST_CHANGES]
    mine = own_counting_decision(actor, row)
    return {
        "progress": approval_progress(row),
        "awaited": _awaited(row) if is_open else [],
        "decisions": [(decision, decision.pk in counting) for decision in decisions],
        "voices": voices,
        "why_not": "" if voices else why_cannot_decide(actor, row),
        "is_open": is_open,
        "is_due_soon": is_open and row.expires_at - now < SOON,
        "mine": mine,
        "is_requester": actor.user is not None and actor.user.pk == row.requester_id,
        "why_not_withdraw": why_not_withdraw(actor, release),
        "asked_for_changes": asked[-1] if asked else None,
        "ask_again": _ask_again(actor, row, release),
        "thread": thread_of(row, actor),
    }


def _ask_again(actor: Actor, row: ApprovalRequest, release: Release) -> Release | None:
    """The release for its requester to ask for again, when it ended unapproved and nothing answers it yet."""
    own = actor.user is not None and actor.user.pk == row.requester_id
    if not own or row.status in (ApprovalStatus.OPEN, ApprovalStatus.APPROVED) or row.answered_by.exists():
        return None
    return release


def _awaited(row: ApprovalRequest) -> list[Awaited]:
    """Whom the request waits for, without those whose power was used already."""
    used = {decision.voice_id for decision in counting_decisions(row) if decision.kind == DecisionKind.APPROVE}
    done = set(User.objects.filter(pk__in=used).values_list("username", flat=True))
    roles = {role: [name for name in names if name not in done] for role, names in who_may_decide(row).items()}
    everybody = sorted({name for names in roles.values() for name in names})
    now = clock.now()
    standing_in = stand_ins(everybody, row.scopes, {row.requester_id, *row.excluded}, now)
    ids = dict(User.objects.filter(username__in=everybody).values_list("username", "pk"))
    away = absent_among(list(ids.values()), now)
    until = {name: away[pk].last_day for name, pk in ids.items() if pk in away}
    return [
        Awaited(holder_label(role), [(name, until.get(name), standing_in.get(name, [])) for name in names])
        for role, names in roles.items()
    ]
