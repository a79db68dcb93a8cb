"""What is shown of endpoints, releases and replicas, to whom. Everything here reads the database."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Count, Q, QuerySet

from deployments.delivery import ended_after_approval
from deployments.lifecycle import LIVE_STATUSES, OPEN_STATUSES, ReleaseStatus
from deployments.models import Endpoint, GatewayKey, PlanSimulation, Release, Replica, ReplicaState, ServingConfig
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import User
from mlorch_site.accounts.roles import EVERYWHERE, Action, Role
from mlorch_site.accounts.selectors import in_scopes
from mlorch_site.lib import clock
from mlorch_site.lib.errors import NotFound
from registry.approvals import selectors as approvals
from registry.models import ApprovalRequest, Environment, Model, Policy, Version
from registry.operators import is_left_to
from registry.version_lifecycle import is_blocked, why_out_of_use

INCIDENT_HOURS = 24
OVERVIEW_ROWS = 10
# What may be large and no list shows.
NOT_LISTED = ("version__manifest", "version__evidence", "version__signature", "rollout__judge")
OPEN = sorted(status.value for status in OPEN_STATUSES)
LIVE = sorted(status.value for status in LIVE_STATUSES)

T = TypeVar("T")
M = TypeVar("M", bound=models.Model)


def _in_scopes(actor: Actor, prefix: str = "") -> Q:
    """The filter for rows whose endpoint (`prefix` leads to it) lies in an environment or model the actor may see."""
    return in_scopes(actor, environment=f"{prefix}environment__name", model=f"{prefix}model__name")


def endpoints_visible_to(actor: Actor) -> QuerySet[Endpoint]:
    """The endpoints this actor may see, with environment, model and stable release."""
    rows = Endpoint.objects.select_related(
        "environment",
        "model",
        "stable_release__version",
        "stable_release__approval__emergency__used_by",
        "stable_release__restores__approval__emergency__used_by",
    )
    return rows.filter(_in_scopes(actor)) if actor.may_anywhere(Action.VIEW) else rows.none()


def endpoint_for(actor: Actor, environment: str, name: str, *, action: Action = Action.VIEW) -> Endpoint:
    """One endpoint. Hidden and missing look the same (NotFound); visible but not allowed is Forbidden."""
    endpoint = endpoints_visible_to(actor).filter(environment__name=environment, name=name).first()
    if endpoint is None:
        raise NotFound(f"There is no endpoint {environment}/{name}.")
    actor.require(action, endpoint.scopes)
    return endpoint


def releases_visible_to(actor: Actor) -> QuerySet[Release]:
    """The releases this actor may see, newest first, with what a list shows."""
    rows = Release.objects.select_related(
        "endpoint__environment",
        "endpoint__model",
        "version__model",
        "requester",
        "rollout",
        "replaces__version",
        "approval__emergency__used_by",
        "restores__approval__emergency__used_by",
    )
    return rows.filter(_in_scopes(actor, "endpoint__")) if actor.may_anywhere(Action.VIEW) else rows.none()


def release_for(actor: Actor, release_id: str | UUID, *, action: Action = Action.VIEW) -> Release:
    """One release. Hidden and missing look the same (NotFound); visible but not allowed is Forbidden."""
    try:
        release = releases_visible_to(actor).filter(pk=release_id).first()
    except (ValidationError, ValueError):
        release = None
    if release is None:
        raise NotFound("There is no such release.")
    actor.require(action, release.scopes)
    return release


def original_of(release: Release) -> Release:
    """The release whose version a rollback restored, or the release itself."""
    while release.kind == "rollback" and release.restores is not None:
        release = release.restores
    return release


def rollback_target(endpoint: Endpoint) -> Release | None:
    """The release that a rollback of the stable version returns to: the newest earlier one whose version is not
    blocked; None when there is none.
    """
    earlier = islice(earlier_releases(endpoint), settings.ROLLBACKS_KEPT)
    return next((release for release in earlier if not is_blocked(release.version, release.digest)), None)


def why_no_rollback_target(endpoint: Endpoint) -> str:
    """Why a rollback would have nothing to return to, empty when it has something."""
    newest = next(earlier_releases(endpoint), None)
    if newest is None:
        return "There is no earlier version to roll back to."
    if rollback_target(endpoint) is not None:
        return ""
    return f"A rollback would go back to it: {why_out_of_use(newest.version)}"


def earlier_releases(endpoint: Endpoint) -> Iterator[Release]:
    """What rolling the endpoint back again and again would return to, newest first.

    After a rollback that is what the restored release itself had replaced: it goes further back, never up again.
    """
    release = endpoint.stable_release
    while release is not None and (replaced := original_of(release).replaces) is not None:
        release = original_of(replaced)
        yield release


def plan_editors(endpoint: Endpoint, config: ServingConfig) -> set[int]:
    """The keys of the people who wrote the serving config that a release would bring, as far as it is another than what
    serves: each revision goes on from the one before, so all of them since then.
    """
    stable = endpoint.stable_release
    written = endpoint.configs.filter(revision__lte=config.revision)
    if stable is not None:
        written = written.filter(revision__gt=stable.serving_config.revision)
    names = written.values("created_by")
    return set(User.objects.filter(username__in=names).values_list("pk", flat=True))


def live_release(endpoint: Endpoint) -> Release | None:
    """The release that is rolling out (or paused) on the endpoint, if any."""
    return endpoint.releases.filter(status__in=LIVE).select_related("rollout", "version").first()


def simulation_for(actor: Actor, pk: UUID) -> PlanSimulation:
    """One simulation of an endpoint that the actor may see. Hidden and missing look the same (NotFound)."""
    rows = PlanSimulation.objects.select_related("endpoint__environment", "endpoint__model")
    found = rows.filter(pk=pk, endpoint__in=endpoints_visible_to(actor)).first()
    if found is None:
        raise NotFound("There is no such simulation.")
    return found


def open_release(endpoint: Endpoint) -> Release | None:
    """The open release of the endpoint, if any; one that is rolling out comes first."""
    rows = list(endpoint.releases.filter(status__in=OPEN).select_related("rollout", "version__model"))
    return min(rows, key=lambda release: release.status not in LIVE, default=None)


@dataclass(frozen=True)
class ReplicaRow:
    """Goal and observation of one replica, joined. `state` is `pending` while no agent has reported it."""

    replica: Replica
    observed: ReplicaState | None
    arm: str

    @property
    def state(self) -> str:
        return self.observed.state if self.observed else "pending"

    @property
    def message(self) -> str:
        return self.observed.message if self.observed else ""

    @property
    def profile(self) -> dict[str, Any]:
        """How its worker answers; empty while that is not known, and of a worker too old to say it."""
        profile = self.observed.profile if self.observed else {}
        return profile if profile.get("reason") else {}

    @property
    def purpose(self) -> str:
        """Why the replica runs: the arm it serves, `kept warm`, or `draining`."""
        if not self.replica.wanted:
            return "stopping"
        if self.replica.keep_until is not None:
            return "kept warm"
        return "draining" if self.replica.removed_from_routes_at else self.arm or "starting"


def replicas_of(endpoint: Endpoint) -> list[ReplicaRow]:
    """The endpoint's replicas with what their agents last reported."""
    arms = list(endpoint.arms.select_related("release"))
    replicas = list(endpoint.replicas.select_related("version", "serving_config"))
    states = ReplicaState.objects.in_bulk([replica.pk for replica in replicas])
    serving = {row.pk: next((arm.arm for arm in arms if row.answers_for(arm)), "") for row in replicas}
    return [ReplicaRow(row, states.get(row.pk), serving[row.pk]) for row in replicas]


