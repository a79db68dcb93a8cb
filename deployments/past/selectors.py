"""The past of an endpoint, a model and an environment, for those who see their present.

All of it reads the database.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Min, QuerySet
from django.utils import timezone

from deployments.models import Endpoint, ServingConfig
from deployments.past.standing import EndpointStanding, standings
from deployments.past.stepping import Neighbours, moments_of_endpoint, moments_of_places, neighbours
from deployments.selectors import endpoints_visible_to
from mlorch_site.accounts.actor import Actor
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Invalid
from registry.facts import ModelThen, findings_then, model_then, versions_known
from registry.models import Environment, Finding, Model, Policy, Version
from registry.policy_lines import covers, ruling_of
from registry.selectors import policies_then


@dataclass(frozen=True)
class EndpointPast:
    """An endpoint at `instant`. `policy` and `config` are the newest revisions then: what a new release would have come
    under. Those that what served was released under are with each release. `unknown` says what is not recorded.
    """

    endpoint: Endpoint
    instant: datetime
    standing: EndpointStanding
    policy: Policy | None
    config: ServingConfig | None
    model: ModelThen
    findings: list[Finding]
    near: Neighbours
    unknown: list[str]


@dataclass(frozen=True)
class ModelPast:
    """A model at `instant`. `endpoints` and `versions` are all that there were and the actor may see."""

    model: Model
    instant: datetime
    endpoints: QuerySet[Endpoint]
    versions: QuerySet[Version]
    findings: list[Finding]
    near: Neighbours

    def known(self, versions: Collection[Version] = ()) -> ModelThen:
        """What was known of the model, and of these versions."""
        return model_then(self.model, self.instant, versions)


@dataclass(frozen=True)
class EnvironmentPast:
    """An environment at `instant`, with the endpoints that there were and the actor may see. `lines` are the lines of
    its policy besides its own `policy`.
    """

    environment: Environment
    instant: datetime
    policy: Policy
    lines: list[Policy]
    endpoints: QuerySet[Endpoint]
    near: Neighbours


def endpoint_past(endpoint: Endpoint, instant: datetime) -> EndpointPast:
    """An endpoint as it was. Raises Invalid for a time before it was made."""
    _require_existed(str(endpoint), endpoint.created_at, instant)
    [standing] = standings([endpoint], instant)
    versions = {arm.version.pk: arm.version for arm in standing.arms}
    known = model_then(endpoint.model, instant, versions.values())
    policy, why_no_policy = _ruling_then(endpoint, known.risk_tier, instant)
    return EndpointPast(
        endpoint=endpoint,
        instant=instant,
        standing=standing,
        policy=policy,
        config=endpoint.configs.filter(created_at__lte=instant).order_by("-revision").first(),
        model=known,
        findings=findings_then(endpoint.model, instant),
        near=neighbours(moments_of_endpoint(endpoint), instant, since=endpoint.created_at, now=clock.now()),
        unknown=[
            sentence
            for sentence in (why_traffic_unknown(standing), why_facts_unknown(known), why_no_policy)
            if sentence
        ],
    )


def model_past(actor: Actor, model: Model, instant: datetime) -> ModelPast:
    """A model as it was. Raises Invalid for a time before anything of it was made."""
    since = _first_sign_of(model)
    _require_existed(model.name, since, instant)
    endpoints = endpoints_visible_to(actor).filter(model=model)
    return ModelPast(
        model=model,
        instant=instant,
        endpoints=endpoints.filter(created_at__lte=instant),
        versions=versions_known(model, instant),
        findings=findings_then(model, instant),
        near=neighbours(moments_of_places(endpoints, model), instant, since=since, now=clock.now()),
    )


def environment_past(actor: Actor, environment: Environment, instant: datetime) -> EnvironmentPast:
    """An environment as it was. Raises Invalid for a time before its first policy, which it was made with."""
    lines, first = policies_then(environment, instant), environment.policies.order_by("revision").first()
    if not lines or first is None:
        raise Invalid(f"{environment.name} had no policy yet at this time.", details={"at": "too early"})
    endpoints = endpoints_visible_to(actor).filter(environment=environment)
    return EnvironmentPast(
        environment=environment,
        instant=instant,
        policy=lines[0],
        lines=lines[1:],
        endpoints=endpoints.filter(created_at__lte=instant),
        near=neighbours(moments_of_places(endpoints, environment), instant, since=first.created_at, now=clock.now()),
    )


def why_traffic_unknown(standing: EndpointStanding) -> str:
    """The sentence that says what is not recorded of an endpoint's traffic, empty when all of it is."""
    if standing.change is not None:
        return standing.why_derived
    first = standing.kept_since
    since = f"changes are kept since {_shown(first)}" if first else "no change was ever kept"
    return f"What had the traffic of {standing.endpoint} at this time is not recorded: {since}."


def why_facts_unknown(known: ModelThen) -> str:
    """The sentence that says what is not recorded of a model, empty when all of it is."""
    if known.is_recorded:
        return ""
    since = f"they are kept since {_shown(known.since)}" if known.since else "they were never kept"
    return f"Status and aliases of the versions, owner and risk tier at this time are not recorded: {since}."


def _ruling_then(endpoint: Endpoint, tier: str | None, instant: datetime) -> tuple[Policy | None, str]:
    """The policy revision that ruled an endpoint, None before the first and where it cannot be told; and why it cannot
    be told, empty when it can.
    """
    lines = policies_then(endpoint.environment, instant)
    if tier is None and any(covers(policy, endpoint.model_id, policy.tier) for policy in lines if policy.tier):
        return None, "Which revision of the policy ruled it is not recorded: it went by the risk tier."
    return ruling_of(lines, endpoint.model_id, tier or ""), ""


def _first_sign_of(model: Model) -> datetime:
    """When the first of the model and of what hangs on it was made: one that MLflow made again is older than its row
    says.
    """
    signs: list[datetime | None] = [
        model.created_at,
        *model.versions.aggregate(first=Min("created_at")).values(),
        *model.endpoints.aggregate(first=Min("created_at")).values(),
    ]
    return min(sign for sign in signs if sign is not None)


def _require_existed(name: str, since: datetime, instant: datetime) -> None:
    if instant < since:
        raise Invalid(f"{name} did not exist yet: it was made at {_shown(since)}.", details={"at": "too early"})


def _shown(moment: datetime) -> str:
    """A moment in the reader's zone."""
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S %Z}"
