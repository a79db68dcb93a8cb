"""Counts of what sampled requests held, column by column, for the site to compare with a reference (docs/wire.md,
section 10). The log's thread counts, never the way of a request; everything is bounded, and what finds no room is
counted.

Hidden columns are not counted at all.
"""

import copy
import math
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dataplane.gateway.site.log_entry import LogEntry
from dataplane.wire.columns import COLUMNS_MAX, columns_of, type_Columns
from dataplane.wire.drift_report import (
    DRIFT_PLACES_MAX,
    DRIFT_WINDOW_S,
    DRIFT_WINDOWS_MAX,
    LEARNED_VALUES_MAX,
    DriftPlace,
    DriftPlan,
    DriftReport,
    DriftWindow,
    LearnedColumns,
)
from dataplane.wire.feature_counts import (
    EDGE_MAX,
    TEXT_COUNTED_MAX_CHARS,
    FeatureCounts,
    FeaturePlan,
    counts_for,
)

OPEN_WINDOWS_MAX = 2000  # while the site is away; the oldest go first
LEARNED_CHARS_MAX = 1_000_000  # of all that waits to be learned
LATE_S = 5  # a window is over so long after its end: entries wait in the log


class DriftWindowKey(NamedTuple):
    """What a window is about, the oldest first."""

    start: int
    place: DriftPlace
    arm: str
    release: str
    plan: str


@dataclass
class OpenDriftWindow:
    """Counts of one arm's sampled requests in a window, as far as they have come."""

    requests: int = 0
    answers: int = 0
    unread: int = 0
    inputs: dict[str, FeatureCounts] = field(default_factory=dict)
    predictions: dict[str, FeatureCounts] = field(default_factory=dict)

    def add(self, plan: DriftPlan, inputs: type_Columns | None, answers: type_Columns | None) -> None:
        """Count one request."""
        self.requests += 1
        if inputs is None:
            self.unread += 1
        else:
            _count(self.inputs, plan.inputs, inputs, rows=None)
        if answers is not None:
            self.answers += 1
            # One prediction of a request: those of its other rows are no further observation.
            _count(self.predictions, plan.predictions, answers, rows=1)

    def sent(self, key: DriftWindowKey) -> DriftWindow:
        """The window as it is sent: later counts do not change it."""
        return DriftWindow(
            key.place,
            key.arm,
            key.release,
            key.start,
            key.plan,
            self.requests,
            self.answers,
            self.unread,
            copy.deepcopy(self.inputs),
            copy.deepcopy(self.predictions),
        )


