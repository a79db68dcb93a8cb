"""What gateways count of sampled requests, and by which bins they are to count it (docs/wire.md section 10)."""

from typing import Annotated

from msgspec import Meta, Struct

from dataplane.wire.columns import COLUMNS_MAX
from dataplane.wire.feature_counts import TEXT_COUNTED_MAX_CHARS, FeatureCounts, FeatureName, FeaturePlan
from dataplane.wire.shapes import Boot, Count, Name, Positive
from dataplane.wire.window_batch import Release, VersionNumber

DRIFT_BODY_MAX_BYTES = 8 * 1024 * 1024
DRIFT_WINDOW_S = 60
DRIFT_WINDOWS_MAX = 500  # in one report
DRIFT_PLACES_MAX = 500
LEARNED_VALUES_MAX = 500  # of one feature, from one gateway process
PLAN_KEY_MAX_CHARS = 64

PlanKey = Annotated[str, Meta(max_length=PLAN_KEY_MAX_CHARS)]
LearnedText = Annotated[str, Meta(max_length=TEXT_COUNTED_MAX_CHARS)]
LearnedValues = Annotated[list[int | float | LearnedText | bool | None], Meta(max_length=LEARNED_VALUES_MAX)]


class DriftPlace(Struct, frozen=True):
    """A version of an endpoint."""

    environment: Name
    endpoint: Name
    version: VersionNumber


class DriftPlan(Struct, frozen=True):
    """How requests and predictions of a place are counted; `key` is the hash of the bins. What has no reference yet is
    learned: its first values are sent as they are, column by column.
    """

    place: DriftPlace
    key: PlanKey
    inputs: Annotated[list[FeaturePlan], Meta(max_length=COLUMNS_MAX)] = []
    predictions: Annotated[list[FeaturePlan], Meta(max_length=COLUMNS_MAX)] = []
    learns_inputs: bool = False
    learns_predictions: bool = False


class DriftWindow(Struct, frozen=True):
    """Counts of the sampled requests of one arm in `DRIFT_WINDOW_S` seconds from `start`, as far as they have come: it
    is sent again when there are more. `answers` have predictions; `unread` requests were in no known form.
    """

    place: DriftPlace
    arm: Name
    release: Release
    start: Count
    plan: PlanKey
    requests: Positive
    answers: Count = 0
    unread: Count = 0
    inputs: dict[FeatureName, FeatureCounts] = {}
    predictions: dict[FeatureName, FeatureCounts] = {}

    def __post_init__(self) -> None:
        if max(len(self.inputs), len(self.predictions)) > COLUMNS_MAX:
            raise ValueError(f"at most {COLUMNS_MAX} features")
        if self.answers > self.requests or self.unread > self.requests:
            raise ValueError("answers and unread are parts of the requests")


class LearnedColumns(Struct, frozen=True):
    """First values of a place's inputs or predictions, by column, in the order in which they came."""

    place: DriftPlace
    is_predictions: bool
    columns: dict[FeatureName, LearnedValues]

    def __post_init__(self) -> None:
        if len(self.columns) > COLUMNS_MAX:
            raise ValueError(f"at most {COLUMNS_MAX} columns")


class DriftReport(Struct, frozen=True):
    """`sequence` counts what a boot sent; `places` are those whose requests it samples, `dropped` the requests that
    found no room.
    """

    boot: Boot
    sequence: Positive
    places: Annotated[list[DriftPlace], Meta(max_length=DRIFT_PLACES_MAX)] = []
    windows: Annotated[list[DriftWindow], Meta(max_length=DRIFT_WINDOWS_MAX)] = []
    learned: Annotated[list[LearnedColumns], Meta(max_length=DRIFT_PLACES_MAX)] = []
    dropped: Count = 0


class DriftPlans(Struct, frozen=True):
    """The plans of the places that were asked about; a place without one is not counted."""

    plans: Annotated[list[DriftPlan], Meta(max_length=DRIFT_PLACES_MAX)] = []
