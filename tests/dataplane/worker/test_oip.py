"""Requests and answers of the Open Inference Protocol: every datatype in JSON and binary, and every malformed request a
clear refusal.
"""

import datetime
import json
import uuid
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.types import ColSpec, DataType, Schema

from dataplane.worker.answers import Answer, BadInput
from dataplane.worker.oip import binary, protocol
from dataplane.worker.oip.tensors import DATATYPES

VALUES: dict[str, np.ndarray] = {
    "BOOL": np.array([[True, False], [False, True]]),
    **{
        name: np.array([[np.iinfo(kind).min, 0], [1, np.iinfo(kind).max]], dtype=kind)
        for name, kind in binary.NUMPY.items()
        if "INT" in name
    },
    "FP16": np.array([[0.5, -1], [65504, np.nan]], dtype=np.float16),
    "FP32": np.array([[0.1, -1], [np.finfo(np.float32).max, np.nan]], dtype=np.float32),
    "FP64": np.array([[0.1, -1], [np.finfo(np.float64).max, np.nan]]),
    "BYTES": np.array([["", "a"], ["héllo", "日本"]], dtype=object),
}


def raw_of(datatype: str) -> bytes:
    array = VALUES[datatype]
    return binary.encode(datatype, binary.objects([t.encode() for t in array.flat]) if datatype == "BYTES" else array)


def body_of(request: dict[str, Any], *raw: bytes) -> tuple[bytes, int]:
    header = json.dumps(request).encode()
    return b"".join([header, *raw]), len(header)


def decoded(body: bytes, header_length: int | None = None) -> list[tuple[str, np.ndarray]]:
    return [protocol.decode_tensor(tensor) for tensor in protocol.parse_request(body, header_length)["inputs"]]


def tensor(datatype: str = "FP64", shape: Any = (1,), **more: Any) -> dict[str, Any]:
    return {"name": "x", "datatype": datatype, "shape": list(shape), **more}


def refusal(request: dict[str, Any], *raw: bytes, header_length: int | None = -1) -> str:
    """The sentence with which a request is refused; `header_length` -1 is the right one."""
    body, length = body_of(request, *raw)
    with pytest.raises(BadInput) as caught:
        decoded(body, length if header_length == -1 else header_length)
    return str(caught.value)


@pytest.mark.parametrize("datatype", DATATYPES)
def test_binary_input__each_datatype__has_its_values(datatype: str) -> None:
    raw = raw_of(datatype)
    asked = tensor(datatype, (2, 2), parameters={"binary_data_size": len(raw)})
    ((name, array),) = decoded(*body_of({"inputs": [asked]}, raw))

    assert name == "x"
    assert array.flags.writeable
    np.testing.assert_array_equal(array, VALUES[datatype])


@pytest.mark.parametrize("datatype", [datatype for datatype in DATATYPES if datatype != "FP16"])
@pytest.mark.parametrize("nested", [True, False])
def test_json_input__each_datatype_nested_and_flat__has_its_values(datatype: str, nested: bool) -> None:
    data = VALUES[datatype].tolist() if nested else VALUES[datatype].reshape(-1).tolist()
    ((_, array),) = decoded(json.dumps({"inputs": [tensor(datatype, (2, 2), data=data)]}).encode())

    np.testing.assert_array_equal(array, VALUES[datatype])


@pytest.mark.parametrize("datatype", DATATYPES)
@pytest.mark.parametrize("as_binary", [True, False])
def test_answer__each_datatype__comes_back_as_it_went(datatype: str, as_binary: bool) -> None:
    request = {"inputs": [], "parameters": {"binary_data_output": as_binary}}
    answer = protocol.answer(request, VALUES[datatype], "e", "7")
    length = len(answer.body) if answer.header_length is None else answer.header_length
    (output,) = json.loads(answer.body[:length])["outputs"]

    assert output["datatype"] == ("FP32" if datatype == "FP16" and not as_binary else datatype)
    assert (answer.header_length is not None) == as_binary
    ((_, array),) = decoded(json.dumps({"inputs": [output]}).encode() + answer.body[length:], *bool_length(answer))
    np.testing.assert_array_equal(array, VALUES[datatype])


def bool_length(answer: Answer) -> list[int]:
    """The length of the re-encoded header as an argument list; empty for an answer in JSON."""
    if answer.header_length is None:
        return []
    return [len(json.dumps({"inputs": json.loads(answer.body[: answer.header_length])["outputs"]}).encode())]


