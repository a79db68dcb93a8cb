"""Other people's models over OIP: type hints, numbers as names, values that are missing, arrays of different lengths,
several outputs, no rows.
"""

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pydantic
import pytest
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import Array
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression

from dataplane.wire.frames import RequestHeader
from dataplane.worker.answers import Answer
from dataplane.worker.scorer import Scorer

INVOCATIONS = RequestHeader("invocations", content_type="application/json")


class Message(pydantic.BaseModel):
    text: str
    times: int = 1


class OfObjects(mlflow.pyfunc.PythonModel):
    def predict(self, model_input: list[Message], params: Any = None) -> list[str]:
        return [message.text * message.times for message in model_input]


class OfDicts(mlflow.pyfunc.PythonModel):
    def predict(self, model_input: list[dict[str, int]], params: Any = None) -> list[int]:
        return [sum(item.values()) for item in model_input]


class OfTexts(mlflow.pyfunc.PythonModel):
    def predict(self, model_input: list[str], params: Any = None) -> list[str]:
        return [item.upper() for item in model_input]


class OfLists(mlflow.pyfunc.PythonModel):
    def predict(self, model_input: list[list[float]], params: Any = None) -> list[float]:
        return [sum(item) for item in model_input]


class Told(mlflow.pyfunc.PythonModel):
    """Answers the text of each row."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        return ["|".join(str(item) for item in row) for row in model_input.itertuples(index=False)]


def scorer_of(folder: Path, model: Any, schema: Schema | None = None) -> Scorer:
    signature = None if schema is None else ModelSignature(inputs=schema)
    mlflow.pyfunc.save_model(folder / "model", python_model=model, signature=signature, pip_requirements=["mlflow"])
    return warmed(folder)


def fitted(folder: Path, model: Any, frame: pd.DataFrame, **options: Any) -> Scorer:
    """The scorer of a fitted estimator."""
    options = {"serialization_format": "cloudpickle", "pip_requirements": ["mlflow"], **options}
    mlflow.sklearn.save_model(model, folder / "model", signature=infer_signature(frame), **options)
    return warmed(folder)


def warmed(folder: Path, **options: Any) -> Scorer:
    scorer = Scorer(folder / "model", "7", **options)
    scorer.warm_up()
    return scorer


def tensor(name: str, datatype: str, data: list[Any], shape: list[int] | None = None) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape or [len(data)], "data": data}


def answer(scorer: Scorer, *tensors: dict[str, Any]) -> Answer:
    return scorer.infer(json.dumps({"inputs": tensors}).encode(), "e")


def outputs(scorer: Scorer, *tensors: dict[str, Any]) -> list[Any]:
    given = answer(scorer, *tensors)
    assert given.status == 200, given.body
    return [output["data"] for output in json.loads(given.body)["outputs"]]


@pytest.mark.parametrize(
    ("model", "asked", "wanted"),
    [
        (OfObjects(), tensor("input", "BYTES", ['{"text": "a", "times": 2}', '{"text": "b"}']), ["aa", "b"]),
        (OfDicts(), tensor("input", "BYTES", ['{"a": 1, "b": 2}', "{}"]), [3, 0]),
        (OfTexts(), tensor("input", "BYTES", ["a", "b"], [2, 1]), ["A", "B"]),
        (OfLists(), tensor("input", "FP64", [1.0, 2.0, 3.0, 4.0], [2, 2]), [3.0, 7.0]),
        (OfLists(), tensor("input", "BYTES", ["[1.0]", "[2.0, 3.0]"]), [1.0, 5.0]),
    ],
    ids=["objects", "dicts", "texts", "lists", "lists of different lengths"],
)
def test_type_hints__asked_as_the_metadata_say__answered(model: Any, asked: Any, wanted: Any, tmp_path: Path) -> None:
    scorer = scorer_of(tmp_path, model)
    (told,) = json.loads(scorer.metadata("e").body)["inputs"]

    assert told["name"] == "input"
    assert outputs(scorer, asked) == [wanted]


@pytest.mark.parametrize("text", ['{"times": 2}', "{", "3"])
def test_type_hints__element_that_does_not_fit__the_clients_error(text: str, tmp_path: Path) -> None:
    given = answer(scorer_of(tmp_path, OfObjects()), tensor("input", "BYTES", [text]))

    assert (given.status, given.outcome) == (400, "client_error")


def test_names_that_are_numbers__as_the_metadata_say_them__answered(tmp_path: Path) -> None:
    frame = pd.DataFrame(np.array([[1.0, 2.0], [3.0, 5.0]]))
    scorer = fitted(tmp_path, LinearRegression().fit(frame, [1.0, 2.0]), frame)
    names = [told["name"] for told in json.loads(scorer.metadata("e").body)["inputs"]]

    assert names == ["0", "1"]
    columns = [tensor(name, "FP64", frame[int(name)].tolist()) for name in names]
    assert outputs(scorer, *columns) == [pytest.approx([1.0, 2.0])]
    assert outputs(scorer, tensor("x", "FP64", [1.0, 2.0], [1, 2])) == [pytest.approx([1.0])]


OPTIONAL = Schema(
    [
        ColSpec(DataType.double, "x"),
        ColSpec(DataType.string, "s", False),
        ColSpec(DataType.boolean, "b", False),
        ColSpec(DataType.long, "n", False),
    ]
)


@pytest.mark.parametrize("shape", [[2], [2, 1]])
def test_lone_column__others_are_optional__is_that_column(shape: list[int], tmp_path: Path) -> None:
    scorer = scorer_of(tmp_path, Told(), OPTIONAL)

    assert outputs(scorer, tensor("x", "FP64", [1.0, 2.0], shape)) == [["1.0", "2.0"]]


def test_null__in_texts_booleans_and_floats__reaches_the_model_as_missing(tmp_path: Path) -> None:
    scorer = scorer_of(tmp_path, Told(), OPTIONAL)
    given = outputs(
        scorer,
        tensor("x", "FP64", [1.0, None]),
        tensor("s", "BYTES", ["a", None]),
        tensor("b", "BOOL", [True, None]),
    )

    # MLflow's own protocol makes False of a missing boolean.
    assert given == [["1.0|a|True", "nan|nan|None"]]


@pytest.mark.parametrize(("datatype", "data"), [("INT64", [1, None]), ("BOOL", [True, None]), ("BYTES", ["a", None])])
def test_null__without_signature__reaches_the_model(datatype: str, data: list[Any], tmp_path: Path) -> None:
    ((first, second),) = outputs(scorer_of(tmp_path, Told()), tensor("x", datatype, data))

    assert (first, second) in [("1.0", "nan"), ("True", "None"), ("a", "nan")]


def test_null__in_integers__as_mlflow_says_of_the_same_json(tmp_path: Path) -> None:
    scorer = scorer_of(tmp_path, Told(), OPTIONAL)
    ours = answer(scorer, tensor("x", "FP64", [1.0, 2.0]), tensor("n", "INT64", [1, None]))
    body = json.dumps({"dataframe_records": [{"x": 1.0, "n": 1}, {"x": 2.0, "n": None}]}).encode()
    theirs = scorer.score(INVOCATIONS, [body])[0]

    assert (ours.status, ours.outcome) == (theirs.status, theirs.outcome)


def test_arrays_of_different_lengths__each_as_its_json__reach_the_model(tmp_path: Path) -> None:
    scorer = scorer_of(tmp_path, Told(), Schema([ColSpec(Array(DataType.double), "v")]))

    assert outputs(scorer, tensor("v", "BYTES", ["[1.0]", "[2.0, 3.0]"])) == [["[1.0]", "[2.0, 3.0]"]]
    assert answer(scorer, tensor("v", "BYTES", ["{"])).status == 400


def test_several_outputs__probabilities_of_different_widths__one_tensor_each(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "b": [1.0, 0.0, 1.0, 0.0]})
    targets = np.array([[0, 0], [1, 1], [0, 2], [1, 0]])
    model = RandomForestClassifier(3, random_state=0).fit(frame, targets)
    scorer = fitted(tmp_path, model, frame, pyfunc_predict_fn="predict_proba")
    bodies = [json.dumps({"dataframe_records": [row]}).encode() for row in frame.to_dict(orient="records")]

    assert scorer.profile.objection == "2 example rows together: a list has no entry per row"
    first, second = outputs(scorer, *(tensor(name, "FP64", frame[name].tolist()) for name in frame))
    assert (first, second) == tuple(part.ravel().tolist() for part in model.predict_proba(frame))
    # As many outputs as rows: taking one for the other would answer everybody with everybody's.
    assert scorer.score(INVOCATIONS, bodies[:2]) == [scorer.score_one(INVOCATIONS, body) for body in bodies[:2]]


EMPTY = {
    "split": {"dataframe_split": {"columns": ["a", "b"], "data": []}},
    "columns": {"inputs": {"a": [], "b": []}},
    "records": {"dataframe_records": []},
}


@pytest.mark.parametrize("form", EMPTY)
def test_no_rows__model_fails_on_them__the_clients_error_in_both_protocols(form: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [0.0, 1.0], "b": [1.0, 0.0]})
    scorer = fitted(tmp_path, LinearRegression().fit(frame, [1.0, 2.0]), frame)
    given = scorer.score(INVOCATIONS, [json.dumps(EMPTY[form]).encode()])[0]
    over_oip = answer(scorer, *(tensor(name, "FP64", [], [0]) for name in frame))

    assert (given.status, given.outcome) == (400, "client_error")
    assert (over_oip.status, over_oip.outcome) == (400, "client_error")
    assert "the batch has no rows" in json.loads(over_oip.body)["error"]


class Fragile(mlflow.pyfunc.PythonModel):
    """Answers what JSON has no number for."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        return np.array([np.nan, np.inf, -np.inf, 1.5])[model_input["x"].fillna(0).to_numpy().astype(int) % 4]


@pytest.mark.parametrize(
    ("nan_literal", "wanted"),
    [(False, '{"predictions": [null, null, null, 1.5]}'), (True, '{"predictions": [NaN, Infinity, -Infinity, 1.5]}')],
)
def test_nan__in_answers_of_mlflows_protocol__null_or_as_the_serving_config_says(
    nan_literal: bool, wanted: str, tmp_path: Path
) -> None:
    schema = Schema([ColSpec(DataType.double, "x")])
    options = {"signature": ModelSignature(inputs=schema), "pip_requirements": ["mlflow"]}
    mlflow.pyfunc.save_model(tmp_path / "model", python_model=Fragile(), **options)
    scorer = warmed(tmp_path, nan_literal=nan_literal)
    body = json.dumps({"inputs": {"x": [0.0, 1.0, 2.0, 3.0]}}).encode()

    assert scorer.score(INVOCATIONS, [body])[0].body.decode() == wanted
    assert scorer.score_one(INVOCATIONS, body).body.decode() == wanted
    assert "inputs" in scorer.profile.forms
