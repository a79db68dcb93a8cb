"""What a change of a signature means for clients, by the table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.lifecycle import GateOutcome
from registry.signature_changes import COLUMNS_MAX, MEANS, WIDER, signature_changes


def column(name: str = "x", kind: object = "double", **more: object) -> dict:
    return {"name": name, "type": kind, **more}


def tensor(dtype: str, *shape: int) -> dict:
    return {"name": "x", "type": "tensor", "tensor-spec": {"dtype": dtype, "shape": list(shape)}}


def an_object(**properties: dict) -> dict:
    return {"name": "x", "type": "object", "properties": properties}


A, B = {"type": "string"}, {"type": "long", "required": False}


@pytest.mark.parametrize(
    ("before", "after", "kinds"),
    [
        ([column()], [column()], []),
        ([column()], [column(), column("y")], ["required input added"]),
        ([column()], [column(), column("y", required=False)], ["optional input added"]),
        ([column(), column("y")], [column()], ["input removed"]),
        ([column(required=False)], [column()], ["input became required"]),
        ([column()], [column(optional=True)], ["input became optional"]),
        ([column(kind="integer")], [column(kind="long")], ["input type widened"]),
        ([column(kind="long")], [column(kind="integer")], ["input type narrowed"]),
        ([column(kind="long")], [column(kind="double")], ["input type changed"]),
        ([column(kind="string")], [column(kind="any")], ["input type widened"]),
        ([tensor("float32", -1, 4)], [tensor("float64", -1, 4)], ["input type widened"]),
        ([tensor("float32", 1, 4)], [tensor("float32", -1, 4)], ["input type widened"]),
        ([tensor("float32", -1, 4)], [tensor("float32", -1, 5)], ["input type changed"]),
        ([tensor("float32", 1, 4)], [tensor("float16", -1, 4)], ["input type changed"]),
        ([column()], [tensor("float64", -1)], ["input type changed"]),
        ([an_object(a=A)], [an_object(a=A, b=B)], ["input type widened"]),
        ([an_object(a=A)], [an_object(a=A, b=A)], ["input type changed"]),
        ([an_object(a=A, b=B)], [an_object(a=A, b={"type": "long"})], ["input type narrowed"]),
        ([column()], None, ["inputs not described"]),
        ([{"type": "double"}], [{"type": "double"}, {"type": "long"}], ["required input added"]),
        ([column()], [{"type": "double"}], ["names changed"]),
        (None, [column()], []),
    ],
)
def test_inputs__change__by_the_table(before, after, kinds):
    assert [change.kind for change in signature_changes({"inputs": before}, {"inputs": after})] == kinds


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        ([column()], [column(), column("y")], "pass"),
        ([column(), column("y")], [column()], "fail"),
        ([column()], None, "fail"),
        ([column(kind="integer")], [column(kind="long")], "warn"),
        ([column(kind="long")], [column(kind="integer")], "pass"),
        ([column(kind="long")], [column(kind="string")], "fail"),
    ],
)
def test_outputs__change__means_the_reverse(before, after, outcome):
    (change,) = signature_changes({"outputs": before}, {"outputs": after})
    assert change.outcome == outcome


def test_outputs__a_list_is_a_list__however_it_was_inferred():
    array = [{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}]
    assert signature_changes({"outputs": array}, {"outputs": [{"type": "long", "required": True}]}) == []
    (change,) = signature_changes({"outputs": array}, {"outputs": [{"type": "string"}]})
    assert change.outcome == "fail"


def test_parameters__come_and_go():
    changes = signature_changes(
        {"params": [{"name": "a", "type": "long"}]}, {"params": [{"name": "b", "type": "long"}]}
    )
    assert [(change.kind, change.outcome.value) for change in changes] == [
        ("parameter removed", "warn"),
        ("parameter added", "pass"),
    ]


def test_widening__is_no_circle():
    assert not {pair for pair in WIDER if pair[::-1] in WIDER}


nested = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "type", "required", "items", "properties", "tensor-spec", "shape", "dtype"]), inner
        )
    ),
    max_leaves=12,
)
hostile = st.fixed_dictionaries({"inputs": nested, "outputs": nested, "params": nested})


@given(hostile, hostile)
def test_hostile_signatures__are_compared_without_a_crash__and_nothing_differs_from_itself(before, after):
    for change in signature_changes(before, after):
        assert change.kind in MEANS
    assert [c for c in signature_changes(before, before) if c.outcome is GateOutcome.FAIL] == []


def test_columns_without_end__are_refused():
    with pytest.raises(ValueError, match="more than"):
        signature_changes({"inputs": [column(str(n)) for n in range(COLUMNS_MAX + 1)]}, {"inputs": [column()]})
