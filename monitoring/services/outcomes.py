"""Outcomes: defined, ended, and taken in. A definition is recorded; what is reported is an observation, of which only
corrections leave a record.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from django.db import transaction

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Invalid
from mlorch_site.live.outbox import publish
from monitoring import limits
from monitoring.models import LargerIs, OutcomeDefinition, OutcomeKind, ReportedOutcome
from monitoring.services.alert_rules import place_lock
from monitoring.watched_endpoint import WatchedEndpoint

NAME_PATTERN = re.compile(r"[a-z][a-z0-9_\-]{0,39}")
UNIT_MAX_CHARS = 20


@dataclass(frozen=True)
class OutcomeWish:
    """What an outcome is to be. `low` and `high` are the bounds of a number; yes or no lies between 0 and 1."""

    name: str
    kind: str
    larger_is: str
    low: float = 0.0
    high: float = 1.0
    unit: str = ""


class Became(StrEnum):
    """What became of one reported outcome."""

    TAKEN = "taken"
    CORRECTED = "corrected"
    UNCHANGED = "unchanged"
    OLDER = "older"  # what is kept was observed later
    OF_ANOTHER_ARM = "of another arm"  # what is kept under its key was answered by another release


@dataclass(frozen=True)
class PlacedOutcome:
    """One outcome whose arm is known. `key` is a keyed digest of what it is about; `second` is when it was answered."""

    definition: OutcomeDefinition
    key: str
    arm: str
    version: int
    release: str
    second: int
    bucket: int | None
    value: float
    observed_at: datetime


def outcome_problems(wish: OutcomeWish) -> dict[str, str]:
    """Field → sentence for what is wrong with a wish."""
    found = {}
    if not NAME_PATTERN.fullmatch(wish.name):
        found["name"] = "A small letter, then up to 39 small letters, digits, - and _."
    if wish.kind not in OutcomeKind.values:
        found["kind"] = "binary or number."
    if wish.larger_is not in LargerIs.values:
        found["larger_is"] = "better or worse."
    bounds = (wish.low, wish.high)
    if not all(math.isfinite(bound) and abs(bound) <= limits.OUTCOME_BOUND_MAX for bound in bounds):
        found["high"] = f"Bounds are numbers up to {limits.OUTCOME_BOUND_MAX:g}."
    elif not wish.low < wish.high:
        found["high"] = "More than the lower bound: only what is bounded can be judged at any time."
    elif wish.kind == OutcomeKind.BINARY and bounds != (0.0, 1.0):
        found["high"] = "Yes or no is 1 or 0."
    if len(wish.unit) > UNIT_MAX_CHARS or not wish.unit.isprintable():
        found["unit"] = f"Up to {UNIT_MAX_CHARS} characters."
    return found


@transaction.atomic
def outcome_define(*, actor: Actor, place: WatchedEndpoint, wish: OutcomeWish) -> OutcomeDefinition:
    """Let an outcome be reported for an endpoint. The same again is harmless.

    Raises Forbidden, Invalid (details name the fields), and Conflict for a name that means something else already.
    """
    actor.require(Action.OBJECTIVE_EDIT, place.scopes)
    if problems := outcome_problems(wish):
        raise Invalid("The outcome cannot be defined like this.", details=problems)
    place_lock(place)
    known = place.outcomes().filter(name=wish.name).first()
    if known is not None:
        if asdict(wish) == {name: getattr(known, name) for name in asdict(wish)}:
            return known
        raise Conflict(f"{known} is {known.sentence}. End it first.")
    if place.outcomes().count() >= limits.OUTCOME_NAMES_MAX:
        raise Conflict(f"An endpoint has up to {limits.OUTCOME_NAMES_MAX} outcomes; end one first.")
    made = OutcomeDefinition.objects.create(
        **place.fields, **asdict(wish), created_at=clock.now(), created_by=actor.name
    )
    _record(actor, made, "outcome.defined", data=asdict(wish))
    return made


@transaction.atomic
def outcome_end(*, actor: Actor, definition: OutcomeDefinition, reason: str = "") -> OutcomeDefinition:
    """Take no more of an outcome; what came stays. Twice is harmless. Raises Forbidden."""
    actor.require(Action.OBJECTIVE_EDIT, definition.scopes)
    locked = OutcomeDefinition.objects.select_for_update(of=("self",)).select_related("environment", "model")
    found = locked.get(pk=definition.pk)
    if found.ended_at is None:
        definition_close(actor, found, reason)
    return found


def definition_close(actor: Actor, definition: OutcomeDefinition, reason: str) -> None:
    """End a definition that holds. Belongs into a transaction; that the actor may, whoever asks has found out."""
    definition.ended_at = clock.now()
    definition.save(update_fields=["ended_at"])
    _record(actor, definition, "outcome.ended", reason=reason)


def _record(
    actor: Actor, definition: OutcomeDefinition, action: str, *, reason: str = "", data: dict[str, object] | None = None
) -> None:
    subject = Subject("outcome", str(definition.pk), str(definition), tuple(definition.scopes))
    audit_record(actor, action, subject, reason=reason, data=data)
    topic = f"endpoint.{definition.environment.name}.{definition.endpoint}"
    publish(topic, "outcomes.changed", {"endpoint": definition.endpoint})


def value_problem(definition: OutcomeDefinition, value: object) -> str:
    """Why a reported value is none of this outcome, empty when it is one."""
    if definition.is_binary:
        return "" if isinstance(value, bool | int | float) and value in (0, 1) else "Yes or no is true, false, 1 or 0."
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not definition.low <= value <= definition.high:  # type: ignore[operator]
        return f"A number from {definition.low:g} to {definition.high:g}: what lies outside is not cut off but refused."
    return ""


@transaction.atomic
def outcomes_take(*, actor: Actor, reported: Sequence[PlacedOutcome]) -> list[Became]:
    """Take outcomes in, and say of each what became of it. Twice is harmless.

    One key has one outcome: the value that was observed last, whatever came first. Its arm stays what it was. Raises
    Forbidden, and Conflict when a definition ended meanwhile.
    """
    wanted = {one.definition.pk: one.definition for one in reported}
    for definition in wanted.values():
        actor.require(Action.OUTCOME_POST, definition.scopes)
    # Whoever reports for the same definition waits: keys are looked up and written by one at a time.
    locked = OutcomeDefinition.objects.select_for_update().filter(pk__in=wanted, ended_at=None).order_by("pk")
    if len(locked) != len(wanted):
        raise Conflict("An outcome was ended meanwhile; post the others again.")
    keys = {one.key for one in reported}
    known = {
        (row.definition_id, row.key): row for row in ReportedOutcome.objects.filter(definition__in=wanted, key__in=keys)
    }
    fresh: list[ReportedOutcome] = []
    changed: dict[int, ReportedOutcome] = {}
    said = [_take(one, actor, known, fresh, changed) for one in reported]
    ReportedOutcome.objects.bulk_create(fresh, batch_size=500)
    ReportedOutcome.objects.bulk_update(changed.values(), ["value", "observed_at", "corrections", "posted_by"])
    _record_corrections(actor, reported, said)
    return said


def _take(
    one: PlacedOutcome,
    actor: Actor,
    known: dict[tuple[UUID, str], ReportedOutcome],
    fresh: list[ReportedOutcome],
    changed: dict[int, ReportedOutcome],
) -> Became:
    row = known.get((one.definition.pk, one.key))
    if row is None:
        late_s = max(0.0, clock.now().timestamp() - one.second)
        row = ReportedOutcome(**vars(one), late_s=late_s, posted_by=actor.name)
        known[one.definition.pk, one.key] = row
        fresh.append(row)
        return Became.TAKEN
    if (row.arm, row.release) != (one.arm, one.release):
        return Became.OF_ANOTHER_ARM
    if one.observed_at < row.observed_at:
        return Became.OLDER
    if one.value == row.value:
        return Became.UNCHANGED
    row.value, row.observed_at, row.posted_by = one.value, one.observed_at, actor.name
    row.corrections += 1
    if row.pk:
        changed[row.pk] = row
    return Became.CORRECTED


def _record_corrections(actor: Actor, reported: Sequence[PlacedOutcome], said: Sequence[Became]) -> None:
    """A release may have been judged by what is corrected: who corrected how much of it stands in the record."""
    counts: dict[OutcomeDefinition, int] = {}
    for one, became in zip(reported, said, strict=True):
        if became is Became.CORRECTED:
            counts[one.definition] = counts.get(one.definition, 0) + 1
    for definition, count in counts.items():
        _record(actor, definition, "outcome.corrected", data={"outcomes": count})


def outcomes_forget(*, now: datetime) -> int:
    """Delete outcomes of requests that were answered long ago; return how many went."""
    oldest = int((now - limits.OUTCOMES_KEPT).timestamp())
    total = 0
    while pks := list(ReportedOutcome.objects.filter(second__lt=oldest).values_list("pk", flat=True)[:1000]):
        total += ReportedOutcome.objects.filter(pk__in=pks).delete()[0]
    return total
