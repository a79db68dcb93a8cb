"""What leaves the artifact store: oldest need first, after its time or for want of room, and never what is needed."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from registry.retention import FRESH, ROOM, UNNEEDED, Rules, StoredSet, leaving

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def a_set(name: str, *, days: float, size: int = 10) -> StoredSet:
    return StoredSet(name, size, NOW - days * DAY)


def gone(*stored: StoredSet, needed: tuple[str, ...] = (), max_bytes: int = 0) -> list[tuple[str, str]]:
    rules = Rules(30 * DAY, max_bytes)
    return [(one.stored.digest, one.why) for one in leaving(stored, set(needed), rules, NOW)]


def test_leaving__after_its_time__goes_and_what_is_needed_stays():
    stored = [a_set("new", days=29), a_set("old", days=31), a_set("older, needed", days=400)]
    assert gone(*stored, needed=("older, needed",)) == [("old", UNNEEDED)]


def test_leaving__too_much__oldest_need_goes_first_until_there_is_room():
    stored = [a_set("c", days=1), a_set("a", days=3), a_set("b", days=2), a_set("needed", days=9)]
    assert gone(*stored, needed=("needed",), max_bytes=25) == [("a", ROOM), ("b", ROOM)]


def test_leaving__too_much_and_all_of_it_needed_or_fresh__nothing_goes():
    fresh = StoredSet("fresh", 10, NOW - FRESH)
    assert gone(fresh, a_set("needed", days=9), needed=("needed",), max_bytes=1) == []


def test_leaving__exactly_at_its_time__stays():
    assert gone(a_set("a", days=30)) == []


@given(
    st.lists(st.tuples(st.floats(0, 100), st.integers(0, 50), st.booleans()), max_size=20),
    st.integers(0, 200),
)
def test_leaving__whatever_is_stored__takes_nothing_needed_and_no_more_than_it_must(rows, max_bytes):
    stored = [a_set(str(place), days=days, size=size) for place, (days, size, _) in enumerate(rows)]
    needed = {str(place) for place, row in enumerate(rows) if row[2]}
    went = leaving(stored, needed, Rules(30 * DAY, max_bytes), NOW)
    left = sum(one.size_bytes for one in stored) - sum(one.stored.size_bytes for one in went)

    assert not needed & {one.stored.digest for one in went}
    if went and went[-1].why == ROOM:
        assert left + went[-1].stored.size_bytes > max_bytes
