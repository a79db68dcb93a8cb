"""The models of the differential test, one per kind of signature, each with good values for its columns."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec

from tests.dataplane.worker.differential_bodies import Table

REQUIREMENTS = ["mlflow", "scikit-learn"]

DOUBLES = Table(
    {"length": [1.5, -2.0, 0.25], "größe, ü": [3, 2.5, 1e-3], "width": [0.1, 1e6, -7.75]},
    varied=["größe, ü"],
    doubles=["length"],
)
PLAIN = Table(
    {"count": [3, -1, 0], "weight": [1.5, 2, -0.5], "name": ["a", "", "ü 漢"], "on": [True, False, True]},
    varied=["count", "weight", "name", "on"],
    doubles=["weight"],
)
MIXED = Table(
    {
        **PLAIN.columns,
        "small": [1, 2, -3],
        "ratio": [0.5, 1.25, -3.0],
        "at": ["2026-01-31T12:30:00", "2026-02-01", "1969-12-31T23:59:59"],
        "extra": [1.0, 2.5, 3.0],
        "note": ["x", "y", "z"],
    },
    varied=["name", "small", "ratio", "at", "extra", "note"],
    doubles=["weight", "ratio"],
    optional=["extra", "note"],
    params={
        "factor": [3.0, 2, "2", "x", None, True, [2.0], 1e400],
        "label": ["y", 1, None, ["y"]],
        "offsets": [[1, 2], [], 1, [1.5], ["1"], [[1]], None],
    },
)


class Rows(mlflow.pyfunc.PythonModel):
    """Answers each row for itself: what it was given, and of which type. Some texts make it fail."""

    def predict(self, context: Any, model_input: Any, params: "dict[str, Any] | None" = None) -> Any:
        given = dict(params or {})
        answers = []
        for row in model_input.to_dict(orient="records"):
            if row.get("name") == "text":
                raise ValueError("the model does not like 'text'")
            if row.get("name") == "true":
                answers.append({"no JSON": object()})
                continue
            seen = {name: f"{type(value).__name__} {value!r}" for name, value in row.items()}
            answers.append({**seen, "params": repr(given), "half": row.get("weight", 0) / 2})
        return answers


class Texts(mlflow.pyfunc.PythonModel):
    """Answers one text per row."""

    def predict(self, context: Any, model_input: Any, params: "dict[str, Any] | None" = None) -> Any:
        if "text" in set(model_input["name"]):
            raise ValueError("the model does not like 'text'")
        return np.array(
            [
                f"{name} {count} {weight!r} {on}"
                for count, weight, name, on in model_input.itertuples(index=False, name=None)
            ],
            dtype=object,
        )


class Shapes(mlflow.pyfunc.PythonModel):
    """Answers the doubled tensor, or the sum of several."""

    def predict(self, context: Any, model_input: Any, params: "dict[str, Any] | None" = None) -> Any:
        if isinstance(model_input, dict):
            return {name: value.sum(axis=tuple(range(1, value.ndim))) for name, value in model_input.items()}
        return model_input * 2


def save_doubles(path: Path) -> None:
    from mlflow.models import infer_signature
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.tree import DecisionTreeRegressor

    draw = np.random.default_rng(5)
    frame = pd.DataFrame(draw.normal(size=(200, 3)), columns=DOUBLES.names)
    pipeline = make_pipeline(StandardScaler(), DecisionTreeRegressor(random_state=0)).fit(frame, frame.sum(axis=1))
    mlflow.sklearn.save_model(
        pipeline,
        path,
        signature=infer_signature(frame, pipeline.predict(frame)),
        input_example=frame.head(5),
        skops_trusted_types=["sklearn.tree._tree.Tree"],
        pip_requirements=REQUIREMENTS,
    )


def _save(path: Path, model: Any, example: Any, inputs: Any, params: "ParamSchema | None" = None) -> None:
    mlflow.pyfunc.save_model(
        path,
        python_model=model,
        signature=None if inputs is None else ModelSignature(inputs=inputs, params=params),
        input_example=example,
        pip_requirements=REQUIREMENTS,
    )


def save_plain(path: Path) -> None:
    kinds = [DataType.long, DataType.double, DataType.string, DataType.boolean]
    schema = Schema([ColSpec(kind, name) for kind, name in zip(kinds, PLAIN.names, strict=True)])
    frame = pd.DataFrame(PLAIN.columns).astype({"weight": np.float64})
    _save(path, Texts(), frame, schema)


def save_mixed(path: Path) -> None:
    kinds = [DataType.long, DataType.double, DataType.string, DataType.boolean, DataType.integer, DataType.float]
    kinds += [DataType.datetime, DataType.double, DataType.string]
    columns = [ColSpec(kind, name, name not in MIXED.optional) for kind, name in zip(kinds, MIXED.names, strict=True)]
    params = ParamSchema(
        [
            ParamSpec("factor", DataType.double, 2.0),
            ParamSpec("label", DataType.string, "x"),
            ParamSpec("offsets", DataType.long, [1], shape=(-1,)),
        ]
    )
    frame = pd.DataFrame(MIXED.columns).astype({"weight": np.float64, "small": np.int32, "ratio": np.float32})
    frame["at"] = pd.to_datetime(frame["at"], format="ISO8601")
    _save(path, Rows(), frame, Schema(columns), params)


def save_tensor(path: Path) -> None:
    _save(path, Shapes(), np.ones((2, 3), dtype=np.float32), Schema([TensorSpec(np.dtype(np.float32), (-1, 3))]))


def save_tensors(path: Path) -> None:
    specs = [TensorSpec(np.dtype(np.float64), (-1, 2, 2), "a"), TensorSpec(np.dtype(np.int64), (-1,), "b")]
    _save(path, Shapes(), {"a": np.ones((2, 2, 2)), "b": np.array([1, 2])}, Schema(specs))


def save_bare(path: Path) -> None:
    _save(path, Rows(), None, None)


SAVE: dict[str, Callable[[Path], None]] = {
    "doubles": save_doubles,
    "plain": save_plain,
    "mixed": save_mixed,
    "tensor": save_tensor,
    "tensors": save_tensors,
    "bare": save_bare,
}
