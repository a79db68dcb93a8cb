"""A metric of the user's own that Prometheus answers (`prometheus:<name>`): a bound of the candidate's value, or of how
much it lies above the stable version's.
"""

from dataclasses import replace

from deployments.models import Release
from deployments.rollout.guardrails.guardrail_kind import GuardrailLook, LookedAtKind, type_Row
from deployments.rollout.strategies.fields import number, only_keys
from mlorch_site.lib.errors import Invalid
from monitoring import limits
from monitoring.analysis.guardrail_result import Ground, GuardrailResult, Method, Unit
from monitoring.analysis.verdicts import Verdict
from monitoring.models import MetricQuery, MetricReading
from monitoring.services.outcomes import NAME_PATTERN

PREFIX = "prometheus:"
BOUNDS = ("max", "min", "margin")
IN_A_ROW = 3  # readings that break the bound, or keep to it, before it is believed


class PrometheusGuardrail(LookedAtKind):
    """One of `max`, `min` (of the candidate's value) and `margin` (of candidate minus stable) is named."""

    metric = PREFIX

    def matches(self, metric: str) -> bool:
        """Whether a row with this metric is asked of Prometheus."""
        return metric.startswith(PREFIX)

    def read(self, row: type_Row, where: str) -> type_Row:
        """The guardrail. Raises Invalid."""
        only_keys(row, {"metric", *BOUNDS}, where)
        if not NAME_PATTERN.fullmatch(_name(row)):
            said = "prometheus: and the name of a metric that the endpoint has"
            raise Invalid(f"{where}.metric must be {said}.", details={f"{where}.metric": said})
        named = [bound for bound in BOUNDS if bound in row]
        if len(named) != 1:
            raise Invalid(f"{where} needs one of max, min, margin.", details={where: "one of max, min, margin"})
        [bound] = named
        most = limits.OUTCOME_BOUND_MAX
        value = number(row, bound, where, above=0 if bound == "margin" else -most, below=most)
        return {"metric": row["metric"], bound: value}

    def sentence(self, guardrail: type_Row) -> str:
        """The guardrail as people read it."""
        if "margin" in guardrail:
            return f"{_name(guardrail)} at most {guardrail['margin']:g} above the stable version's, by Prometheus"
        way = "at most" if "max" in guardrail else "at least"
        return f"{_name(guardrail)} {way} {_bound(guardrail):g}, by Prometheus"

    def label(self, guardrail: type_Row) -> str:
        """What is looked at, in words."""
        return _name(guardrail)

    def why_not_here(self, guardrail: type_Row, environment: str, endpoint: str) -> str:
        """Why it cannot be judged at an endpoint, empty when it can."""
        found = _query(environment, endpoint, _name(guardrail))
        if found is None or found.ended_at is not None:
            return f"{environment}/{endpoint} has no metric {_name(guardrail)}; define it first."
        return ""

    def measure(self, guardrail: type_Row, environment: str, endpoint: str) -> type_Row:
        """The query that is asked now."""
        query = _query(environment, endpoint, _name(guardrail))
        if query is None:
            return {}
        sentence = f"{_name(guardrail)} is {query.query}, no older than {query.stale_after_s} s"
        return {"definition": str(query.pk), "sentence": sentence}

    def looked_at(self, guardrail: type_Row, look: GuardrailLook) -> GuardrailResult:
        """What the newest readings say. Two queries."""
        query = metric_query_of(look.release, guardrail["metric"])
        rows: list[MetricReading] = []
        if query is not None:
            kept = MetricReading.objects.filter(query=query, release=str(look.release.pk), read_at__gte=look.since)
            rows = list(kept.order_by("-id")[: IN_A_ROW * 2])
        candidate = [row for row in rows if row.arm == look.candidate_arm][:IN_A_ROW]
        baseline = [row for row in rows if row.arm == look.baseline_arm][:IN_A_ROW]
        result = self._numbers(guardrail, candidate, baseline)
        if reason := _why_no_data(query, candidate, baseline if "margin" in guardrail else None, look):
            said = f"{self.label(guardrail)}: {reason} No data is no pass."
            return _with(result, Verdict.NO_DATA, said)
        beyond = [self._beyond(guardrail, *pair) for pair in zip(candidate, baseline or candidate, strict=False)]
        shown = f"{self.label(guardrail)} is {candidate[0].value:,.4g}"
        beside = f"; stable {baseline[0].value:,.4g}" if baseline and baseline[0].value is not None else ""
        text = f"{shown}{beside}. The bound: {self.sentence(guardrail)}."
        if len(beyond) == IN_A_ROW and all(beyond):
            return _with(result, Verdict.HARMFUL, f"{text} Broken at {IN_A_ROW} readings in a row.")
        if len(beyond) == IN_A_ROW and not any(beyond):
            return _with(result, Verdict.HEALTHY, f"{text} Kept.")
        return _with(result, Verdict.INCONCLUSIVE, f"{text} Not {IN_A_ROW} readings in a row agree yet.")

    def _beyond(self, guardrail: type_Row, candidate: MetricReading, baseline: MetricReading) -> bool:
        value, other = float(candidate.value or 0), float(baseline.value or 0)
        if "margin" in guardrail:
            return value - other > _bound(guardrail)
        return value > _bound(guardrail) if "max" in guardrail else value < _bound(guardrail)

    def _numbers(
        self, guardrail: type_Row, candidate: list[MetricReading], baseline: list[MetricReading]
    ) -> GuardrailResult:
        value = candidate[0].value if candidate else None
        other = baseline[0].value if baseline else None
        return GuardrailResult(
            guardrail["metric"],
            self.label(guardrail),
            _bound(guardrail),
            unit=Unit.NUMBER,
            method=Method.THRESHOLD,
            candidate_n=len(candidate),
            baseline_n=len(baseline),
            candidate_value=value,
            baseline_value=other,
            difference=None if value is None or other is None else value - other,
        )


