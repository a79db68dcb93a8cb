"""Tensors into models of every kind of signature and back, through the scorer; malformed ones never count as the
model's failure.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import AnyType, Array, Object, Property

from dataplane.worker.oip import binary
from dataplane.worker.oip.tensors import DATATYPES
from dataplane.worker.scorer import Scorer

COLUMNS = {
    "double": ("FP64", [0.5, 1.5]),
    "float": ("FP32", [0.5, 1.5]),
    "long": ("INT64", [1, 2]),
    "integer": ("INT32", [1, 2]),
    "boolean": ("BOOL", [True, False]),
    "string": ("BYTES", ["a", "é"]),
    "datetime": ("BYTES", ["2026-01-02", "2026-01-03T04:05"]),
    "binary": ("BYTES", ["a", "b"]),
}
EVERY_TYPE = Schema([ColSpec(DataType[name], name) for name in COLUMNS])


class Kinds(mlflow.pyfunc.PythonModel):
    """Says for every column or tensor what it holds."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        if isinstance(model_input, pd.DataFrame):
            first = model_input.iloc[0] if len(model_input) else []
            return {str(name): [type(value).__name__] for name, value in zip(model_input, first, strict=False)}
        if isinstance(model_input, dict):
            return {name: [f"{array.dtype} {list(array.shape)}"] for name, array in model_input.items()}
        return [f"{model_input.dtype} {list(model_input.shape)}"]