def test_binary_input__two_tensors_and_one_in_json__each_takes_its_own_part() -> None:
    first, second = b"\x01\x00\x00\x00", b"\x02\x03"
    inputs = [
        {"name": "a", "datatype": "INT32", "shape": [1], "parameters": {"binary_data_size": 4}},
        {"name": "b", "datatype": "INT64", "shape": [1], "data": [9]},
        {"name": "c", "datatype": "UINT8", "shape": [2], "parameters": {"binary_data_size": 2}},
    ]
    arrays = dict(decoded(*body_of({"inputs": inputs}, first, second)))

    assert {name: array.tolist() for name, array in arrays.items()} == {"a": [1], "b": [9], "c": [2, 3]}


def test_bytes__not_utf8__stay_bytes_and_go_as_base64_in_json_both_ways() -> None:
    raw = b"\x02\x00\x00\x00\xff\xfe\x01\x00\x00\x00a"
    asked = tensor("BYTES", (2,), parameters={"binary_data_size": len(raw)})
    ((_, array),) = decoded(*body_of({"inputs": [asked]}, raw))
    (output,) = json.loads(protocol.answer({"inputs": []}, array, "e", "7").body)["outputs"]

    assert array.tolist() == [b"\xff\xfe", b"a"]
    assert output["data"] == ["//4=", "YQ=="]
    assert output["parameters"] == {"content_type": "base64"}
    assert decoded(json.dumps({"inputs": [output]}).encode())[0][1].tolist() == [b"\xff\xfe", b"a"]


def test_outputs__some_binary__only_those_follow_the_json() -> None:
    result = {"a": np.array([1.5]), "b": np.array([2]), "c": np.array([3])}
    outputs = [{"name": "c", "parameters": {"binary_data": False}}, {"name": "a"}]
    request = {"inputs": [], "outputs": outputs, "parameters": {"binary_data_output": True}, "id": "42"}
    answer = protocol.answer(request, result, "e", "7")
    header = json.loads(answer.body[: answer.header_length])

    assert (header["id"], header["model_name"], header["model_version"]) == ("42", "e", "7")
    assert header["outputs"] == [
        {"name": "c", "shape": [1], "datatype": "INT64", "data": [3]},
        {"name": "a", "shape": [1], "datatype": "FP64", "parameters": {"binary_data_size": 8}},
    ]
    assert answer.body[answer.header_length :] == np.float64(1.5).tobytes()
    assert answer.content_type == "application/octet-stream"


@pytest.mark.parametrize(
    ("result", "datatype", "data"),
    [
        (np.array([1.0, np.inf, np.nan]), "FP64", [1.0, None, None]),
        (np.float32(2.5), "FP32", [2.5]),
        (3, "INT64", [3]),
        (np.array([1, 2], dtype=">i4"), "INT32", [1, 2]),
        (["a", None, float("nan")], "BYTES", ["a", "", ""]),
        ([{"a": 1}, [1, 2]], "BYTES", ['{"a": 1}', "[1, 2]"]),
        ([[1], [1, 2]], "BYTES", ["[1]", "[1, 2]"]),
        (np.array(["2026-01-02", "NaT"], dtype="datetime64[s]"), "BYTES", ["2026-01-02T00:00:00", ""]),
        (pd.Series([1, None], dtype="Int64"), "INT64", [1, None]),
        (pd.Series([1.5, None], dtype="Float64"), "FP64", [1.5, None]),
        (pd.Series([True, None], dtype="boolean"), "BOOL", [True, None]),
        (pd.Series([None, None], dtype="boolean"), "BOOL", [None, None]),
        ([1.5, None], "FP64", [1.5, None]),
        ([1, None], "INT64", [1, None]),
        ([True, None], "BOOL", [True, None]),
        ([1, None, 2.5], "FP64", [1.0, None, 2.5]),
        ([2**63], "UINT64", [2**63]),
        ([2**63, None], "UINT64", [2**63, None]),
        ([2**63, -1], "BYTES", [str(2**63), "-1"]),
        ([2**70], "BYTES", [str(2**70)]),
        ([2**70, 1.5], "BYTES", [str(2**70), "1.5"]),
        ([Decimal("1.50"), None], "BYTES", ["1.50", ""]),
        ([uuid.UUID(int=7)], "BYTES", ["00000000-0000-0000-0000-000000000007"]),
        ([pd.Timedelta("1h")], "BYTES", ["P0DT1H0M0S"]),
        (np.array([3600], dtype="timedelta64[s]"), "BYTES", ["P0DT1H0M0S"]),
        ([datetime.timedelta(hours=1)], "BYTES", ["P0DT1H0M0S"]),
        ((value for value in [1.5, 2.5]), "FP64", [1.5, 2.5]),
        ([{"a": np.int64(1), "b": float("nan"), "c": [pd.NA]}], "BYTES", ['{"a": 1, "b": null, "c": [null]}']),
        (pd.DataFrame({"x": [1.0, 2.0]}), "FP64", [1.0, 2.0]),
        (pd.Series([1, 2], dtype="Int64"), "INT64", [1, 2]),
        (pd.Series(["a", None], dtype="str"), "BYTES", ["a", ""]),
        ([pd.Timestamp("2026-01-02T03:00")], "BYTES", ["2026-01-02T03:00:00"]),
        ([b"\xff", "é"], "BYTES", ["/w==", "w6k="]),
    ],
)
def test_answer__odd_results__have_a_defined_json_form(result: Any, datatype: str, data: list[Any]) -> None:
    (output,) = json.loads(protocol.answer({"inputs": []}, result, "e", "7").body)["outputs"]

    assert (output["datatype"], output["data"], output["shape"]) == (datatype, data, [len(data)])


