"""The charts of a release: which there are, and what is marked on them."""

from typing import Any

from deployments.lifecycle import Phase
from deployments.models import Release, Rollout
from deployments.rollout.steps import Step, StepKind, steps_from_plan
from mlorch_site.lib import clock
from monitoring.analysis.guardrail_result import Unit
from monitoring.charts import AGREEMENT, PANELS, Band, Marker, Marks, Panel, finished, framed, led_by, with_line
from monitoring.selectors import series_of_span

QUANTILES = {"latency_p50": "P50", "latency_p95": "P95", "latency_p99": "P99"}
DECIDING_CHARTS = {
    "error_rate": "errors",
    "client_error_rate": "errors",
    "latency_over_slo": "latency",
    **dict.fromkeys(QUANTILES, "latency"),
}


def panels(release: Release, rollout: Rollout | None) -> tuple[Panel, ...]:
    """The charts of a release, that of the deciding guardrail first; one whose plan mirrors has that of the agreement
    too. The quantile that a guardrail judges is drawn from the beginning.
    """
    known: tuple[Panel, ...] = (*PANELS, AGREEMENT) if _mirror(release) else PANELS
    quantile = _quantile(release, rollout)
    if quantile:
        known = with_line(known, "latency", QUANTILES[quantile].lower())
    return led_by(known, DECIDING_CHARTS.get(_deciding_metric(release, rollout), ""))


def _deciding_metric(release: Release, rollout: Rollout | None) -> str:
    """The metric of the guardrail on which the verdict rests; before there is one, of the first that was asked for."""
    assessment = rollout.assessment if rollout else {}
    results = assessment.get("guardrails", [])
    decided = [row["metric"] for row in results if row.get("verdict") == assessment.get("verdict")]
    return str([*decided, *(row["metric"] for row in release.guardrails), ""][0])


def _mirror(release: Release) -> Step | None:
    return next((step for step in steps_from_plan(release.plan) if step.kind is StepKind.MIRROR), None)


def _quantile(release: Release, rollout: Rollout | None) -> str:
    """The metric of the guardrail whose quantile the chart of the latency marks: the deciding one, else the first;
    empty without any.
    """
    asked = [row["metric"] for row in release.guardrails if row["metric"] in QUANTILES]
    deciding = _deciding_metric(release, rollout)
    return deciding if deciding in QUANTILES else str([*asked, ""][0])


def marks(release: Release, rollout: Rollout | None) -> Marks:
    """What the charts of a release mark."""
    frame_from = None
    if release.started_at is not None:
        frame_from = framed(release.started_at, release.ended_at or clock.now())[0].timestamp()
    quantile = _quantile(release, rollout)
    bands, judged = _bands(_results(rollout), quantile)
    limits, texts = _limits(release, rollout), {}
    allowed = bands["latency"].high if "latency" in bands else None
    if allowed is not None and "latency" not in limits:
        limits["latency"], texts["latency"] = allowed, f"stable {QUANTILES[quantile]} + margin"
    names = {"latency": QUANTILES[quantile]} if quantile else {}
    return Marks(_markers(release), limits, bands, judged, frame_from, names, texts)


def _results(rollout: Rollout | None) -> dict[str, dict[str, Any]]:
    """What the judge found of each guardrail, by metric."""
    results = (rollout.assessment if rollout else {}).get("guardrails", [])
    return {row["metric"]: row for row in reversed(results)}


def _bands(results: dict[str, dict[str, Any]], quantile: str) -> tuple[dict[str, Band], dict[str, Band]]:
    """What the guardrails on errors (in percent) and on the `quantile` of the latency (in ms) allow, from the stable
    arm's figure up, and where the judge says that the candidate's is; nothing of what has not been compared.
    """
    bands, judged = {}, {}
    for kind, metric in (("errors", "error_rate"), ("latency", quantile)):
        row = results.get(metric, {})
        base = row.get("baseline_value" if row.get("unit") == Unit.MS else "baseline_share")
        if base is None:
            continue
        factor, most = (1.0, float("inf")) if row.get("unit") == Unit.MS else (100.0, 1.0)
        bands[kind] = Band(round(base * factor, 3), round((base + row["margin"]) * factor, 3))
        if row.get("interval_low") is not None or row.get("interval_high") is not None:
            judged[kind] = _interval(row, base, factor, most)
    return bands, judged


def _interval(row: dict[str, Any], base: float, factor: float, most: float) -> Band:
    """Between which figures the candidate's is, in the chart's unit: those of the interval of the difference, from 0 to
    `most`.
    """
    low, high = row.get("interval_low"), row.get("interval_high")
    least = 0.0 if low is None else min(max(base + low, 0.0), most)
    ends = None if high is None else round(min(max(base + high, 0.0), most) * factor, 3)
    return Band(round(least * factor, 3), ends)


def _markers(release: Release) -> list[Marker]:
    """The changes of weight and the way back."""
    found = []
    for event in release.events.filter(kind="rollout.step"):
        if event.new in (Phase.SHIFTING, Phase.PROMOTING):
            mirrored = event.data.get("mirror_pct", 0)
            share = f"mirror {mirrored} %" if mirrored else f"{event.data.get('weight_pct', 0)} %"
            found.append(Marker(event.at.timestamp(), share))
        elif event.new == Phase.REVERTING:
            found.append(Marker(event.at.timestamp(), "back"))
    return found


def _limits(release: Release, rollout: Rollout | None) -> dict[str, float]:
    """The guardrails' lines: the stable arm's error share plus the margin (in percent), and the SLO (in ms)."""
    limits: dict[str, float] = {}
    results = (rollout.assessment if rollout else {}).get("guardrails", [])
    judged = [row for row in results if row.get("method", "sequential") == "sequential"]
    shares = {row["metric"]: row.get("baseline_share") or 0.0 for row in judged}
    for row in release.guardrails:
        if row["metric"] == "error_rate" and "margin" in row:
            limits["errors"] = round((shares.get("error_rate", 0.0) + row["margin"]) * 100, 3)
        elif "slo_ms" in row:
            limits["latency"] = row["slo_ms"]
    if (mirror := _mirror(release)) and mirror.agreement_pct:
        limits["agreement"] = mirror.agreement_pct
    return limits


def finished_points(release: Release) -> dict[str, Any] | None:
    """What the charts of a rollout that is over show; None when it never began or its telemetry was let go."""
    if release.started_at is None or release.ended_at is None:
        return None
    since, until = framed(release.started_at, release.ended_at)
    endpoint = release.endpoint
    points = series_of_span(endpoint.environment.name, endpoint.name, since=since, until=until)
    return finished(points, since, until) if points else None
