"""Check a release command against everything that is known, and compile its plan.

Reads only; preview and request share it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from deployments import limits, selectors
from deployments.group_selectors import group_for
from deployments.models import Endpoint, PlanTemplate, Release, ReleaseGroup
from deployments.plan_limits import guardrails_problems, steps_problems
from deployments.plan_template_selectors import plan_template_for
from deployments.quotas import quota_problems
from deployments.rollout.guardrails import read_guardrails
from deployments.rollout.guardrails.guardrail_kinds import kind_of_row
from deployments.rollout.steps import Step
from deployments.rollout.strategies import compile_strategy, first_release_steps, watch_seconds
from deployments.rollout.strategies.targeting import sealed
from deployments.services.commands import ReleaseCommand
from deployments.services.endpoints import ServingWish, serving_config_of
from deployments.services.plan_templates import differences, why_not_offered
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.lib.errors import Invalid, NotFound
from mlorch_site.lib.hashing import content_hash
from registry.approvals.authors import claims_of
from registry.cards.selectors import frozen_card
from registry.lifecycle import VersionStatus
from registry.models import Environment, Model, Policy, Version
from registry.policy_lines import why_unconfirmed
from registry.selectors import environment_for, model_for, ruling_policy, version_for
from registry.version_lifecycle import why_not_served

T = TypeVar("T")
FIRST_CONFIG = ServingWish()  # what a new endpoint begins with


@dataclass(frozen=True)
class ReleaseTarget:
    """Where a command would release to, and under which policy. `endpoint` is None when it would be created."""

    model: Model
    environment: Environment
    policy: Policy
    endpoint: Endpoint | None

    @property
    def is_first(self) -> bool:
        """Whether nothing is served yet, so that there is nothing to compare with."""
        return self.endpoint is None or self.endpoint.stable_release is None


@dataclass(frozen=True)
class CheckedRequest:
    """A command in which nothing is wrong, with all that it names, and its plan as it is frozen with the release."""

    command: ReleaseCommand
    target: ReleaseTarget
    version: Version
    guardrails: list[dict[str, Any]]
    plan: dict[str, Any]

    @property
    def plan_hash(self) -> str:
        return content_hash(self.plan)


@dataclass(frozen=True)
class RequestCheck:
    """What is wrong with a command (`problems`: field → sentence), and as much of it as could be read for a preview.

    `request` is there exactly when there are no problems. `forbidden` says why the actor may not request it; the check
    goes on all the same.
    """

    command: ReleaseCommand
    problems: dict[str, str]
    forbidden: str = ""
    target: ReleaseTarget | None = None
    steps: list[Step] = field(default_factory=list)
    guardrails: list[dict[str, Any]] = field(default_factory=list)
    request: CheckedRequest | None = None


def check_request(actor: Actor, command: ReleaseCommand) -> RequestCheck:
    """Every problem of the command; without any, the whole request."""
    problems: dict[str, str] = {}
    template = _template(actor, command, problems)
    if template is not None and not command.strategy:
        wished = template.guardrails if command.guardrails is None else command.guardrails
        command = replace(command, strategy=template.strategy, guardrails=wished)
    command = replace(command, strategy=sealed(command.strategy))
    model = _found("model", problems, partial(model_for, actor, command.model))
    environment = _found("environment", problems, partial(environment_for, actor, command.environment))
    read_version = partial(version_for, actor, command.model, command.version)
    version = _found("version", problems, read_version) if model is not None else None
    if model is None or environment is None:
        return RequestCheck(command, problems)
    endpoint = _endpoint(environment, command.endpoint)
    if endpoint is not None and not selectors.endpoints_visible_to(actor).filter(pk=endpoint.pk).exists():
        problems["endpoint"] = f"The name {command.endpoint} is taken in {environment.name}."
        return RequestCheck(command, problems)
    target = ReleaseTarget(model, environment, ruling_policy(environment, model), endpoint)
    if why := why_unconfirmed(target.policy, model):
        problems["environment"] = why
    forbidden = actor.why_not(Action.RELEASE_REQUEST, [environment.scope, model.scope])
    group = _group(actor, command, problems)
    _check_endpoint(target, problems)
    _check_version(version, target, problems)
    guardrails = _guardrails(command, target, problems)
    steps = _steps(command, target, problems)
    _check_room(actor, target, problems)
    _check_texts(command, problems)
    request = None
    if version is not None and not problems:
        plan = _plan(command, target, version, steps, guardrails) | _of_template(template, command, guardrails)
        plan |= {"group": {"id": str(group.pk), "name": group.name}} if group is not None else {}
        request = CheckedRequest(command, target, version, guardrails, plan)
    return RequestCheck(command, problems, forbidden, target, steps, guardrails, request)


def _template(actor: Actor, command: ReleaseCommand, problems: dict[str, str]) -> PlanTemplate | None:
    if not command.template:
        return None
    template = _found("template", problems, partial(plan_template_for, actor, command.template))
    if template and (why := why_not_offered(template, model=command.model, environment=command.environment)):
        problems["template"] = why
    return template


def _group(actor: Actor, command: ReleaseCommand, problems: dict[str, str]) -> ReleaseGroup | None:
    if not command.group:
        return None
    group = _found("group", problems, partial(group_for, actor, command.group))
    if group is None:
        return None
    if group.created_by != actor.name:
        problems["group"] = f"Only {group.created_by} requests releases into this group."
    elif group.closed_at is not None or group.ended_at is not None or group.failed_at is not None:
        problems["group"] = f"The group {group} takes no more releases."
    elif group.members.count() >= limits.GROUP_MEMBERS_MAX:
        problems["group"] = f"A group has {limits.GROUP_MEMBERS_MAX} releases at most."
    return group


def _of_template(
    template: PlanTemplate | None, command: ReleaseCommand, guardrails: list[dict[str, Any]]
) -> dict[str, Any]:
    """What a plan says of the template that it began with."""
    if template is None:
        return {}
    differs = differences(template, command.strategy, guardrails)
    return {
        "template": {
            "id": str(template.pk),
            "name": template.name,
            "revision": template.revision,
            "differs": differs,
        }
    }


def _found(name: str, problems: dict[str, str], read: Callable[[], T]) -> T | None:
    try:
        return read()
    except NotFound as error:
        problems[name] = error.message
        return None


def _endpoint(environment: Environment, name: str) -> Endpoint | None:
    rows = Endpoint.objects.select_related("environment", "model", "stable_release__version")
    return rows.filter(environment=environment, name=name).first()


def _check_endpoint(target: ReleaseTarget, problems: dict[str, str]) -> None:
    endpoint = target.endpoint
    if endpoint is not None and endpoint.retired_at is not None:
        problems["endpoint"] = f"{endpoint} is retired; restore it on its page first."
    elif endpoint is not None and endpoint.model_id != target.model.pk:
        problems["endpoint"] = f"{endpoint} serves the model {endpoint.model.name}, not {target.model.name}."


def _check_version(version: Version | None, target: ReleaseTarget, problems: dict[str, str]) -> None:
    if version is None:
        return
    stable = target.endpoint.stable_release if target.endpoint else None
    if version.status in (VersionStatus.PENDING, VersionStatus.FAILED):
        problems["version"] = f"{version} is not ready yet: MLflow says {version.status}."
    elif why := why_not_served(version, ""):
        problems["version"] = why
    elif stable is not None and stable.version_id == version.pk and not _is_changed(stable, version):
        problems["version"] = f"{target.endpoint} already serves version {version.number}, as it is configured."


def _is_changed(stable: Release, version: Version) -> bool:
    """Whether a release of the version that serves already would bring other files or another serving config."""
    return stable.digest != version.digest or stable.serving_config_id != serving_config_of(stable.endpoint).pk


def _check_room(actor: Actor, target: ReleaseTarget, problems: dict[str, str]) -> None:
    """Whether the environment has room for what the endpoint would be served with."""
    if "endpoint" not in problems:
        config = serving_config_of(target.endpoint) if target.endpoint else FIRST_CONFIG
        problems |= quota_problems(actor, target.policy, target.environment, target.endpoint, config)


def _guardrails(command: ReleaseCommand, target: ReleaseTarget, problems: dict[str, str]) -> list[dict[str, Any]]:
    policy, wished = target.policy, command.guardrails
    try:
        guardrails = read_guardrails(policy.default_guardrails if wished is None else wished)
    except Invalid as error:
        problems |= dict.fromkeys(error.details, error.message) or {"guardrails": error.message}
        return []
    if policy.guardrails_required and not guardrails:
        problems["guardrails"] = f"{target.environment.name} needs at least one guardrail."
    problems |= guardrails_problems(guardrails, policy, target.environment.name)
    for index, row in enumerate(guardrails):
        why_not = kind_of_row(row).why_not_here(row, target.environment.name, command.endpoint)
        problems |= {f"guardrails[{index}].metric": why_not} if why_not else {}
    return guardrails


def _steps(command: ReleaseCommand, target: ReleaseTarget, problems: dict[str, str]) -> list[Step]:
    try:
        steps = compile_strategy(command.strategy)
        watch_seconds(command.strategy)
    except Invalid as error:
        problems |= dict.fromkeys(error.details, error.message) or {"strategy": error.message}
        return []
    if target.is_first:
        return first_release_steps()
    problems |= steps_problems(command.strategy, steps, target.policy, target.environment.name)
    return steps


def _check_texts(command: ReleaseCommand, problems: dict[str, str]) -> None:
    if len(command.reason) > limits.REASON_MAX_CHARS:
        problems["reason"] = f"The reason has {limits.REASON_MAX_CHARS} characters at most."
    if len(command.ticket) > limits.TICKET_MAX_CHARS:
        problems["ticket"] = f"The ticket has {limits.TICKET_MAX_CHARS} characters at most."


def _plan(
    command: ReleaseCommand,
    target: ReleaseTarget,
    version: Version,
    steps: list[Step],
    guardrails: list[dict[str, Any]],
) -> dict[str, Any]:
    """The plan to freeze. `replaces` ties it to what is served now, `card` to the revision of the card in force,
    `authors` to what MLflow says now of who made the version.
    """
    stable = target.endpoint.stable_release if target.endpoint else None
    return {
        "model": target.model.name,
        "strategy": command.strategy,
        "steps": [step.to_dict() for step in steps],
        "guardrails": guardrails,
        "measures": _measures(guardrails, target, command.endpoint),
        "watch_s": watch_seconds(command.strategy),
        "judge_deadline_s": target.policy.judge_deadline_s,
        "replaces": str(stable.pk) if stable else None,
        "rollback_to": selectors.original_of(stable).version.number if stable else None,
        "ticket": command.ticket,
        "risk_tier": target.model.risk_tier,
        "card": frozen_card(version),
        "authors": claims_of(version),
    }


def _measures(guardrails: list[dict[str, Any]], target: ReleaseTarget, endpoint: str) -> dict[str, Any]:
    """What the guardrails on metrics of the user's own are read from, by metric."""
    found = {row["metric"]: kind_of_row(row).measure(row, target.environment.name, endpoint) for row in guardrails}
    return {metric: measure for metric, measure in found.items() if measure}