class Rows(mlflow.pyfunc.PythonModel):
    """Gives as many rows as it got, in the form that the parameter says."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        values = np.arange(len(model_input), dtype=float)
        forms: dict[str, Callable[[], Any]] = {
            "array": lambda: values,
            "series": lambda: pd.Series(values, name="own"),
            "matrix": lambda: np.stack([values, values + 1], axis=1),
            "frame": lambda: pd.DataFrame({"b": values, "a": ["x"] * len(values)}),
        }
        return forms[params["form"]]()


@pytest.fixture(scope="module")
def scorer_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Scorer]:
    """The scorer of a model with the given signature, made once."""
    made: dict[str, Scorer] = {}

    def scorer(name: str, signature: ModelSignature | None, model: Any = None) -> Scorer:
        if name not in made:
            path: Path = tmp_path_factory.mktemp("models") / name
            mlflow.pyfunc.save_model(
                path, python_model=model or Kinds(), signature=signature, pip_requirements=["mlflow"]
            )
            made[name] = Scorer(path, "7")
        return made[name]

    return scorer


def infer(scorer: Scorer, tensors: list[dict[str, Any]], **request: Any) -> tuple[int, Any]:
    answer = scorer.infer(json.dumps({"inputs": tensors, **request}).encode(), "e")
    return answer.status, json.loads(answer.body)


def columns(**changes: Any) -> list[dict[str, Any]]:
    named = COLUMNS | changes
    return [
        {"name": name, "datatype": kind, "shape": [len(data)], "data": data} for name, (kind, data) in named.items()
    ]


def outputs(answer: Any) -> dict[str, Any]:
    return {output["name"]: output["data"] for output in answer["outputs"]}


def test_columns__every_type__reach_the_model_as_mlflow_has_them(scorer_of: Any) -> None:
    status, answer = infer(scorer_of("columns", ModelSignature(EVERY_TYPE)), columns())

    assert status == 200
    assert outputs(answer) == {
        "double": ["float64"],
        "float": ["float32"],
        "long": ["int64"],
        "integer": ["int32"],
        "boolean": ["bool"],
        "string": ["str"],
        "datetime": ["Timestamp"],
        "binary": ["bytes"],
    }


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"datetime": ("BYTES", ["a", "b"])}, 'tensor "datetime"'),
        ({"datetime": ("BYTES", ["0001-01-01", "9999-99-99"])}, 'tensor "datetime"'),
        ({"long": ("FP64", [0.5, 1.5])}, "long"),
        ({"string": ("INT64", [1, 2])}, "string"),
        ({"double": ("FP64", [1.0])}, "same number of rows"),
        ({"long": ("FP64", [None, 1])}, "long"),
        ({"binary": ("FP64", [1.0, 2.0])}, "binary"),
    ],
)
def test_columns__wrong_type__the_clients_error_that_names_the_column(
    scorer_of: Any, changes: Any, sentence: str
) -> None:
    status, answer = infer(scorer_of("columns", ModelSignature(EVERY_TYPE)), columns(**changes))

    assert (status, sentence in answer["error"]) == (400, True), answer


def test_columns__string_that_is_no_text__refused(scorer_of: Any) -> None:
    text = {"name": "string", "datatype": "BYTES", "shape": [2], "data": ["/w==", "/w=="]}
    others = [tensor for tensor in columns() if tensor["name"] != "string"]
    status, answer = infer(
        scorer_of("columns", ModelSignature(EVERY_TYPE)), [*others, text | {"parameters": {"content_type": "base64"}}]
    )

    assert (status, answer["error"]) == (400, 'tensor "string": an element is not UTF-8 text')


STRUCTURED = Schema(
    [
        ColSpec(Array(DataType.double), "vector"),
        ColSpec(Array(Array(DataType.long)), "matrix"),
        ColSpec(Object([Property("a", DataType.long)]), "object"),
    ]
)


def structured(**changes: Any) -> list[dict[str, Any]]:
    tensors = {
        "vector": {"datatype": "FP64", "shape": [2, 3], "data": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]},
        "matrix": {"datatype": "INT64", "shape": [2, 1, 2], "data": [1, 2, 3, 4]},
        "object": {"datatype": "BYTES", "shape": [2], "data": ['{"a": 1}', '{"a": 2}']},
    } | changes
    return [{"name": name, **tensor} for name, tensor in tensors.items()]


def test_columns__arrays_and_objects__are_rows_of_their_tensors(scorer_of: Any) -> None:
    status, answer = infer(scorer_of("structured", ModelSignature(STRUCTURED)), structured())

    assert (status, outputs(answer)["object"]) == (200, ["dict"])
    assert outputs(answer)["vector"] in (["ndarray"], ["list"])
    metadata = json.loads(scorer_of("structured", None).metadata("e").body)
    assert [(t["datatype"], t["shape"]) for t in metadata["inputs"]] == [
        ("FP64", [-1, -1]),
        ("INT64", [-1, -1, -1]),
        ("BYTES", [-1]),
    ]


@pytest.mark.parametrize("text", ["{", '{"b": 1}', "3", "[" * 5000])
def test_columns__object_that_is_none__refused(scorer_of: Any, text: str) -> None:
    broken = {"datatype": "BYTES", "shape": [2], "data": [text, text]}
    status, answer = infer(scorer_of("structured", ModelSignature(STRUCTURED)), structured(object=broken))

    assert (status, "error" in answer) == (400, True)


TENSORS = Schema(
    [
        TensorSpec(np.dtype(np.float32), (-1, 2), "x"),
        TensorSpec(np.dtype(str), (-1,), "words"),
    ]
)
GOOD_TENSORS = [
    {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]},
    {"name": "words", "datatype": "BYTES", "shape": [1], "data": ["a"]},
]


def test_tensors__named__reach_the_model_in_their_types(scorer_of: Any) -> None:
    status, answer = infer(scorer_of("tensors", ModelSignature(TENSORS)), GOOD_TENSORS)

    assert (status, outputs(answer)) == (200, {"x": ["float32 [1, 2]"], "words": ["<U1 [1]"]})


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        (GOOD_TENSORS[:1], '"words"'),
        ([GOOD_TENSORS[0] | {"datatype": "FP64"}, GOOD_TENSORS[1]], "float32"),
        ([GOOD_TENSORS[0] | {"shape": [2]}, GOOD_TENSORS[1]], "shape"),
        ([*GOOD_TENSORS, GOOD_TENSORS[0]], "same name"),
    ],
)
def test_tensors__not_as_the_signature_says__refused(scorer_of: Any, tensors: Any, sentence: str) -> None:
    status, answer = infer(scorer_of("tensors", ModelSignature(TENSORS)), tensors)

    assert (status, sentence in answer["error"]) == (400, True), answer


@pytest.mark.parametrize("shape", [[2], [1, 2], [1, 1, 2], []])
def test_no_signature__one_tensor__columns_matrix_or_array(scorer_of: Any, shape: list[int]) -> None:
    tensor = {"name": "x", "datatype": "FP64", "shape": shape, "data": [1.0] * int(np.prod(shape))}
    status, answer = infer(scorer_of("free", None), [tensor])
    wanted = {1: {"x": ["float"]}, 2: {"0": ["float"], "1": ["float"]}}.get(
        len(shape), {"predict": [f"float64 {shape}"]}
    )

    assert (status, outputs(answer)) == (200, wanted)


FORM = ParamSchema([ParamSpec("form", DataType.string, "array")])
ONE = Schema([ColSpec(DataType.double, "x")])


@pytest.mark.parametrize(
    ("form", "names", "wanted"),
    [
        ("array", ["score"], {"score": [0.0, 1.0]}),
        ("array", [], {"predict": [0.0, 1.0]}),
        ("series", [], {"own": [0.0, 1.0]}),
        ("matrix", ["low", "high"], {"low": [0.0, 1.0], "high": [1.0, 2.0]}),
        ("matrix", [], {"predict": [0.0, 1.0, 1.0, 2.0]}),
        ("frame", ["b", "a"], {"b": [0.0, 1.0], "a": ["x", "x"]}),
    ],
)
def test_outputs__each_form__named_as_the_metadata_say(
    scorer_of: Any, form: str, names: list[str], wanted: dict[str, Any]
) -> None:
    told = Schema([ColSpec(DataType.double, name) for name in names]) if names else None
    scorer = scorer_of(f"rows {names}", ModelSignature(ONE, told, FORM), Rows())
    tensor = {"name": "x", "datatype": "FP64", "shape": [2], "data": [1.0, 2.0]}
    status, answer = infer(scorer, [tensor], parameters={"form": form})

    assert (status, outputs(answer)) == (200, wanted)


def test_columns__any_type__takes_json(scorer_of: Any) -> None:
    scorer = scorer_of("any", ModelSignature(Schema([ColSpec(AnyType(), "x"), ColSpec(DataType.long, "y")])))
    tensors = [
        {"name": "x", "datatype": "BYTES", "shape": [1], "data": ['{"deep": [1]}']},
        {"name": "y", "datatype": "INT64", "shape": [1], "data": [1]},
    ]

    assert outputs(infer(scorer, tensors)[1]) == {"x": ["dict"], "y": ["int64"]}


USUAL = {name: datatype for name, (datatype, _) in COLUMNS.items()} | {"vector": "FP64", "matrix": "INT64", "x": "FP32"}


@st.composite
def any_tensor(draw: Any, name: str, rows: int) -> tuple[dict[str, Any], bytes]:
    """A tensor that is well formed for the protocol, with its raw bytes; what the model takes it need not be."""
    usual = USUAL.get(name, "BYTES")
    datatype = draw(st.sampled_from([usual, usual, usual, *DATATYPES]))
    shape = draw(st.just([rows]) | st.lists(st.integers(0, 3), max_size=3))
    count = int(np.prod(shape, dtype=int))
    if datatype == "BYTES":
        texts = st.sampled_from([b"2026-01-02", b"{}", b"[1]", b"null"])
        items = draw(st.lists(texts | st.binary(max_size=4), min_size=count, max_size=count))
        raw = binary.encode(datatype, binary.objects(items))
    else:
        size = count * np.dtype(binary.NUMPY[datatype]).itemsize
        raw = draw(st.binary(min_size=size, max_size=size))
    tensor = {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(raw)}}
    return tensor, raw


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_tensors__never_a_failure_of_the_model(scorer_of: Any, data: st.DataObject) -> None:
    signatures = {
        "columns": (ModelSignature(EVERY_TYPE), list(COLUMNS)),
        "structured": (ModelSignature(STRUCTURED), ["vector", "matrix", "object"]),
        "tensors": (ModelSignature(TENSORS), ["x", "words"]),
        "free": (None, ["x", "y"]),
    }
    name = data.draw(st.sampled_from(list(signatures)))
    signature, names = signatures[name]
    rows = data.draw(st.integers(0, 3))
    made = [data.draw(any_tensor(each, rows)) for each in names]
    header = json.dumps({"inputs": [tensor for tensor, _ in made]}).encode()
    answer = scorer_of(name, signature).infer(b"".join([header, *(raw for _, raw in made)]), "e", len(header))

    assert answer.status in (200, 400), answer.body
