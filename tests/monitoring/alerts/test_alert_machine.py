"""The state machine of alerts: by its table, and by whatever looks may find."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.alerts.alert_machine import RuleStand, step
from monitoring.alerts.lifecycle import RULE_MOVES, RuleState

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
START = RuleStand(RuleState.NO_DATA, NOW)
LOOKS = st.lists(st.tuples(st.sampled_from([True, False, None]), st.integers(1, 90)), max_size=40)
WAITS = st.sampled_from([0, 60, 120])
B, K, N = True, False, None


def walk(looks, for_s=0, clear_s=0, every_s=60, start=START):
    """The standings after looks `every_s` apart; a look with a gap of its own says so."""
    stand, now, found = start, NOW, []
    for look in looks:
        is_broken, gap_s = look if isinstance(look, tuple) else (look, every_s)
        now += timedelta(seconds=gap_s)
        stand = step(stand, is_broken, now=now, for_s=for_s, clear_s=clear_s)
        found.append((stand, now))
    return found


@pytest.mark.parametrize(
    ("looks", "for_s", "clear_s", "states"),
    [
        ([K, B, K], 0, 0, "ok firing ok"),
        ([K, B, B, B, K], 120, 0, "ok pending pending firing ok"),
        ([B, K, B, B], 120, 0, "pending ok pending pending"),  # flapping never fires
        ([B, K, B, K, K, K], 0, 120, "firing firing firing firing firing ok"),  # and never ends one either
        ([B, N, N, N, K], 0, 0, "firing no_data no_data no_data ok"),
        ([B, N, K, K, K], 0, 120, "firing no_data firing firing ok"),
        ([B, B, N, B, B, B], 120, 0, "pending pending no_data pending pending firing"),  # a gap is no proof
        ([N, B], 60, 0, "no_data pending"),
    ],
)
def test_step__walks__as_said(looks, for_s, clear_s, states):
    assert [stand.state.value for stand, _ in walk(looks, for_s, clear_s)] == states.split()


@given(LOOKS, WAITS, WAITS)
def test_step__any_looks__keep_to_the_table_and_the_open_alert_is_seen(looks, for_s, clear_s):
    before = START
    for after, now in walk(looks, for_s, clear_s):
        assert after.state is before.state or after.state in RULE_MOVES[before.state]
        assert (after.since == now) == (after.state is not before.state)
        assert after.is_open or after.state is not RuleState.FIRING
        assert not after.is_open or after.state in (RuleState.FIRING, RuleState.NO_DATA)
        before = after


@given(LOOKS, WAITS, WAITS)
def test_step__any_looks__fires_and_resolves_only_on_what_was_seen_for_long_enough(looks, for_s, clear_s):
    """An alert opens when every look of the last `for_s` found it broken, ends when every look of the last `clear_s`
    found it kept, and neither on a look that could not say.
    """
    run_since, run_of, before = NOW, "nothing yet", START
    for (is_broken, _), (after, now) in zip(looks, walk(looks, for_s, clear_s), strict=True):
        if is_broken is not run_of:
            run_since, run_of = now, is_broken
        lasted_s = (now - run_since).total_seconds()
        if after.is_open and not before.is_open:
            assert is_broken is True
            assert lasted_s >= for_s
        if before.is_open and not after.is_open:
            assert is_broken is False
            assert lasted_s >= clear_s
        if is_broken is True and lasted_s >= for_s:
            assert after.is_open  # and it does fire
        if is_broken is False and lasted_s >= clear_s:
            assert not after.is_open
        before = after


@given(LOOKS, WAITS, WAITS)
def test_step__looked_at_twice_at_one_moment__is_as_once(looks, for_s, clear_s):
    before = START
    for (is_broken, _), (after, now) in zip(looks, walk(looks, for_s, clear_s), strict=True):
        once = step(before, is_broken, now=now, for_s=for_s, clear_s=clear_s)
        assert step(once, is_broken, now=now, for_s=for_s, clear_s=clear_s) == once == after
        before = after