MULTI = [np.array([[0.2, 0.8], [0.5, 0.5]]), np.array([[0.1, 0.2, 0.7], [1.0, 0.0, 0.0]])]
TWICE = pd.DataFrame([[1, 2.5], [3, 4.5]], columns=["a", "a"])
type_Outputs = list[tuple[str, str, list[int], list[Any]]]


@pytest.mark.parametrize(
    ("result", "wanted"),
    [
        (
            MULTI,
            [
                ("predict-0", "FP64", [2, 2], [0.2, 0.8, 0.5, 0.5]),
                ("predict-1", "FP64", [2, 3], [0.1, 0.2, 0.7, 1, 0, 0]),
            ],
        ),
        (TWICE, [("a", "INT64", [2], [1, 3]), ("a.1", "FP64", [2], [2.5, 4.5])]),
        (pd.DataFrame({"v": [[1.0, 2.0], [3.0, 4.0]]}), [("v", "FP64", [2, 2], [1, 2, 3, 4])]),
        (pd.DataFrame({"v": [np.array([1, 2]), np.array([3, 4])]}), [("v", "INT64", [2, 2], [1, 2, 3, 4])]),
        (pd.DataFrame({"v": [[1.0], [3.0, None]]}), [("v", "BYTES", [2], ["[1.0]", "[3.0, null]"])]),
        (pd.DataFrame({"v": [["a"], ["b"]]}), [("v", "BYTES", [2, 1], ["a", "b"])]),
        ({"n": [None, 1.5], "t": ["x", None]}, [("n", "FP64", [2], [None, 1.5]), ("t", "BYTES", [2], ["x", ""])]),
    ],
    ids=["several outputs", "a name twice", "lists", "arrays", "different lengths", "texts", "dict"],
)
def test_answer__of_several_tensors_or_arrays__has_them_all(result: Any, wanted: type_Outputs) -> None:
    outputs = json.loads(protocol.answer({"inputs": []}, result, "e", "7").body)["outputs"]

    assert [(one["name"], one["datatype"], one["shape"], one["data"]) for one in outputs] == wanted


@pytest.mark.parametrize(
    ("kind", "result", "datatype", "data"),
    [
        ("double", [1, 2], "FP64", [1.0, 2.0]),
        ("double", [None, None], "FP64", [None, None]),
        ("double", [1, None], "FP64", [1.0, None]),
        ("float", [1.5, 2.5], "FP32", [1.5, 2.5]),
        ("long", np.array([1, 2], dtype=np.int32), "INT64", [1, 2]),
        ("long", [None, None], "INT64", [None, None]),
        ("integer", [1, 2], "INT32", [1, 2]),
        ("integer", [1, 2**40], "INT64", [1, 2**40]),
        ("long", [1.5], "FP64", [1.5]),
        ("string", [None, None], "BYTES", ["", ""]),
    ],
)
def test_answer__signature_tells_the_type__whatever_numbers_come(
    kind: str, result: Any, datatype: str, data: Any
) -> None:
    schema = Schema([ColSpec(DataType[kind], "y")])
    (output,) = json.loads(protocol.answer({"inputs": []}, result, "e", "7", schema).body)["outputs"]

    assert (output["name"], output["datatype"], output["data"]) == ("y", datatype, data)


