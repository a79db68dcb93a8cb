"""Aliases: where mlorch wants them, what was written to MLflow, and what others moved."""

from datetime import datetime, timedelta

from django.db import transaction

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.audit.services import audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Invalid
from mlorch_site.lib.swap import swap
from mlorch_site.live.outbox import publish
from registry import audit_subjects
from registry.lifecycle import FactKind
from registry.models import Alias, AliasIntent, Finding, Model, Version
from registry.services.facts import facts_note
from registry.services.outside_edits import note_alias_of_serving

RETRY_FIRST_S = 2
RETRY_MAX_S = 60
WRITE_LEASE_S = 60
ALIAS_MOVED = "alias_moved"


@transaction.atomic
def alias_want(*, actor: Actor, model: Model, name: str, version: Version | None, reason: str) -> AliasIntent:
    """Want an alias of `model` at a version of it (None: nowhere).

    The registry's worker writes it; wanting the same again is harmless.
    """
    now = clock.now()
    intent = AliasIntent.objects.select_for_update().filter(model=model, name=name).first()
    version_number = version.number if version else None
    wished = (version_number, version.pk if version else None)
    is_same = intent is not None and (intent.version_number, intent.version_id) == wished
    if intent is not None and is_same and _is_under_way_or_there(intent):
        return intent
    before = intent.version_number if intent else None
    wanted = {
        "version_number": version_number,
        "version": version,
        "reason": reason[:300],
        "wanted_at": now,
        "applied_at": None,
    }
    intent, _ = AliasIntent.objects.update_or_create(
        model=model, name=name, defaults={**wanted, "last_error": "", "due_at": now}
    )
    data = {"alias": name, "from": before, "to": version_number}
    audit_record(actor, "alias.wanted", audit_subjects.of_model(model), reason=reason, data=data)
    publish("registry", "model.changed", {"model": model.name})
    return intent


def _is_under_way_or_there(intent: AliasIntent) -> bool:
    if intent.applied_at is None:
        return True
    seen = Alias.objects.filter(model=intent.model_id, name=intent.name).values_list("version_number", flat=True)
    return seen.first() == intent.version_number


def alias_claim(*, intent_id: int, now: datetime) -> AliasIntent | None:
    """An alias that is due to be written, for this worker alone; None when it is not due or another has it.

    When the worker dies, the alias is due again after a while.
    """
    rows = AliasIntent.objects.select_related("model", "version__model")
    intent = rows.filter(pk=intent_id, applied_at=None, due_at__lte=now).first()
    if intent is None:
        return None
    return intent if swap(intent, "applied_at", "due_at", due_at=now + timedelta(seconds=WRITE_LEASE_S)) else None


@transaction.atomic
def alias_applied(*, actor: Actor, intent: AliasIntent) -> None:
    """Note that MLflow has the alias where `intent` wanted it.

    When another wish came in between, this write may have come after its write: then the newer wish is written once
    more.
    """
    now, version_number = clock.now(), intent.version_number
    if not swap(intent, "version_number", applied_at=now, last_error="", due_at=None):
        AliasIntent.objects.filter(pk=intent.pk).update(applied_at=None, due_at=now)
        return
    _mirror_alias(intent.model, intent.name, version_number, now)
    _close_findings(intent.model, intent.name, "mlorch wrote the alias again.", now)
    data = {"alias": intent.name, "to": version_number}
    audit_record(actor, "alias.written", audit_subjects.of_model(intent.model), reason=intent.reason, data=data)
    publish("registry", "model.changed", {"model": intent.model.name})


def alias_impossible(*, intent: AliasIntent, reason: str) -> None:
    """Note that the version meant by `intent` is not in MLflow any more: its number must not lead to another one."""
    AliasIntent.objects.filter(pk=intent.pk, applied_at=None).update(last_error=reason[:500], due_at=None)
    publish("registry", "model.changed", {"model": intent.model.name})


def alias_failed(*, intent: AliasIntent, error: str, now: datetime) -> None:
    """Note why MLflow did not take the alias, and when to try again."""
    waited_s = max(RETRY_FIRST_S, min(RETRY_MAX_S, (now - intent.wanted_at).total_seconds()))
    due_at = now + timedelta(seconds=waited_s)
    AliasIntent.objects.filter(pk=intent.pk, applied_at=None).update(last_error=error[:500], due_at=due_at)


