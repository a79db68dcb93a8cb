"""Reports of gateways: what is stored can be shown, whatever was sent."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.wire import shapes
from dataplane.wire.gateway_poll import LANES_MAX, GatewayStats, PollReport
from dataplane.wire.shapes import Malformed
from deployments.processes.gateway_status import ArmTraffic

LANE = {
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
STATS = {
    "pid": 4711,
    "started_at": 1790000000.5,
    "memory_mb": 84,
    "requests_total": 1200,
    "spooled_batches": 0,
    "dropped_windows": 0,
    "refusals": 2,
    "request_log": [["production", "e", 5, 0]],
    "shadow_dropped": [["production", "e", 5]],
    "lanes": [LANE],
}
REPORT = {
    "boot": "b1",
    "peers": ["b0"],
    "have": {"production": 17},
    "refused": {"staging": {"revision": 4, "error": "torn"}},
    "in_flight": {"r-1": 3},
    "wait_s": 5.0,
    "stats": STATS,
}
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def with_lane(**changes: Any) -> dict[str, Any]:
    return {**REPORT, "stats": {**STATS, "lanes": [{**LANE, **changes}]}}


def read(report: dict[str, Any]) -> PollReport:
    return shapes.read(PollReport, json.dumps(report).encode())


def test_read__everything_a_gateway_says__is_read_as_it_was_said() -> None:
    assert shapes.plain(read(REPORT)) == REPORT


def test_read__keys_of_a_newer_gateway__are_left_out() -> None:
    assert read({**with_lane(novelty=1), "novelty": 2}) == read(REPORT)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("boot", ""),
        ("boot", "b" * (shapes.BOOT_MAX_CHARS + 1)),
        ("peers", "c"),
        ("peers", [1]),
        ("have", {"production": True}),
        ("have", {"production": -1}),
        ("have", {"production": 2**31}),
        ("have", {"production": 1.0}),
        ("refused", {"production": {"revision": True}}),
        ("refused", {"production": {"revision": None}}),
        ("refused", {"production": {"error": 5}}),
        ("refused", {"production": {"error": "x" * (shapes.TEXT_MAX_CHARS + 1)}}),
        ("in_flight", {"r-1": "3"}),
        ("in_flight", {"r-1": -3}),
        ("stats", []),
        ("stats", {"memory_mb": "84"}),
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
    with pytest.raises(Malformed) as refused:
        read({**REPORT, field: value})
    assert refused.value.place.startswith(field)


@pytest.mark.parametrize("raw", [b"", b"{", b"[" * 100_000, b'{"boot": NaN}', b"\xff", b'{"boot": "\\ud800"}', b"null"])
def test_read__no_json_or_no_object__is_refused(raw: bytes) -> None:
    with pytest.raises(Malformed):
        shapes.read(PollReport, raw)


@given(st.sampled_from(sorted(LANE)), JUNK)
def test_read__any_field_of_a_lane_is_junk__refused_or_fit_to_be_added_up(field: str, junk: Any) -> None:
    try:
        stored = read(with_lane(**{field: junk}))
    except Malformed:
        return
    total = ArmTraffic("stable", "1")
    total.add(shapes.convert(GatewayStats, shapes.plain(stored.stats)).lanes[0])
    assert total.queued >= 0
    assert total.bars is not None


@given(st.sampled_from(sorted([*STATS, *REPORT])), JUNK)
def test_read__any_field_is_junk__refused_or_what_can_be_stored(field: str, junk: Any) -> None:
    report = {**REPORT, field: junk} if field in REPORT else {**REPORT, "stats": {**STATS, field: junk}}
    try:
        stored = read(report)
    except Malformed:
        return
    assert shapes.convert(PollReport, json.loads(json.dumps(shapes.plain(stored)))) == stored
