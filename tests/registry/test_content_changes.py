"""What changed between two contents is said field by field."""

from hypothesis import given
from hypothesis import strategies as st

from registry.approvals.content_changes import content_changes, told

values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab_s", min_size=1, max_size=4), inner),
    max_leaves=8,
)
contents = st.dictionaries(st.text("abc_", min_size=1, max_size=4), values, max_size=4)


def test_changes__of_a_plan_a_gate_and_a_config__each_with_its_place_and_unit():
    given_then = {
        "digest": "sha256:" + "a" * 64,
        "plan": {"steps": [{"kind": "start"}, {"kind": "weight", "weight_pct": 10}], "ticket": ""},
        "gates": {"metadata_complete": {"outcome": "pass"}},
        "serving": {"timeout_ms": 100, "network": False},
    }
    now = {
        "digest": "sha256:" + "b" * 64,
        "plan": {"steps": [{"kind": "start"}, {"kind": "weight", "weight_pct": 50}], "ticket": "ML-1"},
        "gates": {"metadata_complete": {"outcome": "fail"}},
        "serving": {"timeout_ms": 200, "network": True},
    }
    assert content_changes(given_then, now) == [
        "digest: aaaaaaaaaaaa → bbbbbbbbbbbb",
        "gate metadata complete outcome: pass → fail",
        "plan: step 2 weight 10 % → 50 %",
        "plan: ticket nothing → ML-1",
        "serving: network no → yes",
        "serving: timeout 100 ms → 200 ms",
    ]


def test_changes__step_added_and_taken_away__said_as_a_whole():
    one, two = {"steps": [{"kind": "hold"}]}, {"steps": [{"kind": "hold"}, {"kind": "bake", "duration_s": 5}]}
    assert content_changes({"plan": one}, {"plan": two}) == ["plan: step 2 nothing → kind bake, duration 5 s"]
    assert content_changes({"plan": two}, {"plan": one}) == ["plan: step 2 kind bake, duration 5 s → nothing"]


def test_told__many__the_first_and_how_many_more():
    assert told([f"c{number}" for number in range(8)]) == "c0; c1; c2; c3; c4; c5; and 2 more"


@given(contents, contents)
def test_changes__none_exactly_when_nothing_that_is_there_differs(before, after):
    changed = content_changes(before, after)
    assert content_changes(before, before) == []
    if changed:
        assert before != after or str(before) != str(after)
    assert len(changed) == len(content_changes(after, before))
