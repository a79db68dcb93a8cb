"""How the values of one feature are counted: into bins that the reference fixed, so that counts of any two gateways and
spans add up. No value is kept.
"""

import hashlib
import math
from bisect import bisect_right
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from dataplane.wire.columns import COLUMN_NAME_MAX_CHARS
from dataplane.wire.shapes import Count

BINS_MAX = 51  # 50 categories, or as many edges
EDGE_MAX = 1e300
KEY_CHARS = 16
LABEL_MAX_CHARS = 100
NUMBER_LABEL_MAX = 10**15  # a larger whole number is no category
TEXT_COUNTED_MAX_CHARS = 20_000  # a longer text counts as so long

FeatureName = Annotated[str, Meta(max_length=COLUMN_NAME_MAX_CHARS)]
Edge = Annotated[float, Meta(ge=-EDGE_MAX, le=EDGE_MAX)]
CategoryKey = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]


class FeaturePlan(Struct, frozen=True):
    """How a feature is counted. A number, and the length of a text, by `edges` (a value at an edge is above it),
    outside when it is not within `low` and `high`; a category by its key among `keys`.
    """

    name: FeatureName
    kind: Literal["number", "category", "text"]
    edges: Annotated[list[Edge], Meta(max_length=BINS_MAX - 1)] = []
    low: Edge = 0.0
    high: Edge = 0.0
    keys: Annotated[list[CategoryKey], Meta(max_length=BINS_MAX - 1)] = []

    @property
    def bins(self) -> int:
        return len(self.keys) if self.kind == "category" else len(self.edges) + 1


class FeatureCounts(Struct):
    """Values by bin. `missing`, `wrong` (of another type) and `unseen` categories are in no bin; `unseen` numbers,
    those outside of what the reference had, are in the first or the last as well.
    """

    bins: Annotated[list[Count], Meta(max_length=BINS_MAX)]
    missing: Count = 0
    unseen: Count = 0
    wrong: Count = 0

    def add(self, plan: FeaturePlan, value: Any) -> None:
        """Count one value, whatever it is."""
        if value is None or (isinstance(value, float) and math.isnan(value)):
            self.missing += 1
        elif plan.kind == "category":
            self._add_category(plan, value)
        elif (number := number_of(plan.kind, value)) is None:
            self.wrong += 1
        else:
            self.bins[bisect_right(plan.edges, number)] += 1
            self.unseen += not plan.low <= number <= plan.high

    def _add_category(self, plan: FeaturePlan, value: Any) -> None:
        label = label_of(value)
        if label is None:
            self.wrong += 1
        elif (key := category_key(label)) in plan.keys:
            self.bins[plan.keys.index(key)] += 1
        else:
            self.unseen += 1

    def merge(self, other: "FeatureCounts") -> None:
        """Add the counts of another span or gateway. Raises ValueError for other bins."""
        self.bins = [one + more for one, more in zip(self.bins, other.bins, strict=True)]
        self.missing += other.missing
        self.unseen += other.unseen
        self.wrong += other.wrong


def counts_for(plan: FeaturePlan, values: Iterable[Any] = ()) -> FeatureCounts:
    """The counts of values; of none, empty ones."""
    counts = FeatureCounts([0] * plan.bins)
    for value in values:
        counts.add(plan, value)
    return counts


def number_of(kind: str, value: Any) -> float | None:
    """The number that a value counts as: itself, or the length of a text; None for another type and infinity."""
    if kind == "text":
        return min(len(value), TEXT_COUNTED_MAX_CHARS) if isinstance(value, str) else None
    if not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if abs(number) <= EDGE_MAX else None


def label_of(value: Any) -> str | None:
    """A category as text: 1 and 1.0 are the same; None for what is none."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, float):
        return repr(value)
    return str(value) if isinstance(value, int) and abs(value) < NUMBER_LABEL_MAX else None


def category_key(label: str) -> str:
    """What stands for a category between processes: a hash, so that no value leaves the gateway."""
    return hashlib.sha256(label.encode("utf-8", "replace")).hexdigest()[:KEY_CHARS]