def binary_output(result: Any) -> tuple[str, list[Any]]:
    """Datatype and values of the only output as binary data."""
    answer = protocol.answer({"parameters": {"binary_data_output": True}}, result, "e", "7")
    assert answer.header_length is not None
    (output,) = json.loads(answer.body[: answer.header_length])["outputs"]
    raw = memoryview(answer.body)[answer.header_length :]
    return output["datatype"], binary.decode("x", output["datatype"], raw, output["shape"][0]).tolist()


@pytest.mark.parametrize(
    ("result", "values"),
    [
        (pd.Series([1, None], dtype="Int64"), [1.0, None]),
        (pd.Series([1, 2], dtype="Int64"), [1.0, 2.0]),
        (pd.Series([True, None], dtype="boolean"), [1.0, None]),
        ([1, None], [1.0, None]),
    ],
)
def test_answer__type_that_knows_missing_values_in_binary__floating_point_whatever_is_there(
    result: Any, values: list[Any]
) -> None:
    datatype, seen = binary_output(result)

    assert (datatype, [None if value != value else value for value in seen]) == ("FP64", values)


def test_answer__missing_among_integers_that_fp64_cannot_hold_in_binary__refused_with_a_sentence() -> None:
    with pytest.raises(BadInput, match="too large for FP64: ask for JSON"):
        binary_output([2**60, None])


REFUSED_JSON: dict[str, tuple[dict[str, Any], str]] = {
    "unknown datatype": (tensor("BF16", data=[1]), "unknown datatype 'BF16'"),
    "datatype no text": (tensor(["x"], data=[1]), "unknown datatype"),
    "FP16": (tensor("FP16", data=[1]), "FP16 has no JSON form"),
    "no data": (tensor(), '"data" must be a list'),
    "negative shape": (tensor(shape=[-1], data=[]), "non-negative"),
    "boolean in shape": (tensor(shape=[True], data=[1]), "non-negative"),
    "too few": (tensor(shape=[2], data=[1]), "needs 2 elements"),
    "ragged": (tensor(shape=[2, 2], data=[[1, 2, 3], [4]]), "differ in length"),
    "lists and numbers": (tensor(shape=[2], data=[[1], 2]), "differ in length"),
    "list after number": (tensor(shape=[2], data=[1, [2]]), "numbers or null"),
    "enormous": (tensor(shape=[10**9, 10**9], data=[]), "more than"),
    "enormous but empty": (tensor(shape=[0, 10**9, 10**9], data=[]), "more than"),
    "many dimensions": (tensor(shape=[1] * 99, data=[1]), "dimensions"),
    "integer range": (tensor("UINT8", data=[256]), "integers from 0 to 255"),
    "fraction": (tensor("INT32", data=[1.0]), "integers from"),
    "boolean as integer": (tensor("INT32", data=[True]), "integers from"),
    "text as number": (tensor(data=["1"]), "numbers or null"),
    "too large": (tensor("FP32", data=[1e300]), "too large for FP32"),
    "far too large": (tensor("FP64", data=[10**400]), "too large for FP64"),
    "number as text": (tensor("BYTES", data=[1]), "JSON strings"),
    "half a character": (tensor("BYTES", data=["\ud800"]), "not valid text"),
    "no base64": (tensor("BYTES", data=["%"], parameters={"content_type": "base64"}), "not valid base64"),
    "number as boolean": (tensor("BOOL", data=[1]), "true, false or null"),
    "shared memory": (tensor(parameters={"shared_memory_region": "r"}), "shared memory"),
    "parameters no object": (tensor(data=[1], parameters=3), "must be an object"),
    "binary without header": (tensor(parameters={"binary_data_size": 8}), "Inference-Header-Content-Length"),
    "raw in JSON": (tensor(raw="abcdefgh"), '"data" must be a list'),
}


