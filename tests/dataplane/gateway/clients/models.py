"""Two tiny models: one gives back tensors of every datatype, one takes columns of every MLflow type."""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec

NUMPY = {
    "BOOL": "bool",
    **{f"{sign}INT{bits}": f"{sign.lower()}int{bits}" for sign in ("U", "") for bits in (8, 16, 32, 64)},
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    "BYTES": "str",
}
COLUMNS = {
    "number": DataType.double,
    "small": DataType.float,
    "count": DataType.long,
    "index": DataType.integer,
    "flag": DataType.boolean,
    "text": DataType.string,
    "day": DataType.datetime,
    "blob": DataType.binary,
}


class Mirror(mlflow.pyfunc.PythonModel):
    """Gives back every tensor it gets."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        return dict(model_input)


class Describe(mlflow.pyfunc.PythonModel):
    """Says of each row what it got; raises for a negative number."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        if (model_input["number"] < 0).any():
            raise ValueError("negative")
        factor = (params or {}).get("factor", 1.0)
        scaled = model_input["number"] * factor
        kinds = [" ".join(type(value).__name__ for value in row) for row in model_input.itertuples(index=False)]
        return pd.DataFrame({"scaled": scaled, "kinds": kinds, "blob": model_input["blob"], "day": model_input["day"]})


def save(folder: Path) -> dict[str, Path]:
    """Save both models below `folder`; return their paths by name."""
    tensors = Schema([TensorSpec(np.dtype(kind), (-1, 2), name) for name, kind in NUMPY.items()])
    columns = Schema([ColSpec(kind, name) for name, kind in COLUMNS.items()])
    outputs = Schema([ColSpec(DataType.double, "scaled"), ColSpec(DataType.string, "kinds")])
    params = ParamSchema([ParamSpec("factor", DataType.double, 1.0)])
    made = {
        "mirror": (Mirror(), ModelSignature(tensors, tensors)),
        "describe": (Describe(), ModelSignature(columns, outputs, params)),
    }
    for name, (model, signature) in made.items():
        mlflow.pyfunc.save_model(folder / name, python_model=model, signature=signature, pip_requirements=["mlflow"])
    return {name: folder / name for name in made}
