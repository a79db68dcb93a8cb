"""What mlorch itself knows of a model: its owner and its risk tier."""

from django.db import transaction

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.audit.services import audit_record
from mlorch_site.lib.errors import Forbidden, Invalid
from mlorch_site.live.outbox import publish
from registry import audit_subjects
from registry.lifecycle import FactKind, RiskTier
from registry.models import Environment, Model, Policy
from registry.policy_lines import ruling_of, title_of
from registry.services.facts import facts_note

OWNER_MAX_CHARS = 150


def _check_tier(actor: Actor, model: Model, tier: str) -> None:
    """Raise Forbidden when another line of a policy would rule the model, and the actor may not write that policy:
    whoever wants a release to come under milder rules must not be able to choose them.
    """
    lines: dict[Environment, list[Policy]] = {}
    for policy in Policy.objects.in_force().select_related("environment", "model"):
        lines.setdefault(policy.environment, []).append(policy)
    for environment, policies in lines.items():
        now, then = (ruling_of(policies, model.pk, each) for each in (model.risk_tier, tier))
        if now == then or now is None or then is None:
            continue
        if reason := actor.why_not(Action.POLICY_EDIT, [environment.scope]):
            instead = f"{title_of(then)} would rule {model} instead of revision {now.revision}"
            raise Forbidden(f"With the tier {tier}, {instead}. {reason}")


@transaction.atomic
def model_edit(*, actor: Actor, model: Model, owner: str, risk_tier: str) -> Model:
    """Set owner and risk tier. Setting what is there already is harmless.

    Open releases keep the revision they were requested under. Raises Forbidden when the tier makes another line of a
    policy rule the model, and the actor may not write that policy.
    """
    actor.require(Action.MODEL_EDIT, [model.scope])
    if risk_tier not in [tier.value for tier in RiskTier]:
        raise Invalid("The risk tier is low, moderate, high or critical.", details={"risk_tier": "unknown"})
    if len(owner) > OWNER_MAX_CHARS:
        raise Invalid(f"The owner has at most {OWNER_MAX_CHARS} characters.", details={"owner": "too long"})
    before = {"owner": model.owner, "risk_tier": model.risk_tier}
    after = {"owner": owner.strip(), "risk_tier": risk_tier}
    if before == after:
        return model
    if before["risk_tier"] != risk_tier:
        _check_tier(actor, model, risk_tier)
    Model.objects.filter(pk=model.pk).update(**after)
    facts_note(model, {FactKind(name): value for name, value in after.items() if before[name] != value})
    audit_record(actor, "model.edited", audit_subjects.of_model(model), data={"before": before, "after": after})
    publish("registry", "model.changed", {"model": model.name})
    model.refresh_from_db()
    return model
