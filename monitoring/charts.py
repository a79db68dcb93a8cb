"""Rows → plotly figures as plain dicts, with the same numbers as a table and one sentence. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mlorch_site.lib import clock
from monitoring.selectors import Point

KINDS = ("rate", "latency", "errors")
TITLES = {"rate": "Requests per second", "latency": "Latency in ms", "errors": "Share of errors in %"}
DASHES = {"stable": "solid", "candidate": "dash", "baseline": "dot", "shadow": "dashdot"}
QUANTILE_DASHES = {"p50": "dot", "p95": "solid", "p99": "dash"}


@dataclass(frozen=True)
class Marker:
    """A moment worth a line in a chart, with a short text. `t` is Unix time in seconds."""

    t: float
    text: str


@dataclass(frozen=True)
class Chart:
    """A figure for Plotly, and what stands for it where there is no picture."""

    figure: dict[str, Any]
    columns: list[str]
    rows: list[list[str]]
    sentence: str


def _values(kind: str) -> list[tuple[str, Callable[[Point], float | None]]]:
    if kind == "rate":
        return [("", lambda point: point.rate)]
    if kind == "errors":
        return [("", lambda point: None if point.error_share is None else point.error_share * 100)]
    return [("p50", lambda point: point.p50), ("p95", lambda point: point.p95), ("p99", lambda point: point.p99)]


def chart(kind: str, points: list[Point], markers: list[Marker] | None = None, limit: float | None = None) -> Chart:
    """Return the chart of one kind. `limit` is the guardrail's line in the chart's unit."""
    arms = sorted({point.arm for point in points}, key=lambda arm: (arm != "stable", arm))
    traces = []
    for arm in arms:
        own = [point for point in points if point.arm == arm]
        for label, value in _values(kind):
            dash = QUANTILE_DASHES.get(label, DASHES.get(arm, "solid"))
            traces.append(_trace(arm, label, dash, own, value))
    figure = {"data": traces, "layout": _layout(kind, markers or [], limit)}
    columns, rows = table_of(kind, points)
    return Chart(figure, columns, rows, sentence_of(kind, points))


def _trace(
    arm: str, label: str, dash: str, points: list[Point], value: Callable[[Point], float | None]
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": f"{arm} {label}".strip(),
        "x": [point.start.isoformat() for point in points],
        "y": [value(point) for point in points],
        "line": {"dash": dash, "width": 2},
        "meta": {"arm": arm},
    }


def _layout(kind: str, markers: list[Marker], limit: float | None) -> dict[str, Any]:
    shapes: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    for marker in markers:
        x = clock.from_unix(marker.t).isoformat()
        shapes.append(
            {"type": "line", "x0": x, "x1": x, "yref": "paper", "y0": 0, "y1": 1, "line": {"dash": "dot", "width": 1}}
        )
        notes.append(
            {
                "x": x,
                "yref": "paper",
                "y": 1,
                "text": marker.text,
                "showarrow": False,
                "xanchor": "left",
                "yanchor": "bottom",
            }
        )
    if limit is not None:
        shapes.append(
            {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": limit, "y1": limit, "line": {"dash": "longdash"}}
        )
    return {
        "title": {"text": TITLES[kind]},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "yaxis": {"rangemode": "tozero"},
        "shapes": shapes,
        "annotations": notes,
    }


def table_of(kind: str, points: list[Point]) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of the table that says the same as the chart, newest first."""
    names = [label or TITLES[kind] for label, _ in _values(kind)]
    rows = [
        [
            f"{point.start:%H:%M:%S}",
            point.arm,
            str(point.version),
            *(_number(value(point)) for _, value in _values(kind)),
        ]
        for point in reversed(points)
    ]
    return ["Time", "Arm", "Version", *names], rows


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def sentence_of(kind: str, points: list[Point]) -> str:
    """Return one sentence that says what the chart shows now."""
    newest: dict[str, Point] = {point.arm: point for point in points}
    if not newest:
        return f"{TITLES[kind]}: no requests yet."
    label, value = _values(kind)[-2 if kind == "latency" else 0]
    parts = [f"{arm} {_number(value(point))}" for arm, point in sorted(newest.items(), reverse=True)]
    return f"{TITLES[kind]}{f' ({label})' if label else ''}, newest: {', '.join(parts)}."
