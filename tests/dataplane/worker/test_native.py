"""The native path and batches: proved equal to pyfunc, and given up wherever they are not."""

import json
import math
import random
from pathlib import Path
from typing import Any, ClassVar

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LinearRegression

from dataplane.wire.frames import RequestHeader
from dataplane.worker import equivalence
from dataplane.worker.native.request_forms import Forms
from dataplane.worker.scorer import Scorer

ROWS = load_breast_cancer(as_frame=True).data
INVOCATIONS = RequestHeader("invocations", content_type="application/json")
FORMS = ["dataframe_records", "dataframe_split", "inputs", "instances"]


class Doubling(mlflow.pyfunc.PythonModel):
    """Answers a column doubled; refuses negative values."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        if (model_input["x"] < 0).any():
            raise ValueError("x is negative")
        return (model_input["x"] * 2).to_numpy()


class Centring(mlflow.pyfunc.PythonModel):
    """Answers each row's distance from the mean of all rows: it depends on its batch mates."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        return (model_input["x"] - model_input["x"].mean()).to_numpy()


class Unsteady(mlflow.pyfunc.PythonModel):
    """Answers something else each time."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        return np.array([random.random() for _ in range(len(model_input))])


class Tables(mlflow.pyfunc.PythonModel):
    """Answers a DataFrame."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        return pd.DataFrame({"double": model_input["x"] * 2, "text": model_input["x"].map(str)})


class Lookup(mlflow.pyfunc.PythonModel):
    """Answers a whole number per row, none for 77: then numpy makes floating-point numbers of all of them."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        return pd.Series([math.nan if x == 77 else 5 for x in model_input["x"]]).to_numpy()


class Given(mlflow.pyfunc.PythonModel):
    """Answers the parameters and the index it was given."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        is_plain = isinstance(model_input.index, pd.RangeIndex)
        return np.array([f"{params} {is_plain}"] * len(model_input), dtype=object)


class Lists(mlflow.pyfunc.PythonModel):
    """Answers a list, and keeps how many rows it was asked for each time."""

    asked: ClassVar[list[int]] = []

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        Lists.asked.append(len(model_input))
        return model_input["x"].tolist()


class NamesMatter(RegressorMixin, BaseEstimator):
    """Answers otherwise for an array than for a DataFrame."""

    def fit(self, X: Any, y: Any = None) -> "NamesMatter":
        self.fitted_ = True
        return self

    def predict(self, X: Any) -> np.ndarray:
        return np.asarray(X, dtype=float).sum(axis=1) + (1.0 if hasattr(X, "columns") else 0.0)


FRAME = pd.DataFrame({"x": [1.0, 2.5, 7.0, 4.0]})


def load(folder: Path, model: Any, frame: pd.DataFrame = FRAME, *, independent: bool = False, **options: Any) -> Scorer:
    options = {"pip_requirements": ["mlflow"], **options}
    signature = infer_signature(frame, np.array([1.0]))
    path = folder / "model"
    if isinstance(model, mlflow.pyfunc.PythonModel):
        mlflow.pyfunc.save_model(path, python_model=model, signature=signature, input_example=frame, **options)
    else:
        options = {"serialization_format": "cloudpickle", **options}
        mlflow.sklearn.save_model(model, path, signature=signature, input_example=frame, **options)
    scorer = Scorer(path, "7", rows_independent=independent)
    scorer.warm_up()
    return scorer


def split(*values: Any) -> bytes:
    return json.dumps({"dataframe_split": {"columns": ["x"], "data": [[value] for value in values]}}).encode()


@pytest.fixture(scope="module")
def cancer(cancer_model: Path) -> Scorer:
    scorer = Scorer(cancer_model, "7")
    scorer.warm_up()
    return scorer


def test_prove__standard_pipeline__array_path_in_every_form(cancer: Scorer) -> None:
    assert cancer.profile.native == "array"
    assert cancer.profile.forms == sorted([*FORMS, "oip_columns", "oip_matrix"])
    assert cancer.profile.given_up == {}
    assert cancer.max_batch > 1