@pytest.mark.parametrize("case", list(REFUSED_JSON))
def test_json_input__malformed__refused_with_the_tensors_name(case: str) -> None:
    asked, sentence = REFUSED_JSON[case]
    told = refusal({"inputs": [asked]}, header_length=None)

    assert sentence in told
    assert '"x"' in told


REFUSED_BINARY: dict[str, tuple[dict[str, Any], bytes, str]] = {
    "too short": (tensor(parameters={"binary_data_size": 8}), b"1234", "4 bytes are left"),
    "too long": (tensor(parameters={"binary_data_size": 8}), b"123456789", "1 bytes after"),
    "wrong size": (tensor(parameters={"binary_data_size": 4}), b"1234", "are 8 bytes, not 4"),
    "size no number": (tensor(parameters={"binary_data_size": "8"}), b"", "non-negative integer"),
    "data as well": (tensor(data=[1], parameters={"binary_data_size": 8}), b"12345678", "both"),
    "cut length": (tensor("BYTES", parameters={"binary_data_size": 3}), b"\x01\x00\x00", "cut off"),
    "cut element": (tensor("BYTES", parameters={"binary_data_size": 5}), b"\xff\xff\xff\xffa", "1 are left"),
    "too many elements": (tensor("BYTES", parameters={"binary_data_size": 8}), b"\0" * 8, "has 2"),
}


@pytest.mark.parametrize("case", list(REFUSED_BINARY))
def test_binary_input__malformed__refused_with_a_sentence(case: str) -> None:
    asked, raw, sentence = REFUSED_BINARY[case]

    assert sentence in refusal({"inputs": [asked]}, raw)


@pytest.mark.parametrize("length", [-2, 10**6])
def test_binary_input__header_length_outside_the_body__refused(length: int) -> None:
    assert "Inference-Header-Content-Length" in refusal({"inputs": []}, header_length=length)


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"inputs": [tensor()], "id": 3}, '"id"'),
        ({"inputs": [tensor()], "parameters": []}, '"parameters"'),
        ({"inputs": [tensor()], "parameters": {"binary_data_output": 1}}, "binary_data_output"),
        ({"inputs": [tensor()], "outputs": [{}]}, '"outputs"'),
        ({"inputs": [tensor()], "outputs": [{"name": "a"}, {"name": "a"}]}, "twice"),
        ({"inputs": [tensor()], "outputs": [{"name": "a", "parameters": {"binary_data": "x"}}]}, 'output "a"'),
        ({"inputs": {}}, '"inputs"'),
        ({"inputs": [3]}, '"inputs"'),
    ],
)
def test_request__malformed__refused_with_a_sentence(request_: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal(request_, header_length=None)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
PARAMETERS = st.fixed_dictionaries(
    {}, optional={"binary_data_size": st.integers(-1, 40) | JSON_VALUES, "content_type": st.just("base64")}
)
TENSORS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["x", "y", ""]) | JSON_VALUES,
        "datatype": st.sampled_from([*DATATYPES, "BF16"]) | JSON_VALUES,
        "shape": st.lists(st.integers(-1, 4) | st.integers(), max_size=4) | JSON_VALUES,
        "data": st.lists(st.integers() | st.floats() | st.booleans() | st.text(max_size=3), max_size=8) | JSON_VALUES,
        "parameters": PARAMETERS | JSON_VALUES,
        "raw": JSON_VALUES,
    },
)
REQUESTS = st.fixed_dictionaries(
    {"inputs": st.lists(TENSORS, max_size=3) | JSON_VALUES},
    optional={"id": JSON_VALUES, "outputs": JSON_VALUES, "parameters": JSON_VALUES},
)


@settings(max_examples=400, deadline=None)
@given(REQUESTS, st.binary(max_size=40), st.none() | st.integers(-5, 5))
def test_request__anything__is_understood_or_refused(request_: Any, raw: bytes, off_by: int | None) -> None:
    body, length = body_of(request_, raw)
    try:
        tensors = decoded(body, None if off_by is None else length + off_by)
        given = protocol.model_input(tensors, None)
    except BadInput:
        return
    assert tensors
    assert given is not None


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.none() | st.integers(-1, 210))
def test_request__any_bytes__understood_or_refused(body: bytes, header_length: int | None) -> None:
    try:
        tensors = decoded(body, header_length)
    except BadInput:
        return
    assert tensors