def _with(result: GuardrailResult, verdict: Verdict, sentence: str) -> GuardrailResult:
    ground = Ground.LIMIT if verdict is Verdict.HARMFUL else Ground.NONE
    return replace(result, verdict=verdict, ground=ground, sentence=sentence)


def _why_no_data(
    query: MetricQuery | None,
    candidate: list[MetricReading],
    baseline: list[MetricReading] | None,
    look: GuardrailLook,
) -> str:
    """Why there is nothing to judge by, empty when there is: each arm needs a newest reading that is one."""
    if query is None:
        return "the endpoint has no such metric."
    if query.ended_at is not None:
        return "it was ended while the release waited for it."
    for arm, rows in (("candidate", candidate), ("stable version", baseline)):
        if rows is None:
            continue
        if not rows:
            return f"nothing was read for the {arm} yet."
        if (look.now - rows[0].read_at).total_seconds() > query.stale_after_s:
            return f"the newest reading for the {arm} is too old."
        if missing := next((row for row in rows if row.value is None), None):
            return f"of the {arm}: {missing.reason}"
    return ""


def metric_query_of(release: Release, metric: str) -> MetricQuery | None:
    """What Prometheus is asked for a guardrail of a release: the query that its plan was frozen with."""
    kept = release.plan.get("measures", {}).get(metric)
    if kept:
        return MetricQuery.objects.select_related("environment", "model").filter(pk=kept["definition"]).first()
    return _query(release.endpoint.environment.name, release.endpoint.name, metric.removeprefix(PREFIX))


def _name(row: type_Row) -> str:
    return str(row["metric"]).removeprefix(PREFIX)


def _bound(row: type_Row) -> float:
    return float(next(row[bound] for bound in BOUNDS if bound in row))


def _query(environment: str, endpoint: str, name: str) -> MetricQuery | None:
    """The one that is asked, else the last that was."""
    rows = MetricQuery.objects.select_related("environment", "model").filter(
        environment__name=environment, endpoint=endpoint, name=name
    )
    return rows.order_by("-created_at").first()
