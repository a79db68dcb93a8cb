"""The report of a period: how releases went that ended in it, what was an exception, what serving cost, and why
releases did not come through. It is put together at once, and stays when a person freezes it.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from django.db.models import QuerySet

from deployments.delivery import DEFINITIONS, Durations, Share, delivery
from deployments.lifecycle import ReleaseStatus
from deployments.models import Endpoint, Release, Report
from deployments.reports.document import FORMAT
from deployments.selectors import endpoints_visible_to, releases_visible_to
from deployments.serving_cost import COST_RESTS_ON, serving_cost
from mlorch_site.accounts.actor import Actor
from mlorch_site.lib.errors import NotFound
from mlorch_site.lib.hashing import settled
from mlorch_site.lib.readable import is_text
from monitoring.spans import Span
from registry.models import Environment, Model
from registry.selectors import environment_for, model_for

PERIOD = "period"
SHARES = ("promotion", "change_failure")
TIMES = ("lead_time", "restore")
RELEASES_MAX = 500  # that a report names one by one
CAUSES_MAX = 10
CAUSE_MAX_CHARS = 160
BAD_ENDS = (ReleaseStatus.ROLLED_BACK, ReleaseStatus.FAILED, ReleaseStatus.REJECTED, ReleaseStatus.ABORTED)


@dataclass(frozen=True)
class PeriodWish:
    """What a report of a period is about: a span, and an environment and a model where it is not about all."""

    span: Span
    environment: Environment | None = None
    model: Model | None = None

    @property
    def scopes(self) -> list[str]:
        return [part.scope for part in (self.environment, self.model) if part is not None]


def period_wish(actor: Actor, query: Mapping[str, str], span: Span) -> PeriodWish:
    """What an address asks for. Raises NotFound for an environment or a model that the actor does not see, and for what
    no name can be.
    """
    environment, model = query.get("environment", ""), query.get("model", "")
    if not is_text(environment + model):
        raise NotFound("There is no environment and no model of such a name.")
    return PeriodWish(
        span,
        environment_for(actor, environment) if environment else None,
        model_for(actor, model) if model else None,
    )


def figure_lines(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The figures of a period as rows of a table: what, how much, of how many."""
    words = {name: name.replace("_", " ") for name in (*SHARES, *TIMES)}
    return [
        *(_line(words[name], document[name]["value"], document[name]["whole"]) for name in SHARES),
        *(_line(f"{words[name]}, median s", document[name]["median_s"], document[name]["n"]) for name in TIMES),
        *(_line(f"ended: {status.replace('_', ' ')}", count) for status, count in document["outcomes"].items()),
        *(_line(f"exception: {kind}", count) for kind, count in document["exceptions"]["deviations"].items()),
        _line("replica-hours", document["cost"]["replica_hours"]),
        _line("cost", document["cost"]["amount"]),
    ]


def _line(figure: str, value: float | None, n: int | None = None) -> dict[str, Any]:
    return {"figure": figure, "value": value, "n": n}


def why_not_whole(actor: Actor, wish: PeriodWish) -> str:
    """Why the actor does not see all that a report would be about, empty when it does: a report says nothing of what
    was left out of it.
    """
    seen = actor.visible_scopes()
    if seen is None or seen & set(wish.scopes):
        return ""
    return "You do not see all of that; choose an environment or a model that you see all of."


def period_document(actor: Actor, wish: PeriodWish) -> dict[str, Any]:
    """The report of a period as JSON-able values, of what the actor may see (reads the database)."""
    ended, endpoints = _ended(actor, wish), _endpoints(actor, wish)
    went = delivery(ended, [wish.span])[0]
    rows: list[Any] = list(
        ended.order_by("-ended_at").values("pk", "kind", "status", "status_reason", "ended_at", "version__number")
    )
    document: dict[str, Any] = settled(
        {
            "format": FORMAT,
            "kind": PERIOD,
            "span": {"since": wish.span.since.isoformat(), "until": wish.span.until.isoformat()},
            "about": {
                "environment": wish.environment.name if wish.environment else None,
                "model": wish.model.name if wish.model else None,
            },
            "definitions": DEFINITIONS,
            "promotion": _share(went.promotion),
            "change_failure": _share(went.change_failure),
            "lead_time": _durations(went.lead_time),
            "restore": _durations(went.restore),
            "outcomes": dict(Counter(row["status"] for row in rows)),
            "exceptions": _exceptions(ended),
            "cost": _cost(endpoints, wish.span),
            "causes": _causes(rows),
            "releases": [_release(row) for row in rows[:RELEASES_MAX]],
            "releases_total": len(rows),
        }
    )
    return document


def _ended(actor: Actor, wish: PeriodWish) -> QuerySet[Release]:
    rows = releases_visible_to(actor).select_related(None)
    rows = rows.filter(ended_at__gte=wish.span.since, ended_at__lt=wish.span.until)
    rows = rows.filter(endpoint__environment=wish.environment) if wish.environment else rows
    return rows.filter(endpoint__model=wish.model) if wish.model else rows


def _endpoints(actor: Actor, wish: PeriodWish) -> QuerySet[Endpoint]:
    rows = endpoints_visible_to(actor).select_related(None)
    rows = rows.filter(environment=wish.environment) if wish.environment else rows
    return rows.filter(model=wish.model) if wish.model else rows


def _share(share: Share) -> dict[str, Any]:
    return {**asdict(share), "value": share.value}


def _durations(durations: Durations) -> dict[str, Any]:
    return asdict(durations)


def _release(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "release": str(row["pk"]),
        "kind": row["kind"],
        "version": row["version__number"],
        "status": row["status"],
        "ended_at": row["ended_at"].isoformat(),
        "sentence": row["status_reason"],
    }


def _exceptions(ended: QuerySet[Release]) -> dict[str, Any]:
    """Deviations of the reports of these releases by kind, and how many reports are too old to name theirs."""
    told = Report.objects.filter(release__in=ended.order_by().values("pk"))
    kinds: Counter[str] = Counter()
    silent = 0
    for deviations in told.values_list("document__deviations", flat=True):
        if deviations is None:
            silent += 1
        kinds.update(one["kind"] for one in deviations or [])
    return {"deviations": dict(kinds.most_common()), "not_told": silent}


def _causes(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What most releases that did not come through ended of: the begin of the sentence, up to its first full stop."""
    bad = [row for row in rows if row["kind"] == "release" and row["status"] in BAD_ENDS]
    counts = Counter((row["status"], _cause(row["status_reason"])) for row in bad)
    return [
        {"status": status, "cause": cause, "count": count} for (status, cause), count in counts.most_common(CAUSES_MAX)
    ]


def _cause(sentence: str) -> str:
    return sentence.split(":")[0].split(". ")[0][:CAUSE_MAX_CHARS]


def _cost(endpoints: QuerySet[Endpoint], span: Span) -> dict[str, Any]:
    found = serving_cost(endpoints, span.since, span.until)
    amounts = {"amount": round(found.amount, 4), "replica_hours": round(found.replica_hours, 4)}
    return amounts | {"rests_on": COST_RESTS_ON}
