"""Check a release command against everything that is known, and compile its plan. Reads only; preview and request share it."""

from dataclasses import dataclass, field
from typing import Any

from deployments import limits, selectors
from deployments.models import Endpoint
from deployments.rollout.guardrails import read_guardrails
from deployments.rollout.steps import Step
from deployments.rollout.strategies import compile_strategy, first_release_steps, first_weight_pct, strategy_kind
from deployments.services.commands import ReleaseCommand
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.lib.errors import Invalid, NotFound
from mlorch_site.lib.hashing import content_hash
from registry.lifecycle import VersionStatus
from registry.models import Environment, Model, Policy, Version
from registry.selectors import current_policy, environment_for, model_for, version_for


@dataclass
class Draft:
    """A command with what it names. With `problems` (field → sentence) the rows that could not be found are missing."""

    command: ReleaseCommand
    problems: dict[str, str] = field(default_factory=dict)
    forbidden: str = ""
    model: Model = None  # type: ignore[assignment]
    version: Version = None  # type: ignore[assignment]
    environment: Environment = None  # type: ignore[assignment]
    policy: Policy = None  # type: ignore[assignment]
    endpoint: Endpoint | None = None
    steps: list[Step] = field(default_factory=list)
    guardrails: list[dict[str, Any]] = field(default_factory=list)
    plan: dict[str, Any] = field(default_factory=dict)

    @property
    def is_first(self) -> bool:
        """Whether nothing is served yet, so that there is nothing to compare with."""
        return self.endpoint is None or self.endpoint.stable_release is None

    @property
    def plan_hash(self) -> str:
        return content_hash(self.plan) if self.plan else ""


def draft_of(actor: Actor, command: ReleaseCommand) -> Draft:
    """Return the command with rows, plan and every problem found."""
    draft = Draft(command)
    _find(actor, draft)
    if draft.model is None or draft.environment is None:
        return draft
    draft.forbidden = actor.why_not(Action.RELEASE_REQUEST, [draft.environment.scope, draft.model.scope])
    draft.policy = current_policy(draft.environment)
    _check_endpoint(draft)
    _check_version(draft)
    _check_guardrails(draft)
    _check_strategy(draft)
    _check_texts(draft)
    if not draft.problems:
        draft.plan = _plan(draft)
    return draft


def _find(actor: Actor, draft: Draft) -> None:
    command = draft.command
    try:
        draft.model = model_for(actor, command.model)
    except NotFound as error:
        draft.problems["model"] = error.message
    try:
        draft.environment = environment_for(actor, command.environment)
    except NotFound as error:
        draft.problems["environment"] = error.message
    if draft.model is None:
        return
    try:
        draft.version = version_for(actor, command.model, command.version)
    except NotFound as error:
        draft.problems["version"] = error.message


def _check_endpoint(draft: Draft) -> None:
    name, environment = draft.command.endpoint, draft.environment
    rows = Endpoint.objects.select_related("environment", "model", "stable_release__version")
    draft.endpoint = rows.filter(environment=environment, name=name).first()
    if draft.endpoint is not None and draft.endpoint.model_id != draft.model.pk:
        draft.problems["endpoint"] = (
            f"{draft.endpoint} serves the model {draft.endpoint.model.name}, not {draft.model.name}."
        )


def _check_version(draft: Draft) -> None:
    version, endpoint = draft.version, draft.endpoint
    if version is None:
        return
    if version.status == VersionStatus.DELETED or draft.model.deleted_at is not None:
        draft.problems["version"] = f"{version} was deleted in MLflow."
    elif not version.is_ready:
        draft.problems["version"] = f"{version} is not ready yet: MLflow says {version.status}."
    elif (
        endpoint is not None
        and endpoint.stable_release is not None
        and endpoint.stable_release.version_id == version.pk
    ):
        draft.problems["version"] = f"{endpoint} already serves version {version.number}."


def _check_guardrails(draft: Draft) -> None:
    wished = draft.command.guardrails
    try:
        draft.guardrails = read_guardrails(draft.policy.default_guardrails if wished is None else wished)
    except Invalid as error:
        draft.problems |= dict.fromkeys(error.details, error.message) or {"guardrails": error.message}
        return
    if draft.policy.guardrails_required and not draft.guardrails:
        draft.problems["guardrails"] = f"{draft.environment.name} needs at least one guardrail."


def _check_strategy(draft: Draft) -> None:
    strategy, policy = draft.command.strategy, draft.policy
    try:
        draft.steps = compile_strategy(strategy)
    except Invalid as error:
        draft.problems |= dict.fromkeys(error.details, error.message) or {"strategy": error.message}
        return
    if draft.is_first:
        draft.steps = first_release_steps()
        return
    kind = strategy_kind(strategy)
    if policy.allowed_strategies and kind.value not in policy.allowed_strategies:
        allowed = ", ".join(policy.allowed_strategies)
        draft.problems["strategy.kind"] = f"{draft.environment.name} allows {allowed}, not {kind.value}."
    first = first_weight_pct(draft.steps)
    if first > policy.max_first_weight_pct:
        draft.problems["strategy.steps[0].weight"] = (
            f"The first share of traffic in {draft.environment.name} is {policy.max_first_weight_pct} % at most, not {first} %."
        )


def _check_texts(draft: Draft) -> None:
    if len(draft.command.reason) > limits.REASON_MAX_CHARS:
        draft.problems["reason"] = f"The reason has {limits.REASON_MAX_CHARS} characters at most."
    if len(draft.command.ticket) > limits.TICKET_MAX_CHARS:
        draft.problems["ticket"] = f"The ticket has {limits.TICKET_MAX_CHARS} characters at most."


def _plan(draft: Draft) -> dict[str, Any]:
    """Return the plan as it is frozen with the release. `replaces` ties it to what is served now."""
    stable = draft.endpoint.stable_release if draft.endpoint else None
    return {
        "strategy": draft.command.strategy,
        "steps": [step.to_dict() for step in draft.steps],
        "guardrails": draft.guardrails,
        "judge_deadline_s": draft.policy.judge_deadline_s,
        "replaces": str(stable.pk) if stable else None,
        "rollback_to": selectors.original_of(stable).version.number if stable else None,
        "ticket": draft.command.ticket,
    }
