"""Outcomes that clients post: read, given to the arm that answered, and taken in; each row for itself."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from deployments.models import Endpoint
from deployments.outcome_arms import TrafficThen
from deployments.outcome_rows import OutcomeRow, read_row
from deployments.selectors import endpoints_visible_to
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Forbidden, Invalid, NotFound
from mlorch_site.lib.sealing import keyed_digest
from monitoring import limits
from monitoring.models import OutcomeDefinition
from monitoring.services import Became, PlacedOutcome, outcomes_take
from monitoring.services.outcomes import value_problem

type_Place = tuple[str, str]


@dataclass(frozen=True)
class RowResult:
    """What became of one posted row: `status` is one of `Became`, or `refused` with the reason and the fields."""

    status: str
    reason: str = ""
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Against:
    """What the rows of one endpoint are read against."""

    endpoint: Endpoint
    definitions: dict[str, OutcomeDefinition]
    traffic: TrafficThen


@transaction.atomic
def outcomes_post(*, actor: Actor, rows: list[Any]) -> list[RowResult]:
    """Take in the outcomes that can be, and say of each row in its place what became of it.

    Twice is harmless. Raises Invalid for too many rows or endpoints.
    """
    if not 0 < len(rows) <= limits.OUTCOMES_PER_POST_MAX:
        raise Invalid(f"1 to {limits.OUTCOMES_PER_POST_MAX} outcomes.", details={"outcomes": "too many or none"})
    now = clock.now()
    results: list[RowResult | None] = [None] * len(rows)
    read: dict[int, OutcomeRow] = {}
    for index, row in enumerate(rows):
        try:
            read[index] = read_row(row, now)
        except Invalid as error:
            results[index] = RowResult("refused", error.message, error.details)
    known = _known(actor, read.values())
    reported: dict[int, PlacedOutcome] = {}
    for index, one in read.items():
        try:
            reported[index] = _reported(actor, one, known.get((one.environment, one.endpoint)))
        except (Invalid, NotFound, Forbidden) as error:
            results[index] = RowResult("refused", error.message, error.details)
    for index, taken in zip(reported, outcomes_take(actor=actor, reported=[*reported.values()]), strict=True):
        results[index] = _result(taken)
    return [result for result in results if result is not None]


def _result(taken: Became) -> RowResult:
    if taken is Became.OF_ANOTHER_ARM:
        sentence = "An outcome of it was taken already, of another release; what answered it does not change."
        return RowResult("refused", sentence, {"release": sentence})
    return RowResult(taken.value)


def _known(actor: Actor, rows: Iterable[OutcomeRow]) -> dict[type_Place, _Against]:
    """What is known of the endpoints of the rows that the actor may see."""
    by_place: dict[type_Place, list[OutcomeRow]] = defaultdict(list)
    for row in rows:
        by_place[row.environment, row.endpoint].append(row)
    if len(by_place) > limits.OUTCOME_PLACES_MAX:
        said = f"The outcomes of up to {limits.OUTCOME_PLACES_MAX} endpoints are posted together."
        raise Invalid(said, details={"outcomes": "too many endpoints"})
    environments, names = {place[0] for place in by_place}, {place[1] for place in by_place}
    seen = endpoints_visible_to(actor).filter(environment__name__in=environments, name__in=names)
    definitions: dict[type_Place, dict[str, OutcomeDefinition]] = defaultdict(dict)
    held = OutcomeDefinition.objects.filter(environment__name__in=environments, endpoint__in=names, ended_at=None)
    for one in held.select_related("environment", "model"):
        definitions[one.environment.name, one.endpoint][one.name] = one
    found = {}
    for endpoint in seen:
        place = endpoint.environment.name, endpoint.name
        if own := by_place.get(place):
            traffic = TrafficThen(endpoint, min(row.at for row in own), max(row.at for row in own))
            found[place] = _Against(endpoint, definitions[place], traffic)
    return found


def _reported(actor: Actor, row: OutcomeRow, known: _Against | None) -> PlacedOutcome:
    """The row as monitoring takes it. Raises Invalid, NotFound, Forbidden."""
    if known is None:
        raise NotFound(f"There is no endpoint {row.environment}/{row.endpoint}.", details={"endpoint": "unknown"})
    actor.require(Action.OUTCOME_POST, known.endpoint.scopes)
    definition = known.definitions.get(row.name)
    if definition is None:
        raise NotFound(f"{known.endpoint} has no outcome {row.name}.", details={"name": "unknown"})
    if problem := value_problem(definition, row.value):
        raise Invalid(problem, details={"value": problem})
    answerer = known.traffic.answered(row.at, unit=row.unit, release=row.release, version=row.version)
    about = f"request:{row.request_id}" if row.request_id else f"unit:{answerer.release}:{answerer.arm}:{row.unit}"
    return PlacedOutcome(
        definition=definition,
        key=keyed_digest(f"outcome:{definition.pk}:{about}"),
        arm=answerer.arm,
        version=answerer.version,
        release=answerer.release,
        second=int(row.at.timestamp()),
        bucket=answerer.bucket,
        value=float(row.value),  # type: ignore[arg-type]
        observed_at=row.observed_at,
    )