def sandboxes_of(release: Release) -> list[str]:
    """The levels of the sandboxes in which a release's version runs at its endpoint now (reads the database)."""
    replicas = Replica.objects.filter(endpoint=release.endpoint, version=release.version)
    states = ReplicaState.objects.filter(pk__in=replicas.values("pk")).exclude(sandbox="")
    return sorted(set(states.values_list("sandbox", flat=True)))


@dataclass(frozen=True)
class Served:
    """A version that was the stable one of an endpoint from `since` until `until` (None: still)."""

    release: Release
    version: Version
    since: datetime
    until: datetime | None


def served_history(endpoint: Endpoint) -> list[Served]:
    """What the endpoint served as its stable version, newest first."""
    succeeded = endpoint.releases.filter(status=ReleaseStatus.SUCCEEDED, ended_at__isnull=False)
    releases = list(succeeded.select_related("version__model", "requester").order_by("-ended_at"))
    ends: list[datetime | None] = [None, *(release.ended_at for release in releases)]
    return [
        Served(release, release.version, since, until)
        for release, until in zip(releases, ends, strict=False)
        if (since := release.ended_at) is not None
    ]


def gateway_keys_visible_to(actor: Actor) -> QuerySet[GatewayKey]:
    """The gateway keys, for those who manage keys wherever the key opens something (reads the places of all for a
    scoped actor).
    """
    if actor.may(Action.KEY_MANAGE):
        return GatewayKey.objects.all()
    places = GatewayKey.objects.values_list("pk", "environments")
    mine = [pk for pk, names in places if names and all(_may_manage_keys(actor, name) for name in names)]
    return GatewayKey.objects.filter(pk__in=mine)


def _may_manage_keys(actor: Actor, environment: str) -> bool:
    return environment != EVERYWHERE and actor.may(Action.KEY_MANAGE, [Environment.scope_of(environment)])


