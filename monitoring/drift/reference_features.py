"""A reference made of raw values: which kind each column is, its bins, and how often each was met."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataplane.wire.columns import COLUMNS_MAX
from dataplane.wire.feature_counts import (
    LABEL_MAX_CHARS,
    FeatureCounts,
    FeaturePlan,
    category_key,
    counts_for,
    label_of,
    number_of,
)

QUANTILE_BINS = 10
CATEGORIES_MAX = 50  # with more it is a text, of which the length is counted
NUMBERS_AS_CATEGORIES_MAX = 2  # numbers with no more different values are flags


@dataclass(frozen=True)
class ReferenceFeature:
    """One column of a reference. `labels` are the categories as people read them, in the order of the plan's keys."""

    plan: FeaturePlan
    counts: FeatureCounts
    labels: tuple[str, ...] = ()


def features_of(columns: Mapping[str, Sequence[Any]]) -> list[ReferenceFeature]:
    """The features of columns; a column without any value that counts is left out."""
    made = (_feature(name, values) for name, values in list(columns.items())[:COLUMNS_MAX])
    return [feature for feature in made if feature is not None]


def _feature(name: str, values: Sequence[Any]) -> ReferenceFeature | None:
    there = [value for value in values if value is not None and value == value]
    numbers = [n for value in there if not isinstance(value, bool) and (n := number_of("number", value)) is not None]
    texts = [value for value in there if isinstance(value, str)]
    if len(numbers) * 2 > len(there) and len(set(numbers)) > NUMBERS_AS_CATEGORIES_MAX:
        return _binned(name, "number", sorted(numbers), values)
    labels = Counter(label for value in there if (label := label_of(value)) is not None)
    if not labels:
        return None
    if len(labels) > CATEGORIES_MAX or any(len(label) > LABEL_MAX_CHARS for label in labels):
        lengths = sorted(n for text in texts if (n := number_of("text", text)) is not None)
        return _binned(name, "text", lengths, values) if lengths else None
    known = tuple(label for label, _ in labels.most_common())
    plan = FeaturePlan(name, "category", keys=[category_key(label) for label in known])
    return ReferenceFeature(plan, counts_for(plan, values), known)


def _binned(name: str, kind: Any, ordered: list[float], values: Sequence[Any]) -> ReferenceFeature:
    """Bins of about equal share of the reference; where one value is frequent there are fewer."""
    places = (len(ordered) * step // QUANTILE_BINS for step in range(1, QUANTILE_BINS))
    edges = sorted({float(ordered[place]) for place in places} - {float(ordered[0])})
    plan = FeaturePlan(name, kind, edges, float(ordered[0]), float(ordered[-1]))
    return ReferenceFeature(plan, counts_for(plan, values))
