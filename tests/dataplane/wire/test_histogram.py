"""The histogram is exact in merging and within 1 % in quantiles."""

import pytest
from ddsketch import DDSketch
from hypothesis import given
from hypothesis import strategies as st

from dataplane.wire import shapes
from dataplane.wire.histogram import Histogram, Latency, merged
from dataplane.wire.shapes import Malformed

LATENCIES = st.lists(st.floats(0, 1e6, allow_nan=False), min_size=1, max_size=200)


def histogram_of(values: list[float]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


@given(LATENCIES, st.sampled_from([0.5, 0.95, 0.99]))
def test_quantile__any_latencies__is_within_one_percent(values: list[float], share: float) -> None:
    exact = sorted(values)[int(share * (len(values) - 1))]

    assert histogram_of(values).quantile(share) == pytest.approx(exact, rel=0.01, abs=0.0011)


@given(LATENCIES)
def test_quantile__any_latencies__agrees_with_ddsketch(values: list[float]) -> None:
    theirs = DDSketch(0.0099)
    for value in values:
        theirs.add(value)

    assert histogram_of(values).quantile(0.95) == pytest.approx(theirs.get_quantile_value(0.95), rel=0.021, abs=0.0021)


@given(LATENCIES, LATENCIES)
def test_merge__two_parts__equals_the_whole(left: list[float], right: list[float]) -> None:
    whole, parts = histogram_of(left + right), merged([histogram_of(left).to_dict(), histogram_of(right).to_dict()])

    assert (parts.zero, parts.buckets, parts.count) == (whole.zero, whole.buckets, whole.count)


def test_count_over__threshold__counts_slower_ones() -> None:
    assert histogram_of([1, 50, 99, 150, 151, 5000]).count_over(100) == 3


def test_quantile__nothing_counted__is_none() -> None:
    assert Histogram().quantile(0.95) is None


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_add__impossible_latency__is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Histogram().add(bad)


@pytest.mark.parametrize(
    "bad",
    [
        {"buckets": {"1": -1}},
        {"buckets": {"x": 1}},
        {"zero": 1.5},
        {"buckets": {"999999": 1}},
        {"sum_ms": -1},
        {"max_ms": 1e12},
        [],
    ],
)
def test_latency__malformed__is_refused(bad: object) -> None:
    with pytest.raises(Malformed):
        shapes.convert(Latency, bad)


def test_latency__of_a_histogram__is_what_it_is_stored_as() -> None:
    histogram = histogram_of([0.0, 0.5, 12.25, 12.3])
    assert shapes.plain(histogram.latency()) == histogram.to_dict()
    histogram.latency().check(4)
    with pytest.raises(ValueError, match="once"):
        histogram.latency().check(3)
