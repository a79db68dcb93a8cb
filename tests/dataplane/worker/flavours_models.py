"""Real models of the flavours that people serve, each with rows to ask it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import DataType, ParamSchema, ParamSpec, Schema, TensorSpec

NAMES = ["length", "width", "height", "weight"]
REQUIREMENTS = ["mlflow", "scikit-learn"]
# The model raises for it.
REFUSED = -1000.0


def rows(count: int) -> pd.DataFrame:
    draw = np.random.default_rng(11)
    return pd.DataFrame(draw.normal(size=(count, len(NAMES))), columns=NAMES)


def target(frame: pd.DataFrame) -> Any:
    return (frame["length"] * frame["width"] + frame["height"] > 0).astype(int)


@dataclass(frozen=True)
class Flavour:
    """How to save a model, and what it is asked: a table or an array."""

    save: Callable[[Path], None]
    data: Any


def _saved(flavour: Any, model: Any, path: Path, **further: Any) -> None:
    frame = rows(300)
    signature = infer_signature(frame, model.predict(frame))
    flavour.save_model(
        model, path, signature=signature, input_example=frame.head(4), pip_requirements=REQUIREMENTS, **further
    )


def _classifier() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression()).fit(rows(300), target(rows(300)))


def sklearn_skops(path: Path) -> None:
    _saved(mlflow.sklearn, _classifier(), path, serialization_format="skops")


def sklearn_cloudpickle(path: Path) -> None:
    _saved(mlflow.sklearn, _classifier(), path, serialization_format="cloudpickle")


def sklearn_probabilities(path: Path) -> None:
    model = _classifier()
    mlflow.sklearn.save_model(
        model,
        path,
        signature=infer_signature(rows(9), model.predict_proba(rows(9))),
        input_example=rows(4),
        pyfunc_predict_fn="predict_proba",
        pip_requirements=REQUIREMENTS,
    )


def sklearn_texts(path: Path) -> None:
    """A pipeline over columns of several types whose classes are texts."""
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame = texts(60)
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["colour"]), (StandardScaler(), ["count"])
    )
    model = make_pipeline(encode, LogisticRegression()).fit(frame, ["high" if n > 5 else "low" for n in frame["count"]])
    mlflow.sklearn.save_model(
        model,
        path,
        signature=infer_signature(frame, np.array(["high"])),
        input_example=frame.head(4),
        serialization_format="cloudpickle",
        pip_requirements=REQUIREMENTS,
    )


def texts(count: int) -> pd.DataFrame:
    return pd.DataFrame(
        {"colour": [["red", "grün", "blau"][n % 3] for n in range(count)], "count": [n % 11 for n in range(count)]}
    )


def xgboost_booster(path: Path) -> None:
    import xgboost

    frame = rows(300)
    booster = xgboost.train({"nthread": 1, "max_depth": 3}, xgboost.DMatrix(frame, target(frame)), num_boost_round=8)
    signature = infer_signature(frame, np.zeros(3, dtype=np.float32))
    mlflow.xgboost.save_model(
        booster, path, signature=signature, input_example=frame.head(4), pip_requirements=REQUIREMENTS
    )


def xgboost_classifier(path: Path) -> None:
    import xgboost

    model = xgboost.XGBClassifier(n_estimators=8, max_depth=3, n_jobs=1).fit(rows(300), target(rows(300)))
    _saved(mlflow.xgboost, model, path)


def lightgbm_booster(path: Path) -> None:
    import lightgbm

    frame = rows(300)
    settings = {"objective": "binary", "num_threads": 1, "verbose": -1}
    booster = lightgbm.train(settings, lightgbm.Dataset(frame, target(frame)), num_boost_round=8)
    _saved(mlflow.lightgbm, booster, path)


def lightgbm_classifier(path: Path) -> None:
    import lightgbm

    model = lightgbm.LGBMClassifier(n_estimators=8, n_jobs=1, verbose=-1).fit(rows(300), target(rows(300)))
    _saved(mlflow.lightgbm, model, path, serialization_format="cloudpickle")


def _network() -> Any:
    import torch

    torch.manual_seed(3)
    torch.set_num_threads(1)
    return torch.nn.Sequential(torch.nn.Linear(len(NAMES), 8), torch.nn.ReLU(), torch.nn.Linear(8, 2)).eval()


def pytorch_tensor(path: Path) -> None:
    example = rows(4).to_numpy(dtype=np.float32)
    kind = np.dtype(np.float32)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(kind, (-1, len(NAMES)))]), outputs=Schema([TensorSpec(kind, (-1, 2))])
    )
    mlflow.pytorch.save_model(
        _network(), path, signature=signature, input_example=example, pip_requirements=REQUIREMENTS
    )


def pytorch_columns(path: Path) -> None:
    frame = rows(4)
    signature = infer_signature(frame, pd.DataFrame(np.zeros((4, 2), dtype=np.float32)))
    mlflow.pytorch.save_model(
        _network(),
        path,
        signature=signature,
        input_example=frame,
        serialization_format="pickle",
        pip_requirements=REQUIREMENTS,
    )


class Scaled(mlflow.pyfunc.PythonModel):
    """Multiplies the length by a parameter; raises for one value."""

    def predict(self, context: Any, model_input: Any, params: "dict[str, Any] | None" = None) -> Any:
        if (model_input["length"] == REFUSED).any():
            raise ValueError("no length is that short")
        return model_input["length"].to_numpy() * (params or {}).get("factor", 2.0)


class Explained(mlflow.pyfunc.PythonModel):
    """A DataFrame: numbers, texts and missing values."""

    def predict(self, context: Any, model_input: Any, params: "dict[str, Any] | None" = None) -> Any:
        length = model_input["length"]
        words = ["long" if value > 0 else "short" for value in length]
        return pd.DataFrame({"score": length * 3, "word": words, "root": np.sqrt(length)}, index=model_input.index)


class Centred(mlflow.pyfunc.PythonModel):
    """Each answer depends on all rows of its request: such requests must stay apart."""

    def predict(self, context: Any, model_input: Any, params: "dict[str, Any] | None" = None) -> Any:
        return model_input["length"] - model_input["length"].mean()


class Talking(mlflow.pyfunc.PythonModel):
    """Answers word by word; raises at the word `stop`."""

    def predict(self, context: Any, model_input: Any, params: "dict[str, Any] | None" = None) -> Any:
        return "; ".join(self.predict_stream(context, model_input, params))

    def predict_stream(self, context: Any, model_input: Any, params: "dict[str, Any] | None" = None) -> Iterator[str]:
        for word in str(model_input["messages"][0]["content"]).split():
            if word == "stop":
                raise ValueError("stopped")
            yield word.upper()


def _python(model: Any, path: Path, signature: Any = None) -> None:
    example = None if signature is None else rows(4)
    mlflow.pyfunc.save_model(
        path, python_model=model, signature=signature, input_example=example, pip_requirements=REQUIREMENTS
    )


def with_params(path: Path) -> None:
    inputs = infer_signature(rows(4)).inputs
    _python(Scaled(), path, ModelSignature(inputs, params=ParamSchema([ParamSpec("factor", DataType.double, 2.0)])))


def without_signature(path: Path) -> None:
    _python(Scaled(), path)


def returning_a_frame(path: Path) -> None:
    _python(Explained(), path, infer_signature(rows(4)))


def depending_on_the_batch(path: Path) -> None:
    _python(Centred(), path, infer_signature(rows(4)))


def streaming(path: Path) -> None:
    _python(Talking(), path)


FLAVOURS = {
    save.__name__: Flavour(save, rows(5))
    for save in (
        sklearn_skops,
        sklearn_cloudpickle,
        sklearn_probabilities,
        xgboost_booster,
        xgboost_classifier,
        lightgbm_booster,
        lightgbm_classifier,
        pytorch_columns,
        with_params,
        without_signature,
        returning_a_frame,
        depending_on_the_batch,
    )
} | {
    "sklearn_texts": Flavour(sklearn_texts, texts(5)),
    "pytorch_tensor": Flavour(pytorch_tensor, rows(5).to_numpy(dtype=np.float32)),
}
