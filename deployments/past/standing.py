"""How endpoints stood at an instant: which arms had which share of the traffic, out of the changes of their traffic."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from django.db.models import Min, OuterRef, Q, Subquery

from deployments.models import Endpoint, Release, TrafficChange
from deployments.past.provenance import Provenance, provenances
from registry.models import Version


@dataclass(frozen=True)
class ArmThen:
    """One arm, with the release that had brought its version."""

    arm: str
    weight_pct: int
    mirror_pct: int
    brought_by: Provenance

    @property
    def version(self) -> Version:
        return self.brought_by.release.version

    @property
    def digest(self) -> str:
        """The digest that the release had frozen: of the files which served."""
        return self.brought_by.release.digest


@dataclass(frozen=True)
class EndpointStanding:
    """How an endpoint stood. `change` is the newest change of its traffic by then, None where none is recorded:
    `kept_since` is when the first one was, if ever.

    `stable` is what an automatic rollback would have returned to; `open` are the releases that had not ended.
    """

    endpoint: Endpoint
    change: TrafficChange | None
    arms: tuple[ArmThen, ...]
    stable: Provenance | None
    open: tuple[Provenance, ...]
    kept_since: datetime | None = None

    @property
    def retired_at(self) -> datetime | None:
        return self.change.at if self.change and self.change.is_retired else None

    @property
    def candidate_weight(self) -> int:
        return sum(arm.weight_pct for arm in self.arms if arm.arm == "candidate")

    @property
    def why_derived(self) -> str:
        """That the shares were not recorded by themselves; empty when they were."""
        if self.change is None or not self.change.is_derived:
            return ""
        return f"The shares of {self.endpoint} are derived from the histories of its releases."


def standings(endpoints: Collection[Endpoint], instant: datetime) -> list[EndpointStanding]:
    """How these endpoints stood at `instant` (reads the database, whatever their number a constant number of times)."""
    changes = _changes(endpoints, instant)
    arms = {arm["release"] for change in changes.values() for arm in change.arms}
    stables = {str(change.stable_release_id) for change in changes.values() if change.stable_release_id}
    known = provenances(arms | stables | _not_ended(endpoints, instant), instant)
    firsts = _firsts([endpoint for endpoint in endpoints if endpoint.pk not in changes])
    stood = [_standing(endpoint, changes.get(endpoint.pk), known, instant) for endpoint in endpoints]
    return [replace(one, kept_since=firsts.get(one.endpoint.pk)) for one in stood]


def _changes(endpoints: Collection[Endpoint], instant: datetime) -> dict[object, TrafficChange]:
    newest = TrafficChange.objects.filter(endpoint=OuterRef("pk"), at__lte=instant).order_by("-id").values("pk")[:1]
    rows = Endpoint.objects.filter(pk__in=[endpoint.pk for endpoint in endpoints])
    found = TrafficChange.objects.filter(pk__in=rows.values_list(Subquery(newest)))
    return {change.endpoint_id: change for change in found}


def _firsts(endpoints: Collection[Endpoint]) -> dict[object, datetime]:
    """Endpoint → the moment of its first change that is kept."""
    rows = TrafficChange.objects.filter(endpoint__in=[endpoint.pk for endpoint in endpoints]).order_by()
    return dict(rows.values("endpoint").annotate(first=Min("at")).values_list("endpoint", "first"))


def _not_ended(endpoints: Collection[Endpoint], instant: datetime) -> set[str]:
    """The ids of the endpoints' releases that had been requested by `instant` and had not ended."""
    here = Release.objects.filter(endpoint__in=[endpoint.pk for endpoint in endpoints], created_at__lte=instant)
    rows = here.filter(Q(ended_at=None) | Q(ended_at__gt=instant))
    return {str(pk) for pk in rows.order_by().values_list("pk", flat=True)}


def _standing(
    endpoint: Endpoint, change: TrafficChange | None, known: dict[str, Provenance], instant: datetime
) -> EndpointStanding:
    arms = change.arms if change else []
    return EndpointStanding(
        endpoint=endpoint,
        change=change,
        arms=tuple(ArmThen(a["arm"], a["weight_pct"], a["mirror_pct"], known[a["release"]]) for a in arms),
        stable=known.get(str(change.stable_release_id)) if change else None,
        open=tuple(one for one in known.values() if _is_open(one, endpoint, instant)),
    )


def _is_open(one: Provenance, endpoint: Endpoint, instant: datetime) -> bool:
    ended_at = one.release.ended_at
    return one.release.endpoint_id == endpoint.pk and (ended_at is None or ended_at > instant)