def test_score__many_requests_together__each_gets_its_own_answer(cancer: Scorer) -> None:
    parts = [ROWS.iloc[begin : begin + 1 + begin % 3] for begin in range(0, 60, 3)]
    bodies = [json.dumps({"dataframe_split": part.to_dict(orient="split", index=False)}).encode() for part in parts]

    assert cancer.score(INVOCATIONS, bodies) == [cancer.score_one(INVOCATIONS, body) for body in bodies]


def test_score__one_bad_among_good_ones__only_it_fails_and_as_if_alone(cancer: Scorer) -> None:
    good = json.dumps({"dataframe_records": ROWS.iloc[:1].to_dict(orient="records")}).encode()
    bad = [b"{", b'{"dataframe_split": {"columns": ["a"], "data": [[1]]}}', good.replace(b"17.99", b'"text"')]
    answers = cancer.score(INVOCATIONS, [good, *bad, good])

    assert [answer.status for answer in answers] == [200, 400, 400, 400, 200]
    assert answers[1:4] == [cancer.score_one(INVOCATIONS, body) for body in bad]


def test_score__infinite_after_scaling__fails_only_for_its_sender(cancer: Scorer) -> None:
    far = ROWS.iloc[:1].copy()
    far.iloc[0, 0] = 1e308
    bodies = [json.dumps({"inputs": part.to_dict(orient="list")}).encode() for part in (ROWS.iloc[1:2], far)]

    assert cancer.score(INVOCATIONS, bodies) == [cancer.score_one(INVOCATIONS, body) for body in bodies]


def test_prove__answers_differ_for_arrays__frame_path(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0], "y": [0.5, 4.0]})
    scorer = load(tmp_path, NamesMatter().fit(frame), frame)

    assert scorer.profile.native == "frame"
    body = b'{"dataframe_split": {"columns": ["x", "y"], "data": [[1.0, 2.0]]}}'
    assert json.loads(scorer.score(INVOCATIONS, [body])[0].body) == {"predictions": [4.0]}


def test_prove__model_depends_on_batch_mates__never_together(tmp_path: Path) -> None:
    scorer = load(tmp_path, Centring())
    answers = scorer.score(INVOCATIONS, [split(1.0), split(9.0)])

    assert scorer.max_batch == 1
    assert [json.loads(answer.body)["predictions"] for answer in answers] == [[0.0], [0.0]]


def test_prove__model_is_unsteady__general_way(tmp_path: Path) -> None:
    scorer = load(tmp_path, Unsteady(), independent=True)

    assert (scorer.profile.native, scorer.max_batch) == ("", 1)
    assert set(scorer.profile.given_up) == {*FORMS, "oip_columns", "oip_matrix"}


def test_decide__model_is_slow__no_native_path_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equivalence, "SLOW_PREDICTION_S", 0.0)
    scorer = load(tmp_path, Doubling(), independent=True)

    assert scorer.profile.native == ""
    assert "would save nothing" in scorer.profile.given_up["inputs"]
    assert scorer.max_batch > 1


def test_decide__takes_longer_than_it_may__every_form_says_so(tmp_path: Path) -> None:
    load(tmp_path, Doubling())
    scorer = Scorer(tmp_path / "model", "7", decide_s=0.0)
    scorer.warm_up()

    assert set(scorer.profile.given_up.values()) == {"not decided within 0 s"}
    assert scorer.profile.is_decided


