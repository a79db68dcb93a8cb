"""Charts of reports as SVG, drawn on the server out of the figures that a report froze. Pure but for marking HTML safe.

Each has a title and a sentence for who does not see it; the numbers stand in a table beside them.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from monitoring.charts import ARMS, GAP_S

WIDTH, HEIGHT = 400, 200
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 30, 26
SHADOW = "shadow"
# Contrast with white paper and with the dark theme is above 3 for each.
COLOURS = ("#2f7dd1", "#cf6d0a", "#2b8a57", "#a355c4")
DASHES = {"solid": "", "dash": "7 3", "dot": "2 3", "dashdot": "8 3 2 3", "longdash": "12 4"}
TICKS = 4
LEGEND_LINE = 11
MARK_TEXT_WIDTH = 26
STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400)
PLACES = 2

type_Points = list[tuple[float, float | None]]


@dataclass(frozen=True)
class Curve:
    """One line: points by seconds since the rollout began; None is a gap. `is_step` holds a value until the next."""

    name: str
    colour: str
    dash: str
    points: type_Points
    is_step: bool = False


@dataclass(frozen=True)
class ReportChart:
    """One chart: what it shows, in which unit, and `marks` (seconds and a short text)."""

    key: str
    title: str
    unit: str
    curves: tuple[Curve, ...]
    marks: tuple[tuple[float, str], ...] = ()

    @property
    def sentence(self) -> str:
        """What the chart shows, in words."""
        parts = []
        for curve in self.curves:
            known = [value for _, value in curve.points if value is not None]
            if known:
                low, high, last = (f"{value:.4g}" for value in (min(known), max(known), known[-1]))
                parts.append(f"{curve.name} between {low} and {high} {self.unit}, {last} at the end")
        return f"{self.title}: {'; '.join(parts) or 'nothing was counted'}."

    @property
    def svg(self) -> SafeString:
        return _svg(self)


def charts_of(document: dict[str, Any], name: str = "", first_colour: int = 0) -> list[ReportChart]:
    """The charts of a report's document; none of one without figures. `name` goes before the names of the lines."""
    figures = document.get("figures")
    if not figures or not figures["lines"]:
        return []
    curves: dict[str, list[Curve]] = {"p95": [], "errors": [], "rate": []}
    for place, line in enumerate(figures["lines"]):
        colour = COLOURS[(first_colour + place) % len(COLOURS)]
        label = f"{name} {line['arm']} (version {line['version']})".strip()
        dash = DASHES[ARMS[line["arm"]].dash] if line["arm"] in ARMS else ""
        for key, points in _values(line["rows"], figures["width_s"]).items():
            curves[key].append(Curve(label, colour, dash, points))
    marks = tuple(_marks(document, figures))
    return [
        ReportChart("p95", "P95 latency", "ms", tuple(curves["p95"]), marks),
        ReportChart("errors", "Share of errors", "%", tuple(curves["errors"]), marks),
        ReportChart("rate", "Requests per second", "a second", tuple(curves["rate"]), marks),
        *_weights_chart(document, figures, name, first_colour),
    ]


def laid_over(one: Sequence[ReportChart], other: Sequence[ReportChart]) -> list[ReportChart]:
    """Charts of two reports over each other, by time since each rollout began."""
    others = {chart.key: chart for chart in other}
    return [
        ReportChart(chart.key, chart.title, chart.unit, (*chart.curves, *others[chart.key].curves))
        for chart in one
        if chart.key in others
    ]


def _values(rows: list[list[Any]], width_s: int) -> dict[str, type_Points]:
    """The points of each chart, with a gap where nothing was asked for long."""
    found: dict[str, type_Points] = {"p95": [], "errors": [], "rate": []}
    gap, last = max(GAP_S, 3 * width_s), None
    for at, requests, errors, _, p95, _ in rows:
        if last is not None and at - last > gap:
            for points in found.values():
                points.append((last + width_s, None))
        last = at
        found["p95"].append((at, p95))
        found["errors"].append((at, round(100 * errors / requests, 3) if requests else None))
        found["rate"].append((at, round(requests / width_s, 3)))
    return found


def _seconds_since(figures: dict[str, Any], moment: str) -> float:
    return (datetime.fromisoformat(moment) - datetime.fromisoformat(figures["began"])).total_seconds()


def _marks(document: dict[str, Any], figures: dict[str, Any]) -> Iterable[tuple[float, str]]:
    for change in document["weights"]:
        share = _share(change["wanted"], document["what"]["version"])
        yield _seconds_since(figures, change["at"]), "back" if share is None else f"{share:g} %"


def _share(wanted: list[dict[str, Any]], version: int) -> float | None:
    """The share that a version is to get, mirrored or its own; None without an arm of it."""
    own = [arm for arm in wanted if arm["version"] == version]
    return sum(arm["weight_pct"] or arm["mirror_pct"] for arm in own) if own else None


def _weights_chart(
    document: dict[str, Any], figures: dict[str, Any], name: str, first_colour: int
) -> list[ReportChart]:
    version = document["what"]["version"]
    wanted: type_Points = [
        (_seconds_since(figures, change["at"]), _share(change["wanted"], version) or 0.0)
        for change in document["weights"]
    ]
    if not wanted:
        return []
    wanted.append((_seconds_since(figures, figures["until"]), wanted[-1][1]))
    colours = [COLOURS[(first_colour + place) % len(COLOURS)] for place in (0, 1)]
    curves = [Curve(f"{name} wanted".strip(), colours[0], "", wanted, is_step=True)]
    if seen := _seen_shares(figures, version):
        curves.append(Curve(f"{name} seen".strip(), colours[1], DASHES["dash"], seen))
    return [ReportChart("weights", "Share of the traffic that the version got", "%", tuple(curves))]


