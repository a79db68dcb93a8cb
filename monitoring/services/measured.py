"""Metrics of the user's own: the server of an environment, what it is asked, and what it said. What it said is an
observation and leaves no record.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from urllib.parse import urlencode

from django.db import transaction

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Invalid, Unavailable
from mlorch_site.lib.outgoing import check_url, get
from mlorch_site.lib.sealing import seal, unseal
from monitoring import limits
from monitoring.analysis.prometheus_answer import MetricValue, none_for, read_answer
from monitoring.models import MetricQuery, MetricReading, PrometheusServer
from monitoring.services.alert_rules import place_lock
from monitoring.services.outcomes import NAME_PATTERN
from monitoring.watched_endpoint import WatchedEndpoint
from registry.models import Environment

PLACEHOLDERS = frozenset({"endpoint", "environment", "arm", "version", "release"})
PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
FILLED = re.compile(r"[A-Za-z0-9\-]{1,80}")  # what fills a placeholder cannot end a text of the query
QUERY_MAX_CHARS = 1000
URL_MAX_CHARS = 300
TOKEN_MAX_CHARS = 4000
UNIT_MAX_CHARS = 20


@dataclass(frozen=True)
class MetricQueryWish:
    """What is to be asked. A value that is older than `stale_after_s` is none."""

    name: str
    query: str
    unit: str = ""
    stale_after_s: int = 120


@transaction.atomic
def prometheus_server_set(*, actor: Actor, environment: Environment, url: str, token: str = "") -> PrometheusServer:
    """Ask this server for the metrics of an environment; the one before it ends. An empty token is none.

    Raises Forbidden, Invalid for an address that may not be called.
    """
    actor.require(Action.POLICY_EDIT, [environment.scope])
    url, token = url.strip().rstrip("/"), token.strip()
    if len(url) > URL_MAX_CHARS or "?" in url or "#" in url:
        raise Invalid("The URL is one without a query.", details={"url": "no query"})
    if len(token) > TOKEN_MAX_CHARS or not (token.isascii() and token.isprintable()):
        raise Invalid("The token is ASCII text.", details={"token": "ASCII"})
    try:
        check_url(url)
    except Unavailable as error:
        raise Invalid(error.message, details={"url": error.message}) from error
    Environment.objects.select_for_update().get(pk=environment.pk)
    now = clock.now()
    PrometheusServer.objects.filter(environment=environment, ended_at=None).update(ended_at=now)
    sealed = seal(token) if token else ""
    made = PrometheusServer.objects.create(
        environment=environment, url=url, sealed_token=sealed, created_at=now, created_by=actor.name
    )
    subject = Subject("prometheus_server", str(made.pk), str(made), (environment.scope,))
    audit_record(actor, "prometheus_server.set", subject, data={"url": url, "has_token": bool(token)})
    return made


def query_problems(wish: MetricQueryWish) -> dict[str, str]:
    """Field → sentence for what is wrong with a wish."""
    found = {}
    if not NAME_PATTERN.fullmatch(wish.name):
        found["name"] = "A small letter, then up to 39 small letters, digits, - and _."
    unknown = set(PLACEHOLDER.findall(wish.query)) - PLACEHOLDERS
    if unknown or "{{" in PLACEHOLDER.sub("", wish.query) or "}}" in PLACEHOLDER.sub("", wish.query):
        found["query"] = f"The placeholders are {', '.join(sorted(f'{{{{{name}}}}}' for name in PLACEHOLDERS))}."
    elif not 0 < len(wish.query) <= QUERY_MAX_CHARS or not wish.query.isprintable():
        found["query"] = f"A query of up to {QUERY_MAX_CHARS} characters in one line."
    elif not {"arm", "version", "release"} & set(PLACEHOLDER.findall(wish.query)):
        found["query"] = "It has to ask for one arm: name {{arm}}, {{version}} or {{release}}."
    if len(wish.unit) > UNIT_MAX_CHARS or not wish.unit.isprintable():
        found["unit"] = f"Up to {UNIT_MAX_CHARS} characters."
    if not limits.METRIC_READ_EVERY_S <= wish.stale_after_s <= limits.METRIC_STALE_MAX_S:
        found["stale_after_s"] = f"{limits.METRIC_READ_EVERY_S} to {limits.METRIC_STALE_MAX_S} seconds."
    return found


@transaction.atomic
def metric_query_define(*, actor: Actor, place: WatchedEndpoint, wish: MetricQueryWish) -> MetricQuery:
    """Let a metric be asked for the arms of an endpoint. The same again is harmless.

    Raises Forbidden, Invalid (details name the fields), Conflict for a name that is taken.
    """
    actor.require(Action.OBJECTIVE_EDIT, place.scopes)
    if problems := query_problems(wish):
        raise Invalid("The metric cannot be asked for like this.", details=problems)
    place_lock(place)
    known = place.metric_queries().filter(name=wish.name).first()
    if known is not None:
        if asdict(wish) == {name: getattr(known, name) for name in asdict(wish)}:
            return known
        raise Conflict(f"{known} asks for something else. End it first.")
    if place.metric_queries().count() >= limits.METRIC_QUERIES_MAX:
        raise Conflict(f"An endpoint has up to {limits.METRIC_QUERIES_MAX} metrics; end one first.")
    made = MetricQuery.objects.create(**place.fields, **asdict(wish), created_at=clock.now(), created_by=actor.name)
    _record(actor, made, "metric_query.defined", asdict(wish))
    return made


@transaction.atomic
def metric_query_end(*, actor: Actor, query: MetricQuery, reason: str = "") -> MetricQuery:
    """Ask for a metric no more. Twice is harmless. Raises Forbidden."""
    actor.require(Action.OBJECTIVE_EDIT, query.scopes)
    rows = MetricQuery.objects.select_for_update(of=("self",)).select_related("environment", "model")
    found = rows.get(pk=query.pk)
    if found.ended_at is None:
        metric_query_close(actor, found, reason)
    return found


def metric_query_close(actor: Actor, query: MetricQuery, reason: str) -> None:
    """End a query that is asked. Belongs into a transaction; that the actor may, whoever asks has found out."""
    query.ended_at = clock.now()
    query.save(update_fields=["ended_at"])
    _record(actor, query, "metric_query.ended", {}, reason)


def _record(actor: Actor, query: MetricQuery, action: str, data: dict[str, object], reason: str = "") -> None:
    subject = Subject("metric_query", str(query.pk), str(query), tuple(query.scopes))
    audit_record(actor, action, subject, reason=reason, data=data)


def metric_read(*, query: MetricQuery, judged: str, named: Mapping[str, str], now: datetime) -> MetricReading:
    """Ask for one arm and keep what was said, also that nothing was. `named` fills the placeholders, `judged` is the
    release that rolls out.

    The server is asked outside of any transaction.
    """
    found = _asked(query, named, now)
    measured_at = None if found.at is None else clock.from_unix(found.at)
    return MetricReading.objects.create(
        query=query,
        release=judged,
        arm=named["arm"],
        read_at=now,
        measured_at=measured_at,
        value=found.value,
        reason=found.reason[:300],
    )


def _asked(query: MetricQuery, named: Mapping[str, str], now: datetime) -> MetricValue:
    server = PrometheusServer.objects.filter(environment=query.environment_id, ended_at=None).first()
    if server is None:
        return none_for("No Prometheus server is set for the environment.")
    if not all(FILLED.fullmatch(value) for value in named.values()):
        return none_for("A name has characters that a query cannot take.")
    text = PLACEHOLDER.sub(lambda found: named[found.group(1)], query.query)
    asked = urlencode({"query": text, "lookback_delta": f"{query.stale_after_s}s", "timeout": "5s"})
    try:
        headers = {"Authorization": f"Bearer {unseal(server.sealed_token)}"} if server.sealed_token else {}
        status, body = get(f"{server.url}/api/v1/query?{asked}", headers)
    except Unavailable as error:
        return none_for(error.message)
    return read_answer(status, body, now=clock.now().timestamp(), stale_after_s=query.stale_after_s)


def readings_forget(*, now: datetime) -> int:
    """Delete old readings; return how many went."""
    return MetricReading.objects.filter(read_at__lt=now - limits.READINGS_KEPT).delete()[0]