@pytest.mark.parametrize(
    ("took_s", "is_slow"),
    [([5, 0.01, 5], False), ([0.01], False), ([5], True)],
    ids=["once undisturbed", "quick", "slow"],
)
def test_too_slow__quickest_try_decides(monkeypatch: pytest.MonkeyPatch, took_s: list[float], is_slow: bool) -> None:
    now, tries = [0.0], iter([*took_s, *took_s[-1:] * equivalence.TRIES])
    monkeypatch.setattr(equivalence.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(equivalence, "SCHEDULED", Path("/nowhere"))

    def ask() -> None:
        now[0] += next(tries)

    assert bool(equivalence.too_slow(ask)) is is_slow


def test_stopwatch__others_had_the_processor__does_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    now, scheduled = [0.0], tmp_path / "schedstat"
    monkeypatch.setattr(equivalence.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(equivalence, "SCHEDULED", scheduled)
    scheduled.write_text("0 0 0\n")
    watch = equivalence.Stopwatch()
    now[0] = 60.0
    scheduled.write_text(f"0 {round(59.9e9)} 1\n")

    assert watch.seconds() == pytest.approx(0.1)


def test_score__custom_model_raises_for_one__others_are_answered(tmp_path: Path) -> None:
    scorer = load(tmp_path, Doubling(), independent=True)
    answers = scorer.score(INVOCATIONS, [split(1.0), split(-1.0), split(3.0, 4.0)])

    assert scorer.max_batch > 1
    assert [answer.status for answer in answers] == [200, 400, 200]
    assert answers[1].outcome == "server_error"
    assert json.loads(answers[2].body) == {"predictions": [6.0, 8.0]}


def test_score__mate_changes_the_type_of_the_result__answered_alone(tmp_path: Path) -> None:
    scorer = load(tmp_path, Lookup(), independent=True)
    bodies = [split(1.0), split(77.0), split(3.0)]

    assert scorer.max_batch > 1
    assert scorer.score(INVOCATIONS, bodies) == [scorer.score_one(INVOCATIONS, body) for body in bodies]


@pytest.mark.parametrize("field", ["params", "index"])
def test_score__empty_params_or_an_index__answered_alone(tmp_path: Path, field: str) -> None:
    scorer = load(tmp_path, Given(), independent=True)
    request = {"dataframe_split": {"columns": ["x"], "data": [[1.0]]}}
    (request if field == "params" else request["dataframe_split"])[field] = {} if field == "params" else [7]
    bodies = [json.dumps(request).encode()] * 2

    assert scorer.max_batch > 1
    assert scorer.score(INVOCATIONS, bodies) == [scorer.score_one(INVOCATIONS, body) for body in bodies]


def test_score__answer_is_no_array_any_more__general_way_from_then_on_and_says_so(tmp_path: Path) -> None:
    class Wavering(mlflow.pyfunc.PythonModel):
        def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
            answers = (model_input["x"] * 2).to_numpy()
            return answers.tolist() if (model_input["x"] == 4711).any() else answers

    scorer = load(tmp_path, Wavering())
    before = scorer.profile
    answers = [scorer.score(INVOCATIONS, [split(value)])[0].body for value in (4711.0, 1.0)]

    assert answers == [b'{"predictions": [9422.0]}', b'{"predictions": [2.0]}']
    assert (before.native, scorer.profile.native, scorer.profile.forms) == ("frame", "", [])
    assert set(scorer.profile.given_up) == {*FORMS, "oip_columns", "oip_matrix"}


def test_warm_up__proof_fails_itself__answered_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equivalence, "rows_for", lambda *_: 1 / 0)
    scorer = load(tmp_path, Doubling(), independent=True)

    assert (scorer.profile.native, scorer.max_batch) == ("", 1)
    assert "nothing could be decided (ZeroDivisionError" in scorer.profile.reason
    assert not scorer.profile.is_decided
    assert json.loads(scorer.score(INVOCATIONS, [split(1.0)])[0].body) == {"predictions": [2.0]}


def test_warm_up__column_name_that_no_decoder_can_have__answered_the_general_way(tmp_path: Path) -> None:
    frame = pd.DataFrame({'width "mm"': [1.0, 2.0, 3.0], "x": [1.0, 2.0, 4.0]})
    scorer = load(tmp_path, Doubling(), frame)
    body = json.dumps({"dataframe_records": frame.to_dict(orient="records")}).encode()

    assert scorer.profile.native == ""
    assert json.loads(scorer.score(INVOCATIONS, [body])[0].body) == {"predictions": [2.0, 4.0, 8.0]}


def test_prove__sums_of_products__array_path_to_the_last_digit(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    frame = pd.DataFrame(draw.normal(1e3, 300, (60, 20)), columns=[f"c{place}" for place in range(20)])
    scorer = load(tmp_path, LinearRegression().fit(frame, frame @ draw.normal(size=20)), frame)
    body = json.dumps({"inputs": frame.to_dict(orient="list")}).encode()

    assert scorer.profile.native == "array"
    assert scorer.score(INVOCATIONS, [body]) == [scorer.score_one(INVOCATIONS, body)]


def test_score__model_answers_a_table__split_by_request(tmp_path: Path) -> None:
    scorer = load(tmp_path, Tables(), independent=True)
    bodies = [split(1.0), split(2.5, 3.0)]

    assert scorer.max_batch > 1
    assert scorer.score(INVOCATIONS, bodies) == [scorer.score_one(INVOCATIONS, body) for body in bodies]


def test_score__model_answers_a_list__is_asked_once_for_each_request(tmp_path: Path) -> None:
    scorer = load(tmp_path, Lists(), independent=True)
    Lists.asked.clear()
    scorer.score(INVOCATIONS, [split(1.0)])
    scorer.score(INVOCATIONS, [split(1.0), split(2.0)])

    assert scorer.profile.native == ""
    assert Lists.asked == [1, 2]


def test_prove__mixed_types__frame_path_equals_pyfunc(tmp_path: Path) -> None:
    class Mixed(mlflow.pyfunc.PythonModel):
        def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
            return (model_input["n"] + model_input["s"].str.len() + model_input["b"] * model_input["d"]).to_numpy()

    frame = pd.DataFrame({"n": [1, 2, 3], "s": ["a", "bb", "c"], "b": [True, False, True], "d": [0.5, 1.5, 2.0]})
    scorer = load(tmp_path, Mixed(), frame)
    body = json.dumps({"dataframe_records": [{"n": 5, "s": "word", "b": True, "d": 0.25}]}).encode()

    assert "dataframe_records" in scorer.profile.forms
    assert scorer.score(INVOCATIONS, [body]) == [scorer.score_one(INVOCATIONS, body)]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"dataframe_split": {"columns": ["x", "y"], "data": [[1.0, null]]}}',
        b'{"dataframe_split": {"columns": ["x", "y"], "data": [[1.0, true]]}}',
        b'{"dataframe_split": {"columns": ["y", "x"], "data": [[1.0, 2.0]]}}',
        b'{"dataframe_split": {"columns": ["x", "y"], "data": [[1.0]]}}',
        b'{"dataframe_split": {"columns": ["x", "y"], "data": []}}',
        b'{"dataframe_split": {"columns": ["x", "y"], "index": [3], "data": [[1.0, 2.0]]}}',
        b'{"dataframe_records": [{"x": 1.0, "y": 2.0, "z": 3.0}]}',
        b'{"dataframe_records": [{"x": 1.0}]}',
        b'{"dataframe_records": [{"x": 1.0, "y": 2.0}], "inputs": {"x": [1.0], "y": [2.0]}}',
        b'{"inputs": {"x": [1.0, 2.0], "y": [2.0]}}',
        b'{"dataframe_records": [{"x": 1.0, "y": 2.0}], "params": {"a": 1}}',
        b'{"dataframe_records": [{"x": NaN, "y": 2.0}]}',
    ],
)
def test_forms__anything_but_plain__is_left_to_the_general_way(body: bytes) -> None:
    assert Forms(["x", "y"], ["double", "double"]).invocations(body) is None


def test_forms__plain_requests__rows_in_the_order_of_the_signature() -> None:
    forms = Forms(["x", "a b"], ["double", "long"])
    bodies = {
        "dataframe_split": b'{"dataframe_split": {"columns": ["x", "a b"], "data": [[1, 2]]}}',
        "dataframe_records": b'{"dataframe_records": [{"a b": 2, "x": 1}]}',
        "instances": b'{"instances": [{"x": 1.0, "a b": 2}]}',
        "inputs": b'{"inputs": {"a b": [2], "x": [1.0]}}',
    }

    for form, body in bodies.items():
        plain = forms.invocations(body)
        assert plain is not None
        assert (plain.form, plain.rows) == (form, [(1.0, 2)])


def test_score__integer_beyond_exact_doubles__as_pyfunc_says(cancer: Scorer) -> None:
    record = ROWS.iloc[0].to_dict()
    name = next(iter(record))
    bodies = [
        json.dumps({"dataframe_records": [{**record, name: value}]}).encode() for value in (2**53 + 1, 2**64, 1e300)
    ]

    assert cancer.score(INVOCATIONS, bodies) == [cancer.score_one(INVOCATIONS, body) for body in bodies]
