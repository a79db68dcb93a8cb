"""What the form of a new release offers and fills in for a model and an environment: what exists is picked and not
typed, and what the policy asks for is there already. Reads the database.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from deployments.lifecycle import StrategyKind
from deployments.models import EndpointArm
from deployments.plan_limits import can_be_kind
from deployments.plan_template_selectors import plan_templates_offered
from deployments.rollout.guardrails import ERROR_RATE, LATENCY_OVER_SLO
from deployments.rollout.guardrails.outcome import PREFIX as OUTCOME
from deployments.rollout.guardrails.prediction_shift_kind import PREDICTION_SHIFT
from deployments.rollout.guardrails.prometheus_metric import PREFIX as PROMETHEUS
from deployments.rollout.strategies.linear import STEP_PCT, STEP_PCT_MIN
from deployments.selectors import endpoints_visible_to
from deployments.services.watching import watched
from mlorch_site.accounts.actor import Actor
from mlorch_site.lib.errors import NotFound
from mlorch_site.lib.readable import is_text
from registry.lifecycle import OUT_OF_USE, VersionLifecycle, VersionStatus
from registry.models import Model, Policy
from registry.policy_lines import Ruling, line_of, ruling_now
from registry.selectors import environments_visible_to, models_visible_to, ruling_policy

VERSIONS_OFFERED = 50  # the newest; an older one is requested from its own page
ENDPOINTS_OFFERED = 50
ENDPOINT_NAME_MAX_CHARS = 63
# The form's own plan: percent of the traffic, seconds, requests; and its guardrails. A policy may ask for more.
DEFAULT_STEPS = [(10, 60, 100), (25, 60, 200), (50, 60, 400)]
DEFAULT_BAKE_S = 60
DEFAULT_ERROR_MARGIN, DEFAULT_SLO_MARGIN = 1, 5


@dataclass(frozen=True)
class OfferedMeasure:
    """What an endpoint has that a guardrail can watch: its metric, and the bound that the form asks for."""

    metric: str
    bound: str
    label: str
    help_text: str


@dataclass(frozen=True)
class ReleaseDefaults:
    """`versions` are numbers with what is known of them, newest first; `endpoints` are those of the model in the
    environment.

    `of_model` and `of_environment` are values of the form's fields. `kinds` are the strategies that the policy allows,
    all when empty. `note` says which revision filled in what, `ruling` why it rules.
    """

    versions: list[tuple[int, str]] = field(default_factory=list)
    endpoints: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    of_model: dict[str, Any] = field(default_factory=dict)
    of_environment: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    ruling: Ruling | None = None
    measures: list[OfferedMeasure] = field(default_factory=list)
    templates: list[tuple[str, str]] = field(default_factory=list)


def release_defaults(actor: Actor, *, model: str, environment: str, endpoint: str = "") -> ReleaseDefaults:
    """What is offered for a model and an environment, either of which may be unknown or not chosen yet; without an
    endpoint for the one that is offered.
    """
    model, environment, endpoint = (name if is_text(name) else "" for name in (model, environment, endpoint))
    found = models_visible_to(actor).filter(name=model).first()
    policy = _policy_of(actor, environment, found)
    asked = _asked_by(policy) if policy else {}
    versions = _versions(actor, found) if found else []
    endpoints = _endpoints(actor, found, environment)
    return ReleaseDefaults(
        versions=versions,
        endpoints=endpoints,
        kinds=policy.allowed_strategies if policy else [],
        of_model={
            "version": versions[0][0] if versions else None,
            "endpoint": _endpoint(found, endpoints),
            **(asked if policy and not line_of(policy).is_whole else {}),
        },
        of_environment={"endpoint": _endpoint(found, endpoints), **asked},
        note=f"Filled in as {policy} asks." if policy else "",
        ruling=ruling_now(policy, found) if policy else None,
        measures=_measures(actor, environment, endpoint or _endpoint(found, endpoints)),
        templates=[
            (str(one.pk), f"{one} ({one.place})")
            for one in plan_templates_offered(actor, model=model, environment=environment)
        ],
    )


def _measures(actor: Actor, environment: str, name: str) -> list[OfferedMeasure]:
    """What guardrails can watch at an endpoint beside what mlorch counts of every one."""
    endpoint = endpoints_visible_to(actor).filter(environment__name=environment, name=name).first()
    if endpoint is None:
        return []
    place = watched(endpoint)
    found = [
        OfferedMeasure(
            f"{OUTCOME}{one.name}", "margin", f"Outcome {one.name}: at most so much worse", f"{one.sentence}."
        )
        for one in place.outcomes()
    ]
    found += [
        OfferedMeasure(
            f"{PROMETHEUS}{one.name}", "max", f"{one.name}: at most{one.unit and f' ({one.unit})'}", "By Prometheus."
        )
        for one in place.metric_queries()
    ]
    shift = "Predictions: at most so far from the stable version's (0 to 1)"
    return [*found, OfferedMeasure(PREDICTION_SHIFT, "margin", shift, "Of sampled requests.")]


def _policy_of(actor: Actor, environment: str, model: Model | None) -> Policy | None:
    found = environments_visible_to(actor).filter(name=environment).first()
    try:
        return ruling_policy(found, model) if found else None
    except NotFound:
        return None


def _versions(actor: Actor, model: Model) -> list[tuple[int, str]]:
    known = model.versions.filter(superseded_at=None).exclude(lifecycle__in=[state.value for state in OUT_OF_USE])
    rows = list(known.order_by("-number")[:VERSIONS_OFFERED])
    notes: dict[int, list[str]] = {row.number: [] for row in rows}
    for alias in model.aliases.order_by("name"):
        notes.get(alias.version_number, []).append(alias.name)
    arms = EndpointArm.objects.filter(endpoint__in=endpoints_visible_to(actor).filter(model=model))
    for arm in arms.select_related("endpoint__environment", "version"):
        notes.get(arm.version.number, []).append(f"{arm.arm} in {arm.endpoint}")
    for row in rows:
        if row.status != VersionStatus.READY:
            notes[row.number].append(row.status.lower().replace("_", " "))
        if row.lifecycle != VersionLifecycle.REGISTERED:
            notes[row.number].append(row.lifecycle)
    return [(number, f"{number} ({', '.join(known)})" if known else str(number)) for number, known in notes.items()]


def _endpoints(actor: Actor, model: Model | None, environment: str) -> list[str]:
    found = endpoints_visible_to(actor).filter(environment__name=environment, retired_at=None)
    if model is None:
        return []
    return list(found.filter(model=model).order_by("created_at").values_list("name", flat=True)[:ENDPOINTS_OFFERED])


def _endpoint(model: Model | None, endpoints: list[str]) -> str:
    """The model's endpoint in the environment; where it has none, a name made of the model's."""
    if endpoints or model is None:
        return endpoints[0] if endpoints else ""
    return re.sub(r"[^a-z0-9]+", "-", model.name.lower()).strip("-")[:ENDPOINT_NAME_MAX_CHARS].strip("-")


def _asked_by(policy: Policy) -> dict[str, Any]:
    """What the policy asks for, where the form's own plan does not do it."""
    asked = {**_guardrails_asked_by(policy), **_steps_asked_by(policy)}
    kinds = [kind.value for kind in StrategyKind if can_be_kind(kind, policy)]
    allowed = [kind for kind in policy.allowed_strategies or kinds if kind in kinds]
    if policy.allowed_strategies:
        asked["kind"] = [*allowed, *policy.allowed_strategies][0]
    if policy.hold_required:
        asked["hold"] = True
    return asked


