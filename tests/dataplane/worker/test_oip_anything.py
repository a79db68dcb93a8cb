"""Whatever a model answers has a form in OIP, in JSON and in binary: no failure is the encoder's."""

import datetime
import decimal
import json
import uuid
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from dataplane.worker.answers import BadInput
from dataplane.worker.oip import binary, protocol

ODD: dict[str, Any] = {
    "nothing": None,
    "a number": 3.5,
    "a text": "x",
    "bytes": b"\xff",
    "an empty list": [],
    "lists in lists": [[[1], [2]], [[3], [4]]],
    "ragged lists": [[1], [], [1, None]],
    "tuples": [(1, "a"), (2, None)],
    "a set": {1, 2},
    "sets": [{1}, {2}],
    "dicts": [{"a": {1, 2}, "b": (1, np.float32(2))}, {"a": b"\xff"}],
    "a dict of scalars": {"a": 1, "b": "x", "c": None},
    "a dict of odd keys": {1: [1], None: [2], (1, 2): [3]},
    "dates": [datetime.date(2026, 1, 2), pd.NaT, None],
    "times": [datetime.time(1, 2), datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)],
    "decimals": [decimal.Decimal("NaN"), decimal.Decimal(1)],
    "identifiers": [uuid.UUID(int=1)],
    "complex": np.array([1 + 2j, np.nan]),
    "long doubles": np.array([1.5], dtype=np.longdouble),
    "texts of numpy": np.array(["a", "b"]),
    "bytes of numpy": np.array([b"a", b"\xff"]),
    "records of numpy": np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]),
    "durations": np.array([1, "NaT"], dtype="timedelta64[D]"),
    "moments": np.array(["2026-01-02", "NaT"], dtype="datetime64[ns]"),
    "objects": np.array([object(), None], dtype=object),
    "arrays in an array": binary.objects([np.zeros(2), np.zeros((2, 2))]),
    "no dimension": np.array(None, dtype=object),
    "masked": np.ma.masked_array([1.5, 2.5], mask=[True, False]),
    "sparse": sparse.csr_matrix([[1.0, 0.0]]),
    "a series of categories": pd.Series(["a", None], dtype="category"),
    "a series of number categories": pd.Series([1, 2, 1], dtype="category"),
    "a series of intervals": pd.Series(pd.interval_range(0, 2)),
    "a series of periods": pd.Series(pd.period_range("2026-01", periods=2, freq="M")),
    "a series with zone": pd.Series(pd.to_datetime(["2026-01-02", None], utc=True)),
    "a sparse series": pd.Series(pd.arrays.SparseArray([1.0, np.nan])),
    "an index": pd.Index([1, 2]),
    "an empty table": pd.DataFrame(),
    "a table without rows": pd.DataFrame({"a": []}),
    "a table of levels": pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", 1), ("a", 2)])),
    "a table of everything": pd.DataFrame(
        {"i": pd.array([1, None], "Int8"), "b": pd.array([True, None], "boolean"), "l": [[1], None], "o": [1, "x"]}
    ),
    "nullable floats": pd.Series([1.5, None], dtype="Float32"),
    "an unsigned nullable": pd.Series([2**64 - 1, None], dtype="UInt64"),
    "a range": range(3),
    "a map": map(str, [1, 2]),
    "matrices and a vector": [np.zeros((2, 2)), np.zeros(2)],
}


def no_constant(name: str) -> Any:
    raise AssertionError(f"{name} is not JSON")


def whole(result: Any, is_binary: bool) -> list[dict[str, Any]] | str:
    """The answer's outputs, whose JSON is strict and whose shapes are those of their data; or what is refused."""
    request = {"parameters": {"binary_data_output": is_binary}}
    try:
        answer = protocol.answer(request, result, "e", "7")
    except BadInput as error:
        return str(error)
    outputs: list[dict[str, Any]] = json.loads(answer.body[: answer.header_length], parse_constant=no_constant)[
        "outputs"
    ]
    for output in outputs:
        if "data" in output:
            assert len(output["data"]) == int(np.prod(output["shape"]))
    return outputs


@pytest.mark.parametrize("is_binary", [False, True])
@pytest.mark.parametrize("name", ODD)
def test_answer__odd_result__has_a_form(name: str, is_binary: bool) -> None:
    outputs = whole(ODD[name], is_binary)

    assert "ask for JSON" in outputs if isinstance(outputs, str) else outputs or name == "an empty table"


RAGGED: dict[str, Any] = {
    "lists": [[1], [2, 3]],
    "arrays": [np.array([1]), np.array([2, 3])],
    "an array of arrays": binary.objects([np.array([1]), np.array([2, 3])]),
    "a column": pd.DataFrame({"a": [[1], [2, 3]]}),
    "a dict of lists": {"a": [[1], [2, 3]]},
}


@pytest.mark.parametrize("name", RAGGED)
def test_answer__rows_of_different_lengths__is_the_json_of_each(name: str) -> None:
    """In JSON, and in binary, where a little-endian length stands before each element."""
    (output,) = whole(RAGGED[name], False)
    assert (output["datatype"], output["shape"]) == ("BYTES", [2])
    assert [json.loads(text) for text in output["data"]] == [[1], [2, 3]]
    answer = protocol.answer({"parameters": {"binary_data_output": True}}, RAGGED[name], "e", "7")

    assert answer.body[answer.header_length :] == b"\x03\0\0\0[1]\x06\0\0\0[2, 3]"


SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=3) | st.binary(max_size=3)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=6,
)


@settings(max_examples=400, deadline=None)
@given(st.lists(VALUES, max_size=4), st.booleans())
def test_answer__any_list__has_a_form(result: list[Any], is_binary: bool) -> None:
    for given_ in (result, pd.DataFrame({"x": pd.Series(result, dtype=object)}), {"x": result}):
        outputs = whole(given_, is_binary)
        assert "ask for JSON" in outputs if isinstance(outputs, str) else outputs
