"""Only whole, valid tables are used; what is on disk is used only when it is what was written."""

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.gateway.site import kept_tables
from dataplane.gateway.state import State
from dataplane.wire.shapes import Malformed
from tests.dataplane.gateway.conftest import compiled, table


def broken(change: Any) -> dict[str, Any]:
    document = copy.deepcopy(table(weight=10))
    change(document)
    return document


CASES = {
    "weights": lambda d: d["endpoints"]["e"]["arms"][0].update(weight_pct=11),
    "fraction": lambda d: d["endpoints"]["e"]["arms"][0].update(weight_pct=10.0),
    "no arm": lambda d: d["endpoints"]["e"].update(arms=[]),
    "no replica": lambda d: d["endpoints"]["e"]["arms"][1].update(replicas=[]),
    "relative address": lambda d: d["endpoints"]["e"]["arms"][1]["replicas"][0].update(address="unix:x.sock"),
    "same arm twice": lambda d: d["endpoints"]["e"]["arms"][0].update(arm="stable"),
    "revision": lambda d: d.update(revision=0),
    "format": lambda d: d.update(format=2),
    "environment": lambda d: d.update(environment="../etc"),
    "no keys": lambda d: d.pop("keys"),
}


@pytest.mark.parametrize("case", list(CASES))
def test_table__broken_table__is_refused_whole(case: str) -> None:
    with pytest.raises(Malformed):
        compiled(broken(CASES[case]))


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 200) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(["keys", "endpoints", "revision", "environment", "format"]), JUNK)
def test_table__any_part_replaced_by_junk__valid_or_refused_but_never_a_crash(part: str, junk: Any) -> None:
    document = table(weight=10) | {part: junk}
    try:
        parsed = compiled(document)
    except Malformed:
        return
    assert all(sum(arm.weight_pct for arm in route.arms) == 100 for route in parsed.endpoints.values())


@given(st.integers(0, 3000), st.binary(min_size=1, max_size=3))
def test_load__file_changed_anywhere__is_refused(tmp_path_factory: Any, at: int, junk: bytes) -> None:
    folder: Path = tmp_path_factory.mktemp("routes")
    kept_tables.save(folder, compiled(table()).source)
    path = folder / "production.json"
    content = path.read_bytes()
    changed = content[: at % len(content)] + junk
    if changed == content:
        return
    path.write_bytes(changed)

    with pytest.raises(Malformed):
        kept_tables.load(path)


def test_state__invalid_table__the_old_one_stays_and_the_refusal_is_told(state: State) -> None:
    state.apply(table(revision=3))
    state.apply(broken(CASES["weights"]) | {"revision": 4})

    assert state.tables["production"].revision == 3
    assert state.refused["production"].revision == 4
    assert "sum to 101" in state.refused["production"].error


def test_state__restarted__serves_from_the_last_good_table(state: State) -> None:
    state.apply(table(revision=5))
    state.keep()
    again = State(state.config)
    again.load_from_disk()

    assert again.is_ready
    assert again.tables["production"] == compiled(table(revision=5))
