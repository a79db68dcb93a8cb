"""The board: models × environments. What each place serves, how it does, since when and by whom. Reads the database, as
often for many places as for one.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Q, QuerySet

from deployments.lifecycle import RELEASE_LOOKS, Look, Phase, ReleaseStatus
from deployments.models import Endpoint, EndpointArm, Release, Replica, ReplicaState
from deployments.selectors import INCIDENT_HOURS, LIVE, NOT_LISTED, OPEN, endpoints_visible_to
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.lib import clock
from monitoring.analysis.guardrail_result import SafetyLimits
from monitoring.selectors import Summary, totals
from registry.models import Environment, Model
from registry.selectors import models_visible_to

MINUTES = 10  # the span of the figures
PAGE_SIZE = 20  # models

GOING_BACK = Look("Going back", "red", "arrow-back-up")
OWN_EMERGENCIES = ("approval__emergency__used_by", "restores__approval__emergency__used_by")
EMERGENCIES = tuple(f"stable_release__{path}" for path in OWN_EMERGENCIES)
SERVES_NOTHING = Look("Serves nothing yet", "secondary", "ban")
NOT_READY = Look("No replica is ready", "red", "alert-triangle")
FAILING = Look("Failing", "red", "alert-triangle")
NO_TRAFFIC = Look("No traffic", "secondary", "activity")
SERVING = Look("Serving", "green", "circle-check")


@dataclass(frozen=True)
class Place:
    """One endpoint on the board.

    `stable` and `candidate` are its arms as wanted, `figures` those of the last `MINUTES`, `health` one word for how it
    does. `open` is its release under way, `taken_back` the newest one that was taken back within `INCIDENT_HOURS`.
    """

    endpoint: Endpoint
    stable: EndpointArm | None
    candidate: EndpointArm | None
    figures: Summary
    health: Look
    open: Release | None
    taken_back: Release | None

    @property
    def since(self) -> datetime | None:
        """Since when the stable version has all of the stable traffic."""
        release = self.endpoint.stable_release
        return release.ended_at if release else None


@dataclass(frozen=True)
class Cell:
    """A model in an environment. `may_request` tells whether the person may ask for a release there."""

    environment: Environment
    places: list[Place]
    may_request: bool


@dataclass(frozen=True)
class Row:
    """A model with one cell for each environment."""

    model: Model
    cells: list[Cell]


@dataclass
class _Facts:
    """What is read once for all endpoints of a page."""

    figures: dict[tuple[str, str], Summary]
    ready: set[tuple[int, str, int, object]]  # version, digest, serving config, endpoint
    open: dict[object, Release] = field(default_factory=dict)
    taken_back: dict[object, Release] = field(default_factory=dict)


def models_on_board(actor: Actor) -> QuerySet[Model]:
    """The models with an endpoint in use that the actor may see; those with a release under way come first."""
    endpoints = endpoints_visible_to(actor).filter(model=OuterRef("pk"), retired_at=None)
    # A set that is made once, not a question of each model: SQLite would look through all that move for every one.
    moving = Release.objects.filter(status__in=LIVE).order_by().values("endpoint__model")
    on_board = models_visible_to(actor).filter(Exists(endpoints))
    return on_board.annotate(is_moving=Q(pk__in=moving)).order_by("-is_moving", "name")


def rows_of(actor: Actor, models: Iterable[Model], environments: list[Environment]) -> list[Row]:
    """The board's rows of these models with a cell for each of `environments`, as the actor may see them."""
    models = list(models)
    found = endpoints_visible_to(actor).filter(model__in=models, retired_at=None)
    endpoints = list(
        found.select_related("stable_release__requester", *EMERGENCIES).prefetch_related("arms__version__model")
    )
    facts = _facts_of(endpoints)
    places: dict[tuple[int, int], list[Place]] = defaultdict(list)
    for endpoint in endpoints:
        places[endpoint.model_id, endpoint.environment_id].append(_place(endpoint, facts))
    return [
        Row(model, [_cell(actor, model, where, places[model.pk, where.pk]) for where in environments])
        for model in models
    ]


def _cell(actor: Actor, model: Model, environment: Environment, places: list[Place]) -> Cell:
    return Cell(environment, places, actor.may(Action.RELEASE_REQUEST, [environment.scope, model.scope]))


def _facts_of(endpoints: list[Endpoint]) -> _Facts:
    born: dict[tuple[str, str], datetime | None] = {
        (endpoint.environment.name, endpoint.name): endpoint.created_at for endpoint in endpoints
    }
    facts = _Facts(totals(born, minutes=MINUTES), _ready(endpoints))
    since = clock.now() - timedelta(hours=INCIDENT_HOURS)
    went_back = Q(status=ReleaseStatus.ROLLED_BACK, ended_at__gte=since)
    releases = Release.objects.filter(Q(status__in=OPEN) | went_back, endpoint__in=endpoints)
    # Later ones win: of the open ones that which moves traffic, of those taken back the newest.
    rows = releases.select_related("version", "rollout", *OWN_EMERGENCIES).defer(*NOT_LISTED)
    for release in rows.order_by("ended_at"):
        if release.status == ReleaseStatus.ROLLED_BACK:
            facts.taken_back[release.endpoint_id] = release
        elif release.endpoint_id not in facts.open or release.status in LIVE:
            facts.open[release.endpoint_id] = release
    return facts


def _ready(endpoints: list[Endpoint]) -> set[tuple[int, str, int, object]]:
    ready = ReplicaState.objects.filter(state="ready").values("replica_id")
    replicas = Replica.objects.filter(endpoint__in=endpoints, wanted=True, pk__in=ready)
    return set(replicas.values_list("version_id", "digest", "serving_config_id", "endpoint_id"))


def _place(endpoint: Endpoint, facts: _Facts) -> Place:
    arms = {arm.arm: arm for arm in endpoint.arms.all()}
    figures = facts.figures[endpoint.environment.name, endpoint.name]
    release = facts.open.get(endpoint.pk)
    return Place(
        endpoint=endpoint,
        stable=arms.get("stable"),
        candidate=arms.get("candidate"),
        figures=figures,
        health=_health(endpoint, release, figures, facts.ready),
        open=release,
        taken_back=facts.taken_back.get(endpoint.pk),
    )


def _health(
    endpoint: Endpoint, release: Release | None, figures: Summary, ready: set[tuple[int, str, int, object]]
) -> Look:
    stable, limits = endpoint.stable_release, SafetyLimits()
    is_ready = stable is not None and (
        (stable.version_id, stable.digest, stable.serving_config_id, endpoint.pk) in ready
    )
    if stable is not None and not is_ready:
        return NOT_READY
    if figures.requests >= limits.min_requests and (figures.error_share or 0) >= limits.error_share:
        return FAILING
    if release is not None and release.status in LIVE:
        is_back = release.rollout.phase == Phase.REVERTING
        return GOING_BACK if is_back else RELEASE_LOOKS[ReleaseStatus(release.status)]
    if stable is None:
        return SERVES_NOTHING
    return SERVING if figures.requests else NO_TRAFFIC
