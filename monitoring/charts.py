"""Points of telemetry → what pages place on charts: finished values, their texts, marks, and one sentence. Pure.

Every rule about a chart is here: which arms and lines in which order, their names and dashes, units, where a line is
broken, limits, rows of the table twin, the sentence. Pages of a span that is over get all points at once, live ones as
they arrive, in the same form. static/js/charts.js puts them in place, chart-drawing.js draws, chart-twins.js fills
tables and sentences.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from monitoring.points import Point

GAP_S = (
    30  # where nothing was asked for that long (or for three points), a line is broken instead of drawn straight across
)
PLACES = 3
NO_VALUE = "–"


class ArmLook(NamedTuple):
    """How lines of an arm look: a dash of Plotly's, and the colour as the name of a variable in mlorch.css."""

    dash: str
    colour: str


ARMS = {  # in the order in which they are shown
    "stable": ArmLook("solid", "--mlorch-stable"),
    "candidate": ArmLook("dash", "--mlorch-candidate"),
    "targeted": ArmLook("longdash", "--mlorch-candidate"),
    "baseline": ArmLook("dot", "--mlorch-stable"),
    "shadow": ArmLook("dashdot", "--mlorch-candidate"),
}


@dataclass(frozen=True)
class Line:
    """One line per arm: the value `key` of a point times `factor`. Without a `dash` of its own it has the arm's.

    One `on_request` is in the legend, and drawn once somebody asks for it there.
    """

    label: str
    key: str
    factor: float = 1
    dash: str = ""
    on_request: bool = False

    def value(self, point: Point) -> float | None:
        raw = getattr(point, self.key)
        return None if raw is None else round(raw * self.factor, PLACES)

    def text(self, point: Point) -> str:
        value = self.value(point)
        return NO_VALUE if value is None else f"{value:.1f}"


@dataclass(frozen=True)
class Panel:
    """A kind of chart.

    `spoken` is the line that the one sentence reads out; `limit_text` names the line of the guardrail.

    Only `arms` are shown, as `looks` says. A `tall` one has the width of the page.
    """

    kind: str
    title: str
    lines: tuple[Line, ...]
    spoken: int = 0
    limit_text: str = ""
    arms: tuple[str, ...] = tuple(ARMS)
    looks: Mapping[str, ArmLook] = field(default_factory=lambda: ARMS)
    tall: bool = False

    @property
    def columns(self) -> list[str]:
        """The head of the table twin."""
        return ["Time", "Arm", "Version", *(line.label or self.title for line in self.lines)]

    @property
    def silence(self) -> str:
        """What stands for the sentence before the first point."""
        return f"{self.title}: no requests yet."

    @property
    def drawing(self) -> str:
        """The lines as JSON, in order: `at` is a line's place among a point's values; a `named` one has its name at its
        end.
        """
        return json.dumps(
            [
                {
                    "arm": arm,
                    "at": at,
                    "name": f"{arm} {line.label}".strip(),
                    "dash": line.dash or self.looks[arm].dash,
                    "colour": self.looks[arm].colour,
                    "named": at == self.spoken,
                    "onRequest": line.on_request,
                }
                for arm in self.arms
                for at, line in enumerate(self.lines)
            ]
        )

    def sentence(self, points: list[Point]) -> str:
        """One sentence that says what the chart shows now."""
        newest = {point.arm: point for point in points}
        line = self.lines[self.spoken]
        parts = [f"{arm} {line.text(newest[arm])}" for arm in self.arms if arm in newest]
        if not parts:
            return self.silence
        return f"{self.title}{f' ({line.label})' if line.label else ''}, newest: {', '.join(parts)}."


PANELS = (
    Panel("rate", "Requests per second", (Line("", "rate"),)),
    Panel(
        "latency",
        "Latency in ms",
        (
            Line("p50", "p50", dash="dot", on_request=True),
            Line("p95", "p95"),
            Line("p99", "p99", dash="longdash", on_request=True),
        ),
        spoken=1,
        limit_text="SLO",
    ),
    Panel("errors", "Share of errors in %", (Line("", "error_share", 100),), limit_text="stable + margin"),
)
AGREEMENT = Panel(
    "agreement", "Agreeing answers in %", (Line("", "agreement_share", 100),), limit_text="wanted", arms=("shadow",)
)
EVERY_PANEL = (*PANELS, AGREEMENT)
COMPARED_MAX = 4  # versions of which lines can still be told apart
VERSION_LOOKS = (
    ArmLook("solid", "--mlorch-stable"),
    ArmLook("dash", "--mlorch-candidate"),
    ArmLook("dot", "--mlorch-limit"),
    ArmLook("dashdot", "--mlorch-chart-text"),
)


def history_panels(names: list[str] | None = None) -> tuple[Panel, ...]:
    """The charts of a span: the latency first and tall, errors and rate below; of the arms, or of these `names` of
    versions instead.
    """
    rate, latency, errors = PANELS
    panels = (replace(latency, tall=True, limit_text=""), replace(errors, limit_text=""), rate)
    if names is None:
        return panels
    looks = dict(zip(names[:COMPARED_MAX], VERSION_LOOKS, strict=False))
    return tuple(replace(panel, arms=tuple(looks), looks=looks) for panel in panels)


