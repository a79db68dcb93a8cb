"""Which plan templates are shown to whom, and which are offered for a place. Everything here reads the database."""

from uuid import UUID

from django.db.models import Q, QuerySet

from deployments.models import PlanTemplate
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import in_scopes
from mlorch_site.lib.errors import NotFound

OF_EVERYWHERE = Q(environment=None, model=None)


def plan_templates_visible_to(actor: Actor) -> "QuerySet[PlanTemplate]":
    """The templates this actor may see, ended ones too: those for everywhere, and those of what it may see."""
    if not actor.may_anywhere(Action.VIEW):
        return PlanTemplate.objects.none()
    rows = PlanTemplate.objects.select_related("environment", "model")
    if actor.visible_scopes() is None:
        return rows
    return rows.filter(OF_EVERYWHERE | in_scopes(actor, environment="environment__name", model="model__name"))


def plan_templates_offered(actor: Actor, *, model: str, environment: str) -> "QuerySet[PlanTemplate]":
    """The templates that hold and are for this place, by name."""
    rows = plan_templates_visible_to(actor).filter(ended_at=None)
    of_model, of_environment = (
        Q(model=None) | Q(model__name=model),
        Q(environment=None) | Q(environment__name=environment),
    )
    return rows.filter(of_model, of_environment).order_by("name")


def plan_template_for(actor: Actor, pk: UUID | str) -> PlanTemplate:
    """One revision of a template. Hidden and missing look the same (NotFound)."""
    try:
        found = plan_templates_visible_to(actor).filter(pk=UUID(str(pk))).first()
    except ValueError:
        found = None
    if found is None:
        raise NotFound("There is no such plan template.")
    return found