def replica_states_visible_to(actor: Actor) -> QuerySet[ReplicaState]:
    """What agents reported of the replicas of endpoints that the actor may see."""
    visible = Replica.objects.filter(_in_scopes(actor, "endpoint__"))
    return ReplicaState.objects.filter(replica_id__in=visible.values("pk"))


@dataclass(frozen=True)
class Shortened(Generic[T]):
    """The first rows of a list that may be long. `total` counts all of it."""

    rows: list[T]
    total: int

    @property
    def left_out(self) -> int:
        return self.total - len(self.rows)


def shortened(rows: QuerySet[M]) -> "Shortened[M]":
    """The first `OVERVIEW_ROWS` of a query, and how many there are (reads the database)."""
    return Shortened(list(rows[:OVERVIEW_ROWS]), rows.count())


@dataclass(frozen=True)
class Waiting:
    """What waits for one person: approvals that need a decision of theirs, rollouts that somebody must resume or
    promote.
    """

    approvals: Shortened[ApprovalRequest]
    releases: Shortened[Release]

    @property
    def count(self) -> int:
        return self.approvals.total + self.releases.total


def held_for(actor: Actor) -> list[UUID]:
    """The keys of the rollouts that wait for somebody to resume or promote them and that the actor may, by roles and by
    the policy's operators; newest first.

    It is the same for all of one policy in which the actor holds the same roles, so it is asked once for those.
    """
    held = releases_visible_to(actor).filter(
        Q(status=ReleaseStatus.PAUSED) | Q(status=ReleaseStatus.ROLLING_OUT, rollout__phase="holding")
    )
    rows = list(held.values_list("pk", "endpoint__environment__name", "endpoint__model__name", "policy"))
    operators = dict(Policy.objects.filter(pk__in={row[-1] for row in rows}).values_list("pk", "operators"))
    answers: dict[tuple[int, frozenset[Role]], bool] = {}
    mine = []
    for pk, environment, model, policy in rows:
        scopes = [Environment.scope_of(environment), Model.scope_of(model)]
        key = policy, frozenset(actor.roles_in(scopes))
        if key not in answers:
            answers[key] = _may_go_on(actor, scopes, operators[policy])
        if answers[key]:
            mine.append(pk)
    return mine


def _may_go_on(actor: Actor, scopes: list[str], operators: dict[str, list[str]]) -> bool:
    acts = {"pause": Action.RELEASE_PAUSE, "promote": Action.RELEASE_PROMOTE}
    roles = actor.roles_in(scopes)
    return any(actor.may(act, scopes) and is_left_to(operators, name, roles) for name, act in acts.items())


@dataclass(frozen=True)
class Overview:
    """What the first page shows."""

    waiting: Waiting
    active: Shortened[Release]
    pending: Shortened[Release]
    incidents: Shortened[Release]
    counts: dict[str, Any]


def overview(actor: Actor) -> Overview:
    """The first page's content: what waits, what moves, what went wrong in the last 24 hours.

    Each list is read as keys, and the rows of all of them at once: what a row shows is joined from ten tables, and many
    releases are in several lists.
    """
    releases = releases_visible_to(actor)
    since = clock.now() - timedelta(hours=INCIDENT_HOURS)
    ended = Q(ended_at__gte=since)
    bad = Q(status__in=[ReleaseStatus.ROLLED_BACK, ReleaseStatus.FAILED]) | Q(kind="rollback")
    parts = {
        "active": Q(status__in=LIVE),
        "pending": Q(status__in=sorted(set(OPEN) - set(LIVE))),
        "incidents": ended & bad,
    }
    keys = {
        name: list(releases.filter(part).values_list("pk", flat=True)[:OVERVIEW_ROWS]) for name, part in parts.items()
    }
    mine = held_for(actor)
    known = releases.defer(*NOT_LISTED).in_bulk({*mine[:OVERVIEW_ROWS], *(pk for own in keys.values() for pk in own)})
    counts = releases.filter(Q(status__in=OPEN) | ended).aggregate(
        **{name: Count("pk", filter=part) for name, part in parts.items()},
        succeeded=Count("pk", filter=ended & Q(status=ReleaseStatus.SUCCEEDED, kind="release")),
        cleared=Count("pk", filter=ended & ended_after_approval()),
        rolled_back=Count("pk", filter=ended & Q(status=ReleaseStatus.ROLLED_BACK)),
        rollbacks=Count("pk", filter=ended & Q(kind="rollback")),
    )
    lists = {name: Shortened(_found(known, own), counts.pop(name)) for name, own in keys.items()}
    held = Shortened(_found(known, mine[:OVERVIEW_ROWS]), len(mine))
    waiting = Waiting(approvals=shortened(approvals.waiting_for(actor)), releases=held)
    return Overview(waiting=waiting, counts=counts, **lists)


def _found(known: dict[UUID, Release], keys: list[UUID]) -> list[Release]:
    return [known[pk] for pk in keys if pk in known]
