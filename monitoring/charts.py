"""Rows → plotly figures as plain dicts, with the same numbers as a table and one sentence. Pure.

`PANELS` says what each chart shows; live pages hand it to static/js/charts.js, which draws the same from points as they arrive.
"""

import json
from dataclasses import dataclass
from typing import Any

from mlorch_site.lib import clock
from monitoring.selectors import Point

ARM_DASHES = {"stable": "solid", "candidate": "dash", "baseline": "dot", "shadow": "dashdot"}
TRANSPARENT = "rgba(0,0,0,0)"
GAP_S = (
    30  # where nothing was asked for that long (or for three points), a line is broken instead of drawn straight across
)


@dataclass(frozen=True)
class Line:
    """One line per arm: the value `key` of a point times `factor`. Without a `dash` of its own it has the arm's."""

    label: str
    key: str
    factor: float = 1
    dash: str = ""

    def value(self, point: Point) -> float | None:
        raw = getattr(point, self.key)
        return None if raw is None else raw * self.factor

    def dash_of(self, arm: str) -> str:
        return self.dash or ARM_DASHES.get(arm, "solid")

    def name_of(self, arm: str) -> str:
        return f"{arm} {self.label}".strip()


@dataclass(frozen=True)
class Panel:
    """A kind of chart. `spoken` is the line that the one sentence reads out; `limit_text` names the line of the guardrail.

    With `arms` only those are shown.
    """

    kind: str
    title: str
    lines: tuple[Line, ...]
    spoken: int = 0
    limit_text: str = ""
    arms: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """The head of the table twin."""
        return ["Time", "Arm", "Version", *(line.label or self.title for line in self.lines)]

    @property
    def spec(self) -> str:
        """The panel as JSON for the browser."""
        lines = [vars(line) for line in self.lines]
        known = {"title": self.title, "spoken": self.spoken, "limit_text": self.limit_text, "arms": self.arms}
        return json.dumps({**known, "lines": lines, "dashes": ARM_DASHES})


PANELS = (
    Panel("rate", "Requests per second", (Line("", "rate"),)),
    Panel(
        "latency",
        "Latency in ms",
        (Line("p50", "p50", dash="dot"), Line("p95", "p95", dash="solid"), Line("p99", "p99", dash="dash")),
        spoken=1,
        limit_text="SLO",
    ),
    Panel("errors", "Share of errors in %", (Line("", "error_share", 100),), limit_text="stable + margin"),
)
AGREEMENT = Panel(
    "agreement", "Agreeing answers in %", (Line("", "agreement_share", 100),), limit_text="wanted", arms=("shadow",)
)
BY_KIND = {panel.kind: panel for panel in (*PANELS, AGREEMENT)}


@dataclass(frozen=True)
class Marker:
    """A moment worth a line in a chart, with a short text. `t` is Unix time in seconds."""

    t: float
    text: str


@dataclass(frozen=True)
class Chart:
    """A figure for Plotly, and what stands for it where there is no picture."""

    panel: Panel
    figure: dict[str, Any]
    rows: list[list[str]]
    sentence: str


def chart(kind: str, points: list[Point], markers: list[Marker] | None = None, limit: float | None = None) -> Chart:
    """Return the chart of one kind. `limit` is the guardrail's line in the chart's unit."""
    panel = BY_KIND[kind]
    points = _shown(panel, points)
    traces = [
        _trace(arm, line, [point for point in points if point.arm == arm], index == panel.spoken)
        for arm in _arms(points)
        for index, line in enumerate(panel.lines)
    ]
    figure = {"data": traces, "layout": _layout(panel, markers or [], limit)}
    return Chart(panel, figure, table_rows(kind, points), summary_sentence(kind, points))


def _shown(panel: Panel, points: list[Point]) -> list[Point]:
    return [point for point in points if not panel.arms or point.arm in panel.arms]


def _arms(points: list[Point]) -> list[str]:
    """Return the arms, stable first."""
    return sorted({point.arm for point in points}, key=lambda arm: (arm != "stable", arm))


def _trace(arm: str, line: Line, points: list[Point], spoken: bool) -> dict[str, Any]:
    x: list[str] = []
    y: list[float | None] = []
    before: Point | None = None
    for point in points:
        if before and (point.start - before.start).total_seconds() > max(GAP_S, 3 * point.seconds):
            x.append(_x(before.start.timestamp() + before.seconds))
            y.append(None)
        x.append(_x(point.start.timestamp()))
        y.append(line.value(point))
        before = point
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": line.name_of(arm),
        "x": x,
        "y": y,
        "line": {"dash": line.dash_of(arm), "width": 2},
        "marker": {"size": 3},
        "meta": {"arm": arm, "spoken": spoken},
    }


def _x(t: float) -> str:
    """Return a moment as Plotly reads it: UTC, without a zone."""
    return clock.from_unix(t).replace(tzinfo=None).isoformat()


def _layout(panel: Panel, markers: list[Marker], limit: float | None) -> dict[str, Any]:
    shapes: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    for marker in markers:
        x = _x(marker.t)
        shapes.append(_line(x0=x, x1=x, yref="paper", y0=0, y1=1, dash="dot"))
        notes.append(_note(marker.text, x=x, yref="paper", y=1, xanchor="left"))
    if limit is not None:
        shapes.append(_line(xref="paper", x0=0, x1=1, y0=limit, y1=limit, dash="longdash"))
        notes.append(_note(panel.limit_text, xref="paper", x=1, y=limit, xanchor="right"))
    return {
        "paper_bgcolor": TRANSPARENT,
        "plot_bgcolor": TRANSPARENT,
        "xaxis": {"type": "date"},
        "yaxis": {"rangemode": "tozero", "title": {"text": panel.title}},
        "shapes": shapes,
        "annotations": notes,
    }


def _line(*, dash: str, **place: Any) -> dict[str, Any]:
    return {"type": "line", **place, "line": {"dash": dash, "width": 1}}


def _note(text: str, **place: Any) -> dict[str, Any]:
    return {"text": text, "showarrow": False, "yanchor": "bottom", **place}


def table_rows(kind: str, points: list[Point]) -> list[list[str]]:
    """Return the rows of the table that says the same as the chart, newest first."""
    lines = BY_KIND[kind].lines
    return [
        [f"{point.start:%H:%M:%S}", point.arm, str(point.version), *(_number(line.value(point)) for line in lines)]
        for point in reversed(points)
    ]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def summary_sentence(kind: str, points: list[Point]) -> str:
    """Return one sentence that says what the chart shows now."""
    panel = BY_KIND[kind]
    newest = {point.arm: point for point in points}
    if not newest:
        return f"{panel.title}: no requests yet."
    line = panel.lines[panel.spoken]
    parts = [f"{arm} {_number(line.value(newest[arm]))}" for arm in _arms(points)]
    return f"{panel.title}{f' ({line.label})' if line.label else ''}, newest: {', '.join(parts)}."