class DriftCounts:
    """What one gateway process counted and the site does not have yet. Two threads use it."""

    def __init__(self, boot: str) -> None:
        self.dropped = 0
        self._boot = boot
        self._sequence = 1
        self._lock = threading.Lock()
        self._plans: dict[DriftPlace, DriftPlan] = {}
        self._places: dict[DriftPlace, None] = {}
        self._windows: dict[DriftWindowKey, OpenDriftWindow] = {}
        self._changed: set[DriftWindowKey] = set()
        self._learned: dict[tuple[DriftPlace, bool], type_Columns] = {}
        self._chars = 0

    def add_all(self, entries: Iterable[LogEntry]) -> None:
        """Count requests; those of a place without a plan only make the site be asked for one."""
        for entry in entries:
            with self._lock:
                self._add(entry)

    def _add(self, entry: LogEntry) -> None:
        place = DriftPlace(entry.environment, entry.endpoint, entry.version)
        if place not in self._places and len(self._places) >= DRIFT_PLACES_MAX:
            self.dropped += 1
            return
        self._places[place] = None
        plan = self._plans.get(place)
        if plan is None:
            return
        inputs = _columns(entry.request, entry.content_type, entry.hidden)
        answers = _columns(entry.answer, entry.answer_type, entry.hidden) if entry.outcome == "ok" else None
        self._window(entry, plan).add(plan, inputs, answers)
        if plan.learns_inputs and inputs:
            self._learn(place, False, inputs)
        if plan.learns_predictions and answers:
            self._learn(place, True, answers)

    def _window(self, entry: LogEntry, plan: DriftPlan) -> OpenDriftWindow:
        start = int(entry.at) // DRIFT_WINDOW_S * DRIFT_WINDOW_S
        key = DriftWindowKey(start, plan.place, entry.arm, entry.release, plan.key)
        self._changed.add(key)
        window = self._windows.get(key)
        if window is None:
            if len(self._windows) >= OPEN_WINDOWS_MAX:
                oldest = min(self._windows, key=lambda one: one.start)
                self.dropped += self._windows.pop(oldest).requests
                self._changed.discard(oldest)
            window = self._windows[key] = OpenDriftWindow()
        return window

    def _learn(self, place: DriftPlace, is_predictions: bool, columns: type_Columns) -> None:
        """Keep the values of the request's first row, as long as there is room: each request is one observation."""
        held = self._learned.setdefault((place, is_predictions), {})
        if self._chars > LEARNED_CHARS_MAX or len(next(iter(held.values()), [])) >= LEARNED_VALUES_MAX:
            return
        if not held:
            held.update({name: [] for name in columns})
        for name, values in held.items():  # the columns of the first request; one that is missing later is missing
            value = _plain(columns[name][0] if columns.get(name) else None)
            self._chars += len(value) if isinstance(value, str) else 8
            values.append(value)

    def report(self) -> DriftReport | None:
        """What is to be sent now; None when nothing was sampled."""
        with self._lock:
            if not self._places and not self._changed and not self._learned:
                return None
            keys = sorted(self._changed, key=lambda key: key.start)[:DRIFT_WINDOWS_MAX]
            learned = [
                LearnedColumns(place, is_predictions, {name: list(values) for name, values in columns.items()})
                for (place, is_predictions), columns in self._learned.items()
            ]
            windows = [self._windows[key].sent(key) for key in keys]
            return DriftReport(self._boot, self._sequence, list(self._places), windows, learned, self.dropped)

    def sent(self, report: DriftReport, plans: Iterable[DriftPlan], now: float) -> None:
        """Forget what the site has, and count by its plans from now on. Windows that are not over are kept: they are
        sent again as a whole when there is more.
        """
        with self._lock:
            self._sequence += 1
            kept = {place: plan for place, plan in self._plans.items() if place not in report.places}
            newest = [*kept.items(), *((plan.place, plan) for plan in plans)][-DRIFT_PLACES_MAX:]
            self._plans = dict(newest)
            self._places = {place: None for place in self._places if place not in report.places}
            for one in report.learned:
                self._learned.pop((one.place, one.is_predictions), None)
            self._chars = sum(len(value) for values in self._texts() for value in values)
            for window in report.windows:
                key = DriftWindowKey(window.start, window.place, window.arm, window.release, window.plan)
                held = self._windows.get(key)
                if held is not None and held.requests == window.requests:
                    self._changed.discard(key)
            for key in [key for key in self._windows if key not in self._changed and _is_over(key, now)]:
                del self._windows[key]

    def _texts(self) -> Iterable[list[str]]:
        held = (values for columns in self._learned.values() for values in columns.values())
        return ([value for value in values if isinstance(value, str)] for values in held)


def _is_over(key: DriftWindowKey, now: float) -> bool:
    return key.start + DRIFT_WINDOW_S + LATE_S < now


def _columns(body: bytes, content_type: str, hidden: frozenset[str]) -> type_Columns | None:
    """The columns that may be looked at; None for what cannot be read."""
    try:
        columns = columns_of(body, content_type)
    except (ValueError, TypeError, IndexError):
        return None
    return {name: values for name, values in columns.items() if not {name, name.partition("[")[0]} & hidden}


def _count(held: dict[str, FeatureCounts], plans: list[FeaturePlan], columns: type_Columns, rows: int | None) -> None:
    """Add values to the counts. A feature that a request has not is missing once."""
    for plan in plans[:COLUMNS_MAX]:
        counts = held.get(plan.name) or held.setdefault(plan.name, counts_for(plan))
        for value in columns.get(plan.name, [None])[:rows]:
            counts.add(plan, value)


def _plain(value: Any) -> Any:
    """A value as it can be sent; what is none counts as missing."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value[:TEXT_COUNTED_MAX_CHARS]
    if isinstance(value, int | float) and abs(value) <= EDGE_MAX and not math.isnan(value):
        return float(value)
    return None
