"""A person says that a model which is gone is the one that is there under another name."""

from django.db import transaction

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.audit.services import audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Invalid
from mlorch_site.live.outbox import publish
from registry import audit_subjects
from registry.lifecycle import FactKind
from registry.models import Model
from registry.rename_candidates import RenameEffect, rename_effect
from registry.services.aliases import alias_want
from registry.services.facts import facts_note
from registry.services.sync import lease_break

RENAME_REASON_MAX_CHARS = 300
FOLLOWING_FIELDS = ("name", "description", "tags", "created_at", "updated_at")


@transaction.atomic
def rename_declare(*, actor: Actor, missing: Model, found: Model, expects: str, reason: str) -> Model:
    """Let the row of `missing`, with everything that hangs on it, go on under the name of `found`, and return it.

    The versions of `found` become versions of it; its row is gone afterwards, so this cannot be undone. `expects` is
    what `rename_effect` gave when a person looked. Raises Invalid without a reason, Conflict when either model has
    changed since or they cannot be one.
    """
    lease_break()  # a look of the mirror that is under way would write what it read before
    rows = Model.objects.select_for_update().order_by("pk").in_bulk([missing.pk, found.pk])
    if len(rows) != 2:
        raise Conflict("One of the two models is gone meanwhile; look again.", code="changed_meanwhile")
    missing, found = rows[missing.pk], rows[found.pk]
    actor.require(Action.MODEL_EDIT, [missing.scope])
    actor.require(Action.MODEL_EDIT, [found.scope])
    effect = _checked(missing, found, expects, reason)
    old = missing.name
    _merge(missing, found, effect)
    data = {"from": old, "to": missing.name, "versions": effect.arriving, "superseded": effect.superseded}
    subject = audit_subjects.of_model(missing)
    audit_record(actor, "model.rename_declared", subject, reason=reason.strip(), data=data)
    for name in effect.aliases:
        _write_alias(actor, missing, name, effect.aliases[name], old)
    for changed in (old, missing.name):
        publish("registry", "model.changed", {"model": changed})
    return missing


def _checked(missing: Model, found: Model, expects: str, reason: str) -> RenameEffect:
    """What it changes. Raises Invalid and Conflict."""
    if not reason.strip():
        raise Invalid("Say how you know that it is the same model.", details={"reason": "required"})
    if len(reason) > RENAME_REASON_MAX_CHARS:
        raise Invalid(f"A reason has at most {RENAME_REASON_MAX_CHARS} characters.", details={"reason": "too long"})
    effect = rename_effect(missing, found)
    if effect.why_not:
        raise Conflict(f"{effect.why_not} Nothing is changed.", code="not_the_same")
    if effect.expects != expects:
        raise Conflict(
            f"{missing} or {found} has changed since you looked; look again.",
            code="changed_meanwhile",
        )
    return effect


def _merge(missing: Model, found: Model, effect: RenameEffect) -> None:
    """Move what hangs on `found` to `missing`, which gets its name; what the same number had before is superseded."""
    present = missing.versions.filter(superseded_at=None)
    present.filter(number__in=effect.superseded).update(superseded_at=clock.now())
    aliases = dict(found.aliases.values_list("name", "version_number"))
    found.facts.exclude(version=None).update(model=missing)
    found.versions.update(model=missing)
    found.findings.update(model=missing)
    found.aliases.update(model=missing)
    found.alias_intents.exclude(name__in=missing.alias_intents.values("name")).update(model=missing)
    values = {name: getattr(found, name) for name in FOLLOWING_FIELDS}
    found.delete()
    Model.objects.filter(pk=missing.pk).update(**values, deleted_at=None)
    missing.refresh_from_db()
    facts_note(missing, {FactKind.NAME: missing.name, FactKind.DELETED: ""})
    for alias, number in aliases.items():
        facts_note(missing, {FactKind.ALIAS: str(number)}, key=alias)


def _write_alias(actor: Actor, model: Model, alias: str, number: int, old: str) -> None:
    version = model.versions.get(number=number, superseded_at=None)
    alias_want(actor=actor, model=model, name=alias, version=version, reason=f"{old} is {model} now.")