def _steps_asked_by(policy: Policy) -> dict[str, Any]:
    asked: dict[str, Any] = {}
    if policy.max_first_weight_pct < DEFAULT_STEPS[0][0]:
        asked["weight_0"] = policy.max_first_weight_pct
    if STEP_PCT_MIN <= policy.max_first_weight_pct < STEP_PCT:
        asked["step_pct"] = policy.max_first_weight_pct
    for row, (_, bake_s, requests) in enumerate(DEFAULT_STEPS):
        asked |= {f"bake_{row}": policy.bake_s_min} if bake_s < policy.bake_s_min else {}
        asked |= {f"requests_{row}": policy.requests_min} if requests < policy.requests_min else {}
    asked |= {"bake_s": policy.bake_s_min} if policy.bake_s_min > DEFAULT_BAKE_S else {}
    return asked | ({"min_requests": policy.requests_min} if policy.requests_min else {})


def _guardrails_asked_by(policy: Policy) -> dict[str, Any]:
    asked: dict[str, Any] = {}
    for guardrail in policy.default_guardrails:
        if guardrail["metric"] == ERROR_RATE:
            asked["error_margin"] = _percent(guardrail["margin"])
        else:
            asked |= {"slo_ms": guardrail["slo_ms"], "slo_margin": _percent(guardrail["margin"])}
    fields = {ERROR_RATE: ("error_margin", DEFAULT_ERROR_MARGIN), LATENCY_OVER_SLO: ("slo_margin", DEFAULT_SLO_MARGIN)}
    for metric, widest in policy.margins_max.items():
        name, usual = fields[metric]
        if asked.get(name, usual) > widest * 100:
            asked[name] = _percent(widest)
    return asked


def _percent(share: float) -> float:
    return float(f"{share * 100:g}")
