"""Reports of gateways: what is stored can be shown, whatever was sent."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.processes.gateway_reports import LANE, LANES_MAX, STATS, read
from deployments.processes.gateway_status import ArmTraffic, _add
from mlorch_site.lib.errors import Invalid

LANE_TOLD = {
    "environment": "production",
    "endpoint": "e",
    "arm": "stable",
    "version": "1",
    "queued": 2,
    "in_flight": {"r-1": 3},
    "requests": 10,
    "batches": 4,
    "batch_sizes": {"1": 2, "4": 2},
    "retries": 1,
    "clients_gone": 0,
    "deadlines_exceeded": 0,
    "release": "rel-1",
    "ejected": {"r-2": 12.5},
    "ejections": {"r-2": 1},
}
STATS_TOLD = {
    "pid": 4711,
    "started_at": 1790000000.5,
    "memory_mb": 84,
    "requests_total": 1200,
    "spooled_batches": 0,
    "dropped_windows": 0,
    "refusals": 2,
    "request_log": [["production", "e", 5, 0]],
    "shadow_dropped": [["production", "e", 5]],
    "lanes": [LANE_TOLD],
}
REPORT = {
    "boot": "b1",
    "beside": ["b0"],
    "have": {"production": 17},
    "refused": {"staging": {"revision": 4, "error": "torn"}},
    "in_flight": {"r-1": 3},
    "stats": STATS_TOLD,
}
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def with_lane(**changes: Any) -> dict[str, Any]:
    return {**REPORT, "stats": {**STATS_TOLD, "lanes": [{**LANE_TOLD, **changes}]}}


def test_read__everything_a_gateway_says__is_stored_as_it_was_said() -> None:
    said = dict(REPORT)
    assert read(said) == {"applied": said.pop("have"), **said}


def test_read__keys_of_a_newer_gateway__are_left_out() -> None:
    assert read({**with_lane(novelty=1), "novelty": 2}) == read(REPORT)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("have", {"production": True}),
        ("have", {"production": -1}),
        ("have", {"production": 2**31}),
        ("have", {"production": 1.0}),
        ("refused", {"production": {"revision": True}}),
        ("refused", {"production": {"revision": None}}),
        ("refused", {"production": {"error": 5}}),
        ("in_flight", {"r-1": "3"}),
        ("in_flight", {"r-1": -3}),
        ("stats", []),
        ("stats", {"memory_mb": "84"}),
        ("stats", {"started_at": float("nan")}),
        ("stats", {"started_at": 10**12}),
        ("stats", {"request_log": [["production", "e", 5]]}),
        ("stats", {"lanes": [1]}),
        ("stats", {"lanes": [{}] * (LANES_MAX + 1)}),
        ("stats", {"lanes": [{"queued": True}]}),
        ("stats", {"lanes": [{"batch_sizes": {"many": 1}}]}),
        ("stats", {"lanes": [{"ejections": ["r-1"]}]}),
    ],
)
def test_read__malformed__is_refused_and_the_field_is_named(field: str, value: Any) -> None:
    with pytest.raises(Invalid) as refused:
        read({**REPORT, field: value})
    assert next(iter(refused.value.details)).startswith(field)


@given(st.sampled_from(sorted(LANE)), JUNK)
def test_read__any_field_of_a_lane_is_junk__refused_or_fit_to_be_added_up(field: str, junk: Any) -> None:
    try:
        stored = read(with_lane(**{field: junk}))
    except Invalid:
        return
    total = ArmTraffic("stable", "1")
    _add(total, stored["stats"]["lanes"][0])
    assert total.queued >= 0
    assert total.bars is not None


@given(st.sampled_from(sorted([*STATS, *REPORT])), JUNK)
def test_read__any_field_is_junk__refused_or_stored(field: str, junk: Any) -> None:
    report = {**REPORT, field: junk} if field in REPORT else {**REPORT, "stats": {**STATS_TOLD, field: junk}}
    try:
        stored = read(report)
    except Invalid:
        return
    assert set(stored) == {"boot", "beside", "applied", "refused", "in_flight", "stats"}
