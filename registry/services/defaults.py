"""The environments and policies of a new installation."""

from typing import Any

from mlorch_site.accounts.actor import Actor
from registry.models import Environment
from registry.services.environments import environment_create

ALL_GATES = [
    "version_ready",
    "digest_known",
    "signature_present",
    "input_example_present",
    "metadata_complete",
    "requirements_valid",
    "artifact_format",
    "not_taken_back",
    "reproducible",
    "tooling_compatible",
    "signature_compatible",
    "offline_metrics",
    "objectives_exist",
    "plan_concludes",
]
# What tries the version out: it answers within seconds where the platform's own environment will do, and what serves in
# staging has been tried out by serving there.
TRYING_GATES = ["requirements_install", "input_example_answers"]
GUARDRAILS = [{"metric": "error_rate", "margin": 0.01}, {"metric": "latency_over_slo", "slo_ms": 100, "margin": 0.05}]
REPLICAS_MAX = 20
DEFAULTS: list[dict[str, Any]] = [
    {
        "name": "development",
        "description": "For trying things out; nobody has to approve.",
        "gates": ["version_ready", "digest_known"],
        "replicas_max": REPLICAS_MAX,
    },
    {
        "name": "staging",
        "description": "As production, with one reviewer.",
        "approval_rules": [{"role": "reviewer", "count": 1}],
        "gates": ALL_GATES,
        "replicas_max": REPLICAS_MAX,
        "default_guardrails": GUARDRAILS,
    },
    {
        "name": "production",
        "description": "Real traffic. One reviewer and one risk officer approve; guardrails are required.",
        "aliases": True,
        "protected": True,
        "approval_rules": [{"role": "reviewer", "count": 1}, {"role": "risk_officer", "count": 1}],
        "gates": [*ALL_GATES, *TRYING_GATES, "guardrails_present"],
        "replicas_max": REPLICAS_MAX,
        "guardrails_required": True,
        "sandbox_level_min": "partly",
        "default_guardrails": GUARDRAILS,
    },
]


def defaults_create(*, actor: Actor) -> None:
    """Create development, staging and production, each unless it exists. Calling twice is harmless."""
    for position, values in enumerate(DEFAULTS):
        if not Environment.objects.filter(name=values["name"]).exists():
            environment_create(actor=actor, position=position, **values)