def placed(point: Point) -> dict[str, Any]:
    """A point as pages get it: `values` and `texts` by kind of chart, in the order of its lines.

    `t` is Unix time in seconds. A later point of the same arm is joined to this one until `until`; `row` begins its
    rows in tables.
    """
    t = int(point.start.timestamp())
    # What is no arm is a version, of which all is shown that does not need a shadow.
    panels = [panel for panel in EVERY_PANEL if point.arm in panel.arms or (point.arm not in ARMS and panel in PANELS)]
    return {
        "id": f"{t} {point.arm} {point.version}",
        "t": t,
        "until": t + max(GAP_S, 3 * point.seconds),
        "arm": point.arm,
        "row": [point.arm, str(point.version)],
        "values": {panel.kind: [line.value(point) for line in panel.lines] for panel in panels},
        "texts": {panel.kind: [line.text(point) for line in panel.lines] for panel in panels},
    }


def finished(
    points: list[Point], since: datetime, until: datetime | None = None, panels: tuple[Panel, ...] = EVERY_PANEL
) -> dict[str, Any]:
    """Points with the sentences that say how things stand at the newest of each arm; `from` is where charts begin, and
    `to` where they end when that is not the newest point.
    """
    sentences = {panel.kind: panel.sentence(points) for panel in panels} if points else {}
    told: dict[str, Any] = {"type": "points", "from": since.timestamp(), "points": [placed(point) for point in points]}
    return told | {"sentences": sentences} | ({"to": until.timestamp()} if until else {})


@dataclass(frozen=True)
class Marker:
    """A moment worth a line in a chart, with a short text. `t` is Unix time in seconds."""

    t: float
    text: str

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(self.t, UTC)


class Band(NamedTuple):
    """A stretch of a chart's height, in its unit; without an upper end where `high` is None."""

    low: float
    high: float | None


@dataclass(frozen=True)
class Marks:
    """What is marked on all charts of a page, and by kind of chart, in its unit: each guardrail's line, the `bands` of
    what it allows, and the `judged` interval of the candidate.

    The axis of time begins at `frame_from` (Unix time in seconds), where that is not None. `judged_names` say of which
    figure an interval is where a chart shows several; `limit_texts` replace what a panel calls its guardrail's line.
    """

    markers: list[Marker] = field(default_factory=list)
    limits: dict[str, float] = field(default_factory=dict)
    bands: dict[str, Band] = field(default_factory=dict)
    judged: dict[str, Band] = field(default_factory=dict)
    frame_from: float | None = None
    judged_names: dict[str, str] = field(default_factory=dict)
    limit_texts: dict[str, str] = field(default_factory=dict)

    @property
    def drawing(self) -> str:
        """The marks as JSON for the browser."""
        texts = {panel.kind: panel.limit_text for panel in EVERY_PANEL} | self.limit_texts
        limits = {kind: {"value": value, "text": texts[kind]} for kind, value in self.limits.items()}
        return json.dumps(
            {
                "markers": [vars(marker) for marker in self.markers],
                "limits": limits,
                "bands": self.bands,
                "judged": self.judged,
                "judgedNames": self.judged_names,
                "from": self.frame_from,
            }
        )


FRAME_SHARE = 0.2  # so much of its span is shown before and after what a chart is about
FRAME_MIN = timedelta(seconds=20)


def framed(began: datetime, ended: datetime) -> tuple[datetime, datetime]:
    """From when until when a chart shows what lasted from `began` to `ended`."""
    around = max((ended - began) * FRAME_SHARE, FRAME_MIN)
    return began - around, ended + around


def led_by(panels: tuple[Panel, ...], kind: str) -> tuple[Panel, ...]:
    """The panels with the one of a `kind` first and tall; as they are where there is none."""
    if kind not in {panel.kind for panel in panels}:
        return panels
    first = tuple(replace(panel, tall=True) for panel in panels if panel.kind == kind)
    return first + tuple(panel for panel in panels if panel.kind != kind)


def with_line(panels: tuple[Panel, ...], kind: str, key: str) -> tuple[Panel, ...]:
    """The panels, with the line of a `key` of the one of a `kind` drawn without being asked for, and read out."""

    def shown(panel: Panel) -> Panel:
        lines = tuple(replace(line, on_request=line.on_request and line.key != key) for line in panel.lines)
        return replace(panel, lines=lines, spoken=[line.key for line in lines].index(key))

    return tuple(shown(panel) if panel.kind == kind else panel for panel in panels)


CLUSTER_SHARE = 0.03  # moments nearer to each other than this share of a chart's width are one mark


def clustered(markers: list[Marker], span_s: float) -> list[Marker]:
    """Markers of a span of `span_s` seconds, in order, with those together that would cover each other."""
    groups: list[list[Marker]] = []
    for marker in sorted(markers, key=lambda marker: marker.t):
        if groups and marker.t - groups[-1][0].t < span_s * CLUSTER_SHARE:
            groups[-1].append(marker)
        else:
            groups.append([marker])
    return [group[0] if len(group) == 1 else Marker(group[0].t, f"{len(group)} events") for group in groups]
