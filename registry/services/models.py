"""What mlorch itself knows of a model: its owner and its risk tier."""

from django.db import transaction

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.audit.services import audit_record
from mlorch_site.lib.errors import Invalid
from mlorch_site.live.outbox import publish
from registry import audit_subjects
from registry.lifecycle import FactKind, RiskTier
from registry.models import Model
from registry.services.facts import facts_note

OWNER_MAX_CHARS = 150


@transaction.atomic
def model_edit(*, actor: Actor, model: Model, owner: str, risk_tier: str) -> Model:
    """Set owner and risk tier. Setting what is there already is harmless."""
    actor.require(Action.MODEL_EDIT, [model.scope])
    if risk_tier not in [tier.value for tier in RiskTier]:
        raise Invalid("The risk tier is low, moderate, high or critical.", details={"risk_tier": "unknown"})
    if len(owner) > OWNER_MAX_CHARS:
        raise Invalid(f"The owner has at most {OWNER_MAX_CHARS} characters.", details={"owner": "too long"})
    before = {"owner": model.owner, "risk_tier": model.risk_tier}
    after = {"owner": owner.strip(), "risk_tier": risk_tier}
    if before == after:
        return model
    Model.objects.filter(pk=model.pk).update(**after)
    facts_note(model, {FactKind(name): value for name, value in after.items() if before[name] != value})
    audit_record(actor, "model.edited", audit_subjects.of_model(model), data={"before": before, "after": after})
    publish("registry", "model.changed", {"model": model.name})
    model.refresh_from_db()
    return model
