"""Plan templates: saved as revisions, ended, and how far a plan is still the one of its template."""

import re
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import Max

from deployments import limits
from deployments.models import PlanTemplate
from deployments.rollout.guardrails import read_guardrails
from deployments.rollout.strategies import compile_strategy, watch_seconds
from deployments.rollout.strategies.targeting import sealed
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Invalid
from mlorch_site.lib.hashing import settled
from registry.models import Environment, Model

NAME = re.compile(r"[^\W_][\w .,()%/+\-]{0,59}")
NOTE_MAX_CHARS = 500


@dataclass(frozen=True)
class TemplateWish:
    """What a template is to be: its name, the plan, and where it is offered (None: wherever the other says)."""

    name: str
    strategy: dict[str, Any]
    guardrails: list[dict[str, Any]] = field(default_factory=list)
    environment: Environment | None = None
    model: Model | None = None
    note: str = ""

    @property
    def scopes(self) -> list[str]:
        return [part.scope for part in (self.environment, self.model) if part is not None]


@transaction.atomic
def plan_template_save(*, actor: Actor, wish: TemplateWish) -> PlanTemplate:
    """Save a plan under a name; one of that name that holds ends with it. The same again is harmless.

    Raises Forbidden, Invalid (details name the fields), Conflict when there are too many.
    """
    actor.require(Action.ENDPOINT_MANAGE, wish.scopes)
    problems = {}
    if not NAME.fullmatch(wish.name):
        problems["name"] = "A letter or digit, then up to 59 letters, digits, spaces and .,()%/+-_"
    if len(wish.note) > NOTE_MAX_CHARS:
        problems["note"] = f"The note has {NOTE_MAX_CHARS} characters at most."
    if problems:
        raise Invalid(" ".join(problems.values()), details=problems)
    strategy, guardrails = settled(sealed(wish.strategy)), settled(read_guardrails(wish.guardrails))
    compile_strategy(strategy)
    watch_seconds(strategy)
    now, rows = clock.now(), PlanTemplate.objects.select_for_update().filter(name=wish.name)
    held = next((row for row in rows if row.ended_at is None), None)
    if held is not None:
        actor.require(Action.ENDPOINT_MANAGE, held.scopes)
        place = (held.environment_id, held.model_id) == (_pk(wish.environment), _pk(wish.model))
        if place and (held.strategy, held.guardrails) == (strategy, guardrails):
            return held
        held.ended_at = now
        held.save(update_fields=["ended_at"])
    elif PlanTemplate.objects.filter(ended_at=None).count() >= limits.PLAN_TEMPLATES_MAX:
        raise Conflict(f"There are {limits.PLAN_TEMPLATES_MAX} plan templates already; end one that nobody needs.")
    made = PlanTemplate.objects.create(
        name=wish.name,
        revision=(rows.aggregate(last=Max("revision"))["last"] or 0) + 1,
        environment=wish.environment,
        model=wish.model,
        strategy=strategy,
        guardrails=guardrails,
        note=wish.note,
        created_at=now,
        created_by=actor.name,
    )
    data = {"revision": made.revision, "strategy": strategy, "guardrails": guardrails}
    audit_record(actor, "plan_template.saved", _subject(made), reason=wish.note, data=data)
    return made


@transaction.atomic
def plan_template_end(*, actor: Actor, template: PlanTemplate, reason: str = "") -> PlanTemplate:
    """Offer a template no longer; releases that began with it say so still. Twice is harmless. Raises Forbidden."""
    actor.require(Action.ENDPOINT_MANAGE, template.scopes)
    found = PlanTemplate.objects.select_for_update(of=("self",)).get(pk=template.pk)
    if found.ended_at is None:
        found.ended_at = clock.now()
        found.save(update_fields=["ended_at"])
        audit_record(actor, "plan_template.ended", _subject(found), reason=reason)
    return found


def why_not_offered(template: PlanTemplate, *, model: str, environment: str) -> str:
    """Why a request for this place cannot begin with a template; empty when it can."""
    if template.ended_at is not None:
        newer = PlanTemplate.objects.filter(name=template.name, ended_at=None).first()
        return f"{template} has ended" + (f"; revision {newer.revision} holds now." if newer else ".")
    if template.model is not None and template.model.name != model:
        return f"{template} is for the model {template.model.name}."
    if template.environment is not None and template.environment.name != environment:
        return f"{template} is for {template.environment.name}."
    return ""


def differences(template: PlanTemplate, strategy: dict[str, Any], guardrails: list[dict[str, Any]]) -> list[str]:
    """In what a plan is not the one of its template: `steps`, `watch after promotion`, `guardrails`."""
    found = []
    if compile_strategy(strategy) != compile_strategy(template.strategy):
        found.append("steps")
    if watch_seconds(strategy) != watch_seconds(template.strategy):
        found.append("watch after promotion")
    if settled(guardrails) != template.guardrails:
        found.append("guardrails")
    return found


def _pk(row: Environment | Model | None) -> Any:
    return row.pk if row is not None else None


def _subject(template: PlanTemplate) -> Subject:
    return Subject("plan_template", str(template.pk), str(template), tuple(template.scopes))
