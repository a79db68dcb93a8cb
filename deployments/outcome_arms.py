"""Which arm answered what an outcome is about: by the release that the gateway's answer named, or by the unit as the
gateways computed it. Either way it must have had traffic then.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dataplane.wire.route_table import STABLE
from dataplane.wire.unit_buckets import buckets_of, owner_of
from deployments.models import Endpoint, Release, TrafficChange
from deployments.rollout.steps import StepKind, steps_from_plan
from mlorch_site.lib.errors import Invalid

# From a change of the traffic until the last gateway obeys it, and between the clocks of a client and the site.
AROUND = timedelta(seconds=10)


@dataclass(frozen=True)
class ArmShare:
    """One arm of an endpoint's traffic at some time."""

    arm: str
    weight_pct: int
    release: str


@dataclass(frozen=True)
class Answerer:
    """The arm that answered, with the evidence bucket of the unit, None without a unit."""

    arm: str
    release: str
    version: int
    bucket: int | None


@dataclass(frozen=True)
class TrafficSplit:
    """How an endpoint's traffic was split from `since` on, in the order of the route table."""

    since: datetime
    arms: tuple[ArmShare, ...]

    @property
    def salt(self) -> str:
        """What units are assigned by: the leading release, as in the route table."""
        return self.arms[0].release


class TrafficThen:
    """The splits of one endpoint over a span, read at once (a constant number of queries)."""

    def __init__(self, endpoint: Endpoint, first: datetime, last: datetime) -> None:
        changes = TrafficChange.objects.filter(endpoint=endpoint, at__lte=last + AROUND)
        before = changes.filter(at__lte=first - AROUND).order_by("-id").values_list("pk", flat=True).first()
        rows = changes.filter(pk__gte=before) if before else changes
        self._splits = [TrafficSplit(row.at, _in_table_order(row)) for row in rows.order_by("id")]
        ids = {arm.release for split in self._splits for arm in split.arms}
        releases = list(Release.objects.filter(pk__in=ids).values_list("pk", "version__number", "plan"))
        self._versions = {str(pk): number for pk, number, _ in releases}
        self._choosing = {str(pk) for pk, _, plan in releases if _chooses(plan)}

    def answered(self, at: datetime, *, unit: str = "", release: str = "", version: int | None = None) -> Answerer:
        """Who answered at `at`. A unit's arm is computed, so that it stays with the arm it was assigned to; without a
        unit the release says it. Raises Invalid with what is wrong.
        """
        splits = [split for split in self._around(at) if split.arms]
        if not splits:
            raise Invalid("The endpoint served nothing at this time.", details={"at": "nothing served"})
        if unit and not release and any(split.arms[0].release in self._choosing for split in splits):
            raise Invalid(
                "Some requests were sent to the new version by choice at this time, so a unit does not tell the arm; "
                "name the release too.",
                details={"release": "needed"},
            )
        owners = [(split.salt, arm) for split in splits for arm in _owners(split, unit, release)]
        if not owners:
            raise Invalid(_why_not(unit), details={"release": "had no such traffic"})
        if len({arm.release for _, arm in owners}) > 1:
            raise Invalid(
                "The traffic was shifted around this time, so the arm cannot be told; name the release too.",
                details={"at": "traffic shifted"},
            )
        # A release that was promoted around then has been two arms: it counts for the one that it was, or was first.
        salt, owner = owners[-1] if splits[-1].since <= at else owners[0]
        if version is not None and version != self._versions[owner.release]:
            raise Invalid("The release had another version.", details={"version": "not that of the release"})
        bucket = buckets_of(salt, unit)[1] if unit else None
        return Answerer(owner.arm, owner.release, self._versions[owner.release], bucket)

    def _around(self, at: datetime) -> Iterable[TrafficSplit]:
        """The splits that some gateway may have obeyed at `at`."""
        for split, following in zip(self._splits, [*self._splits[1:], None], strict=True):
            if split.since <= at + AROUND and (following is None or following.since >= at - AROUND):
                yield split


def _chooses(plan: dict[str, Any]) -> bool:
    """Whether a plan sends requests to the candidate by what they are, whatever its weight is."""
    return any(step.kind is StepKind.TARGET for step in steps_from_plan(plan))


def _why_not(unit: str) -> str:
    if unit:
        return "The unit was answered by another release at this time."
    return "This release had no traffic of the endpoint at this time."


def _owners(split: TrafficSplit, unit: str, release: str) -> list[ArmShare]:
    """The arms of a split that may have answered: the one of the unit, or without a unit those with traffic."""
    if unit:
        arms = [owner_of(split.arms, buckets_of(split.salt, unit)[0])]
    else:
        arms = [arm for arm in split.arms if arm.weight_pct]
    return [arm for arm in arms if release in ("", arm.release)]


def _in_table_order(change: TrafficChange) -> tuple[ArmShare, ...]:
    """The arms as the route table has them for its choice: those that take the lowest buckets first."""
    rows: Sequence[dict[str, object]] = sorted(change.arms, key=lambda row: row["arm"] == STABLE)
    return tuple(ArmShare(str(row["arm"]), int(str(row["weight_pct"])), str(row["release"])) for row in rows)