def _seen_shares(figures: dict[str, Any], version: int) -> type_Points:
    """The share of the answers that clients got from a version, by time; copies are no client's."""
    asked: dict[float, list[int]] = {}
    for line in figures["lines"]:
        if line["arm"] == SHADOW:
            continue
        for row in line["rows"]:
            counts = asked.setdefault(row[0], [0, 0])
            counts[line["version"] == version] += row[1]
    return [(at, round(100 * own / (own + other), 2)) for at, (other, own) in sorted(asked.items()) if own + other]


def _svg(chart: ReportChart) -> SafeString:
    known = [point for curve in chart.curves for point in curve.points]
    times = [at for at, _ in known] or [0.0, 1.0]
    low, high = min(times), max(max(times), min(times) + 1)
    top = _top(max((value for _, value in known if value is not None), default=0.0))

    def x(at: float) -> float:
        return round(LEFT + (at - low) / (high - low) * (WIDTH - LEFT - RIGHT), PLACES)

    def y(value: float) -> float:
        return round(HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM), PLACES)

    lower = max(0, (len(chart.curves) + 1) // 2 - 2) * LEGEND_LINE  # a long legend moves the plot down
    parts = [
        *(_across(y(top * share), f"{top * share:.4g}") for share in (0, 0.5, 1)),
        *(_below(x(at), _seconds_text(at)) for at in _ticks(low, high)),
        *_marked([(x(at), text) for at, text in chart.marks if low <= at <= high]),
        *(_curve(curve, x, y) for curve in chart.curves),
    ]
    return format_html(
        '<svg class="report-chart" viewBox="0 0 {} {}" role="img" aria-label="{}" font-size="10"'
        ' font-family="sans-serif">'
        '<title>{}</title><desc>{}</desc>{}<g transform="translate(0 {})">{}</g></svg>',
        WIDTH,
        HEIGHT + lower,
        f"{chart.title} in {chart.unit}. {chart.sentence}",
        chart.title,
        chart.sentence,
        _legend(chart.curves),
        lower,
        format_html_join("", "{}", ((part,) for part in parts)),
    )


def _top(value: float) -> float:
    """The least of 1, 2 or 5 times a power of ten that is not below `value`."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * step for step in (1, 2, 5, 10) if power * step >= value * (1 - 1e-9))


def _ticks(low: float, high: float) -> list[float]:
    step = next((one for one in STEPS_S if (high - low) / one <= TICKS + 1), None)
    step = step or math.ceil((high - low) / TICKS / STEPS_S[-1]) * STEPS_S[-1]
    return [float(at) for at in range(math.ceil(low / step) * step, math.floor(high) + 1, step)]


def _seconds_text(at: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if at and at % length == 0:
            return f"{at / length:g} {unit}"
    return f"{at:g} s"


def _across(y: float, text: str) -> SafeString:
    return format_html(
        '<line x1="{}" x2="{}" y1="{}" y2="{}" stroke="currentColor" stroke-opacity="0.2"/>'
        '<text x="{}" y="{}" text-anchor="end" fill="currentColor">{}</text>',
        *(LEFT, WIDTH - RIGHT, y, y, LEFT - 4, y + 3, text),
    )


def _below(x: float, text: str) -> SafeString:
    return format_html(
        '<text x="{}" y="{}" text-anchor="middle" fill="currentColor">{}</text>', x, HEIGHT - BOTTOM + 14, text
    )


def _marked(marks: list[tuple[float, str]]) -> Iterable[SafeString]:
    """A dotted line per mark; its text where there is room after the one before."""
    free = 0.0
    for x, text in marks:
        shown = text if x >= free else ""
        free = x + MARK_TEXT_WIDTH if shown else free
        yield format_html(
            '<line x1="{}" x2="{}" y1="{}" y2="{}" stroke="currentColor" stroke-opacity="0.5" stroke-dasharray="1 2"/>'
            '<text x="{}" y="{}" fill="currentColor" font-size="8">{}</text>',
            *(x, x, TOP, HEIGHT - BOTTOM, min(x + 2, WIDTH - MARK_TEXT_WIDTH), TOP + 7, shown),
        )


def _curve(curve: Curve, x: Any, y: Any) -> SafeString:
    path, pen, before = [], "M", None
    for at, value in curve.points:
        if value is None:
            pen = "M"
            continue
        if curve.is_step and before is not None:
            path.append(f"L{x(at)} {y(before)}")
        path.append(f"{pen}{x(at)} {y(value)}")
        pen, before = "L", value
    if path and len(path) == 1:
        path.append(f"h{PLACES}")  # one point alone is a short line
    return format_html(
        '<path d="{}" fill="none" stroke="{}" stroke-width="1.6"{}/>',
        "".join(path),
        curve.colour,
        format_html(' stroke-dasharray="{}"', curve.dash) if curve.dash else "",
    )


def _legend(curves: Sequence[Curve]) -> SafeString:
    """Names of the lines in two columns above the plot."""
    parts = []
    for place, curve in enumerate(curves):
        x, y = LEFT + place % 2 * (WIDTH - LEFT) / 2, 8 + place // 2 * LEGEND_LINE
        parts.append(
            (x, x + 18, y, y, curve.colour, curve.dash or "none", x + 22, y + 3, curve.name),
        )
    return format_html_join(
        "",
        '<line x1="{}" x2="{}" y1="{}" y2="{}" stroke="{}" stroke-width="1.6" stroke-dasharray="{}"/>'
        '<text x="{}" y="{}" fill="currentColor">{}</text>',
        parts,
    )
