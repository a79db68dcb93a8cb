"""Counts of sampled requests in, plans of how to count out; and where references come from."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from dataplane.wire import drift_report, shapes
from dataplane.wire.columns import columns_of_data
from dataplane.wire.drift_report import DriftPlace, DriftPlan, DriftReport, LearnedColumns
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Invalid
from mlorch_site.live.outbox import publish
from monitoring.drift.reference_features import ReferenceFeature, features_of
from monitoring.models import DriftReference, DriftWindow
from monitoring.watched_endpoint import WatchedEndpoint
from registry.models import Version

EXAMPLE_ROWS_MAX = 1000
LEARNED_MIN = 200  # requests that a reference is learned from
LATE_MAX = timedelta(hours=2)
FUTURE_MAX = timedelta(minutes=2)


@dataclass(frozen=True)
class SampledPlace:
    """A version at an endpoint, as the site knows it."""

    endpoint: WatchedEndpoint
    version: Version


type_Places = Mapping[DriftPlace, SampledPlace]


@transaction.atomic
def drift_report_store(*, gateway: str, report: DriftReport, places: type_Places, now: datetime) -> list[DriftPlan]:
    """Store what a gateway counted, and say how it is to count the places it asks about. `places` are those that exist;
    of others nothing is stored. The same report again changes nothing.

    Raises Invalid when a clock is wrong.
    """
    for window in report.windows:
        if not now - LATE_MAX <= clock.from_unix(window.start) <= now + FUTURE_MAX:
            raise Invalid("start is too far from the site's clock.", details={"windows": "see docs/wire.md"})
        if window.place in places:
            _window_store(gateway, report.boot, window)
    for learned in report.learned:
        if learned.place in places:
            _learn(places[learned.place], learned, f"{gateway} {report.boot}", report.sequence)
    return [_plan(place, places[place], now) for place in report.places if place in places]


def _window_store(gateway: str, boot: str, window: drift_report.DriftWindow) -> None:
    """Keep the larger of what is known of a window and what is said: it only grows."""
    values = shapes.plain(window)
    place = values.pop("place")
    counts = {name: values.pop(name) for name in ("requests", "answers", "unread", "inputs", "predictions")}
    key = {**values, **place, "gateway": gateway, "boot": boot, "start": clock.from_unix(window.start)}
    key["version"] = int(window.place.version)
    known, is_new = DriftWindow.objects.select_for_update().get_or_create(**key, defaults=counts)
    if not is_new and known.requests < window.requests:
        DriftWindow.objects.filter(pk=known.pk).update(**counts)


def _plan(place: DriftPlace, sampled: SampledPlace, now: datetime) -> DriftPlan:
    number = sampled.version.number
    known = {row.version: row for row in _references(sampled.endpoint, (0, number))}
    inputs = known.get(number) or _from_example(sampled, now)
    predictions = known.get(0) or _learning(sampled.endpoint, 0, "gateway", now)
    return DriftPlan(
        place,
        f"{inputs.digest if inputs else ''}.{predictions.digest}",
        [feature.plan for feature in inputs.known_features()] if inputs else [],
        [feature.plan for feature in predictions.known_features()],
        learns_inputs=bool(inputs and inputs.is_learning),
        learns_predictions=predictions.is_learning,
    )


def _references(endpoint: WatchedEndpoint, versions: tuple[int, ...]) -> "list[DriftReference]":
    rows = DriftReference.objects.filter(environment=endpoint.environment, endpoint=endpoint.name)
    return list(rows.filter(version__in=versions))


def _learning(endpoint: WatchedEndpoint, version: int, by: str, now: datetime) -> DriftReference:
    values = {"source": "learned", "is_learning": True, "created_at": now, "created_by": by, "model": endpoint.model}
    row, _ = DriftReference.objects.get_or_create(
        environment=endpoint.environment, endpoint=endpoint.name, version=version, defaults=values
    )
    return row


def _from_example(sampled: SampledPlace, now: datetime) -> DriftReference | None:
    """A reference made of the input example that the version froze; None when it has none that can be read."""
    example = sampled.version.evidence.get("input_example")
    try:
        features = features_of(columns_of_data(example, EXAMPLE_ROWS_MAX))
    except ValueError:
        return None
    if not features:
        return None
    values = {"source": "example", "created_at": now, "created_by": "gateway", "model": sampled.endpoint.model}
    row, _ = DriftReference.objects.get_or_create(
        environment=sampled.endpoint.environment,
        endpoint=sampled.endpoint.name,
        version=sampled.version.number,
        defaults=values | _frozen(features),
    )
    return row


def _frozen(features: list[ReferenceFeature]) -> dict[str, Any]:
    rows = [
        {"plan": shapes.plain(one.plan), "counts": shapes.plain(one.counts), "labels": list(one.labels)}
        for one in features
    ]
    counts = (one.counts for one in features)
    digest = hashlib.sha256(json.dumps([row["plan"] for row in rows]).encode()).hexdigest()[:16]
    most = max(sum(one.bins) + one.missing + one.wrong for one in counts)
    return {"features": rows, "rows": most, "digest": digest}


def _learn(sampled: SampledPlace, learned: LearnedColumns, sender: str, sequence: int) -> None:
    """Add the first values to a reference that is learned; with enough of them it is frozen, and the values go."""
    version = 0 if learned.is_predictions else sampled.version.number
    rows = DriftReference.objects.select_for_update().filter(is_learning=True, version=version)
    row = rows.filter(environment=sampled.endpoint.environment, endpoint=sampled.endpoint.name).first()
    if row is None or row.learning.get("heard", {}).get(sender, 0) >= sequence:
        return
    held: dict[str, list[Any]] = row.learning.get("columns") or {name: [] for name in learned.columns}
    longest = max((len(values) for values in learned.columns.values()), default=0)
    for name, values in held.items():
        more = learned.columns.get(name, [])
        values += [*more, *[None] * (longest - len(more))]
    heard = {**row.learning.get("heard", {}), sender: sequence}
    row.learning = {"columns": held, "heard": heard}
    if max((len(values) for values in held.values()), default=0) >= LEARNED_MIN and (features := features_of(held)):
        row.learning, row.is_learning = {}, False
        for name, value in _frozen(features).items():
            setattr(row, name, value)
    row.save()


@transaction.atomic
def drift_reference_learn(*, actor: Actor, place: WatchedEndpoint, version: Version, reason: str = "") -> None:
    """Take the next sampled requests as the reference of a version's inputs, instead of the one it has. Twice at
    once is one. Raises Forbidden.
    """
    actor.require(Action.OBJECTIVE_EDIT, place.scopes)
    now = clock.now()
    row = _learning(place, version.number, actor.name, now)
    DriftReference.objects.filter(pk=row.pk).update(
        source="learned",
        is_learning=True,
        learning={},
        features=[],
        rows=0,
        digest="",
        created_at=now,
        created_by=actor.name,
    )
    subject = Subject("drift_reference", str(row.pk), str(row), tuple(place.scopes))
    data = {"version": version.number, "requests": LEARNED_MIN}
    audit_record(actor, "drift_reference.relearned", subject, reason=reason, data=data)
    publish(f"endpoint.{place.environment.name}.{place.name}", "drift_reference.relearned", data)
