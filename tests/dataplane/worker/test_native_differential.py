"""Whatever a request is, alone or in a batch: it is answered as the general way answers it alone, status and body."""

from pathlib import Path
from typing import Any

import mlflow
import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from sklearn.base import BaseEstimator, RegressorMixin

from dataplane.wire.frames import RequestHeader
from dataplane.worker.scorer import Scorer
from tests.dataplane.worker import native_bodies

INVOCATIONS = RequestHeader("invocations", content_type="application/json")
INFER = RequestHeader("infer", model_name="m")
EXAMPLES: dict[str, list[Any]] = {
    "double": [1.5, -2.0, 0.25],
    "float": [0.5, 1.25, -3.0],
    "long": [3, -1, 0],
    "integer": [1, 2, -3],
    "boolean": [True, False, True],
    "string": ["a", "", "ü 漢"],
}
DTYPES = {"double": "float64", "float": "float32", "long": "int64", "integer": "int32", "boolean": "bool"}


def _told(rows: Any) -> np.ndarray:
    return np.array([" ".join(f"{type(item).__name__} {item!r}" for item in row) for row in rows], dtype=object)


class Telling(RegressorMixin, BaseEstimator):
    """Answers the text of each row's values, types included: no difference between two inputs is lost."""

    def fit(self, X: Any, y: Any = None) -> "Telling":
        self.fitted_ = True
        return self

    def predict(self, X: Any) -> np.ndarray:
        return _told(np.asarray(X))


class Squaring(RegressorMixin, BaseEstimator):
    """Answers numbers: NaN and infinite ones too, for some inputs an error."""

    def fit(self, X: Any, y: Any = None) -> "Squaring":
        self.fitted_ = True
        return self

    def predict(self, X: Any) -> np.ndarray:
        first = np.asarray(X, dtype=np.float64)[:, 0]
        if (first == 1).any():
            raise ValueError("1 is refused")
        with np.errstate(all="ignore"):
            return np.where(first < -500, np.nan, first**64)


class TellingFrames(mlflow.pyfunc.PythonModel):
    """As `Telling`, for a DataFrame of mixed types; parameters are told too. Some texts make it fail."""

    def predict(self, context: Any, model_input: Any, params: "dict[str, Any] | None" = None) -> Any:
        if "text" in set(model_input.get("name", [])):
            raise ValueError("the model does not like 'text'")
        rows = _told(model_input.itertuples(index=False, name=None))
        return rows + f" {list(model_input.columns)} {model_input.dtypes.tolist()} {params}"


def _signature(names: "list[str]", kinds: "list[str]", optional: "set[str]", has_params: bool) -> ModelSignature:
    columns = [ColSpec(DataType[kind], name, name not in optional) for name, kind in zip(names, kinds, strict=True)]
    params = ParamSchema([ParamSpec("factor", DataType.double, 2.0)]) if has_params else None
    return ModelSignature(inputs=Schema(columns), params=params)


# Name → model, columns, whether it must be answered natively.
Case = tuple[Any, dict[str, str], bool]
CASES: dict[str, Case] = {
    "doubles": (Telling(), {"x": "double", "größe, ü": "double", "a/b": "double"}, True),
    "quoted": (Telling(), {"x": "double", 'a "b"\\\t': "double"}, False),
    "one double": (Telling(), {"x": "double"}, True),
    "numbers": (Squaring(), {"x": "double", "y": "double"}, True),
    "floats": (Telling(), {"x": "float", "y": "float"}, True),
    "longs": (Telling(), {"x": "long", "y": "long"}, True),
    "integers": (Telling(), {"x": "integer", "y": "integer"}, True),
    "booleans": (Telling(), {"x": "boolean", "y": "boolean"}, True),
    "mixed": (TellingFrames(), {kind if kind != "string" else "name": kind for kind in EXAMPLES}, True),
    "optional": (TellingFrames(), {"x": "double", "name": "string", "extra": "double"}, False),
    "parameters": (TellingFrames(), {"x": "double", "n": "long"}, False),
}


def _load(folder: Path, name: str) -> Scorer:
    model, columns, _ = CASES[name]
    signature = _signature(list(columns), list(columns.values()), {"extra"}, name == "parameters")
    frame = pd.DataFrame({column: EXAMPLES[kind] for column, kind in columns.items()})
    frame = frame.astype({column: DTYPES[kind] for column, kind in columns.items() if kind in DTYPES})
    path = folder / "model"
    options = {"signature": signature, "input_example": frame, "pip_requirements": ["mlflow"]}
    if isinstance(model, mlflow.pyfunc.PythonModel):
        mlflow.pyfunc.save_model(path, python_model=model, **options)
    else:
        mlflow.sklearn.save_model(model.fit(frame), path, serialization_format="cloudpickle", **options)
    scorer = Scorer(path, "7", rows_independent=True)
    scorer.warm_up()
    return scorer


@pytest.mark.parametrize("name", CASES)
def test_score__any_bodies_together__each_answered_as_alone_the_general_way(tmp_path: Path, name: str) -> None:
    _, columns, is_native = CASES[name]
    scorer = _load(tmp_path, name)
    names, kinds = list(columns), list(columns.values())
    assert (bool(scorer.profile.native)) == is_native
    assert scorer.max_batch > 1

    @given(st.lists(native_bodies.invocations(names, kinds), min_size=1, max_size=4))
    def as_invocations(bodies: "list[bytes]") -> None:
        assert scorer.score(INVOCATIONS, bodies) == [scorer.score_one(INVOCATIONS, body) for body in bodies]

    @given(st.lists(native_bodies.tensors(names, kinds), min_size=1, max_size=4))
    def as_tensors(bodies: "list[bytes]") -> None:
        assert scorer.score(INFER, bodies) == [scorer.score_one(INFER, body) for body in bodies]

    @given(native_bodies.binaries(names))
    def as_binary(request: "tuple[bytes, int]") -> None:
        header = msgspec.structs.replace(INFER, header_length=request[1])
        assert scorer.score(header, [request[0]]) == [scorer.score_one(header, request[0])]

    as_invocations()
    # Tensors of other types are always answered the general way.
    if set(kinds) == {"double"}:
        as_tensors()
        as_binary()
    assert (bool(scorer.profile.native)) == is_native
