"""Lines of a policy: an environment has one for everything, and may have lines for a risk tier, a model, or both.

The most specific line in force that covers a model rules it: model and tier, then model, then tier, then the
environment. A line for a model is about the row, and about the model as MLflow had made it when the line was written.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from django.urls import reverse

from registry.models import Environment, Model, Policy, PolicyDraft

ANY_MODEL = 0  # no row has it


@dataclass(frozen=True)
class PolicyLine:
    """For what a policy is written: an environment, and there for a model, a risk tier, both, or everything else."""

    environment: Environment
    model: Model | None = None
    tier: str = ""

    @property
    def words(self) -> str:
        return f"{self.environment}{line_words(self.model.name if self.model else '', self.tier)}"

    @property
    def is_whole(self) -> bool:
        """Whether it is the environment's own line, which every environment has."""
        return self.model is None and not self.tier

    def is_line_of(self, policy: Policy) -> bool:
        mine = (self.environment.pk, self.model.pk if self.model else None, self.tier)
        return mine == (policy.environment_id, policy.model_id, policy.tier)


def line_words(model: str, tier: str) -> str:
    """What follows the environment's name, with a space before it; empty for the environment's own line."""
    parts = [f"model {model}" if model else "", f"tier {tier}" if tier else ""]
    return f" for {' of '.join(part for part in parts if part)}" if any(parts) else ""


def line_of(policy: Policy | PolicyDraft) -> PolicyLine:
    """The line that a revision or a draft belongs to."""
    return PolicyLine(policy.environment, policy.model, policy.tier)


def specificity(policy: Policy) -> tuple[bool, bool]:
    """The higher it is, the more specific is the line: the model counts before the tier."""
    return (policy.model_id is not None, bool(policy.tier))


def covers(policy: Policy, model_id: int | None, tier: str) -> bool:
    """Whether a line is for a model of this tier; None for no model, which only the environment's own line covers."""
    return policy.model_id in (None, model_id) and policy.tier in ("", tier if model_id is not None else "")


def ruling_of(lines: Iterable[Policy], model_id: int | None, tier: str) -> Policy | None:
    """Which of the lines in force of one environment rules a model; None where none does."""
    found = [policy for policy in lines if covers(policy, model_id, tier)]
    return max(found, key=specificity, default=None)


def ruling_before(lines: Iterable[Policy], line: PolicyLine) -> Policy | None:
    """What rules the models of a line that has no revision yet; None where nothing does."""
    return ruling_of(lines, *subject_of(line))


def subject_of(line: PolicyLine) -> tuple[int, str]:
    """A model and a tier that a line covers: the model as it is now, `ANY_MODEL` where it is for more than one."""
    if line.model is None:
        return ANY_MODEL, line.tier
    return line.model.pk, line.tier or line.model.risk_tier


def broader_lines(lines: Iterable[Policy], line: PolicyLine) -> list[Policy]:
    """The lines in force that cover what a line rules, and are less specific: their freezes apply there too."""
    mine = (line.model is not None, bool(line.tier))
    return [policy for policy in lines if covers(policy, *subject_of(line)) and specificity(policy) < mine]


def why_unconfirmed(policy: Policy, model: Model | None) -> str:
    """Why a line may not be taken as written for the model that has the row now; empty when it may."""
    if model is None or policy.model_id is None or policy.model_made_at == model.created_at:
        return ""
    return (
        f"{title_of(policy)} was written before {model} was made again in MLflow, so nobody has said that it is meant "
        "for this one. An administrator has to publish it again, or end it."
    )


def title_of(policy: Policy) -> str:
    """A revision as sentences name it at their beginning."""
    return f"R{revision_words(policy)[1:]}"


def revision_words(policy: Policy) -> str:
    """A revision as sentences name it."""
    return f"revision {policy.revision} of {policy.environment}{_words(policy)}"


def _words(policy: Policy) -> str:
    return line_words(policy.model.name if policy.model else "", policy.tier)


@dataclass(frozen=True)
class Ruling:
    """The revision that rules something, and why it does, as one sentence."""

    policy: Policy
    sentence: str

    @property
    def url(self) -> str:
        return policy_url(self.policy)


def policy_url(policy: Policy) -> str:
    return reverse("policy", args=[policy.environment.name, policy.revision])


def ruling_now(policy: Policy, model: Model | None = None) -> Ruling:
    """Of a model that comes under the revision in force."""
    sentence = f"{title_of(policy)} rules it: {_reason(policy, 'is')}."
    return Ruling(policy, why_unconfirmed(policy, model) or sentence)


def ruling_frozen(policy: Policy) -> Ruling:
    """Of something that was requested under the revision, whatever is in force meanwhile."""
    return Ruling(policy, f"{title_of(policy)} rules it, as it was requested: {_reason(policy, 'was')}.")


def _reason(policy: Policy, verb: str) -> str:
    if policy.model is not None and policy.tier:
        return f"it is written for this model, which {verb} of tier {policy.tier}"
    if policy.model is not None:
        return "it is written for this model"
    if policy.tier:
        return f"the model {verb} of tier {policy.tier}"
    return f"no line of {policy.environment} {verb} more specific"