def note_alias_moves(*, actor: Actor, model: Model, seen: dict[str, int], now: datetime) -> None:
    """Mirror the aliases of a model; an alias that mlorch had placed and somebody else moved becomes a finding.

    `now` is the moment before the registry was read: what mlorch itself wrote after it was not seen yet, and is left
    alone.
    """
    known = {alias.name: alias for alias in model.aliases.all()}
    intents = {intent.name: intent for intent in model.alias_intents.all()}
    for name in known.keys() | seen.keys():
        before = known[name].version_number if name in known else None
        after = seen.get(name)
        intent = intents.get(name)
        written_since = intent is not None and intent.applied_at is not None and intent.applied_at >= now
        if before == after or written_since:
            continue
        _mirror_alias(model, name, after, now)
        if intent is not None and intent.applied_at is not None and intent.version_number != after:
            _found_moved(actor, model, name, before, after, now)
        elif intent is None or intent.version_number != after:
            data = {"alias": name, "from": before, "to": after}
            audit_record(actor, "alias.seen", audit_subjects.of_model(model), data=data)
            note_alias_of_serving(model, name, before, after, now)
        elif _close_findings(model, name, "Moved back outside mlorch.", now):
            publish("registry", "model.changed", {"model": model.name})


def _mirror_alias(model: Model, name: str, number: int | None, now: datetime) -> None:
    before = Alias.objects.filter(model=model, name=name).values_list("version_number", flat=True).first()
    if before != number:
        facts_note(model, {FactKind.ALIAS: str(number or "")}, key=name)
    if number is None:
        Alias.objects.filter(model=model, name=name).delete()
    else:
        Alias.objects.update_or_create(model=model, name=name, defaults={"version_number": number, "seen_at": now})


def _found_moved(actor: Actor, model: Model, name: str, before: int | None, after: int | None, now: datetime) -> None:
    was = f"version {before}" if before else "nowhere"
    to = f"version {after}" if after else "nowhere"
    _close_findings(model, name, "Moved again outside mlorch.", now)
    summary = f"Alias {name} of {model.name} was moved from {was} to {to} outside mlorch."
    data = {"alias": name, "from": before, "to": after}
    Finding.objects.create(model=model, kind=ALIAS_MOVED, summary=summary, data=data, found_at=now)
    audit_record(actor, "alias.moved_outside", audit_subjects.of_model(model), data=data)
    publish("registry", "model.changed", {"model": model.name})


def _close_findings(model: Model, alias: str, resolution: str, now: datetime) -> int:
    """Close what was found about an alias and is not so any more; return how many."""
    open_ones = Finding.objects.filter(model=model, kind=ALIAS_MOVED, data__alias=alias, resolved_at=None)
    return open_ones.update(resolved_at=now, resolution=resolution)


@transaction.atomic
def finding_resolve(*, actor: Actor, finding: Finding, how: str) -> Finding:
    """Resolve a finding: `adopt` takes what was found as wanted, `revert` writes back what mlorch wants, `note` only
    closes it.

    Raises Conflict when it is resolved already, Invalid for another word.
    """
    actor.require(Action.MODEL_EDIT, [finding.model.scope])
    if how not in ("adopt", "revert", "note"):
        raise Invalid("A finding is resolved by adopt, revert or note.")
    now = clock.now()
    words = {"adopt": "Adopted", "revert": "Reverted", "note": "Noted"}
    resolution = f"{words[how]} by {actor.name}"
    is_open = finding.resolved_at is None
    if not is_open or not swap(finding, "resolved_at", resolved_at=now, resolution=resolution):
        raise Conflict("This finding is resolved already.")
    if finding.kind == ALIAS_MOVED and how != "note":
        intents = AliasIntent.objects.filter(model=finding.model, name=finding.data["alias"])
        if how == "adopt":
            number = finding.data["to"]
            version = finding.model.versions.filter(number=number, superseded_at=None).first()
            intents.update(version_number=number, version=version, applied_at=now, due_at=None)
        else:
            intents.update(applied_at=None, due_at=now, wanted_at=now)
    audit_record(actor, "finding.resolved", audit_subjects.of_finding(finding), data={"how": how})
    publish("registry", "model.changed", {"model": finding.model.name})
    finding.refresh_from_db()
    return finding
