"""Which models are known to be row-wise: whole, exactly, and by what they are made of."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import mlflow
import numpy as np
import pandas as pd
import pytest
import xgboost
from mlflow.models import infer_signature
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    BaggingClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - it makes the next line possible
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.feature_selection import SelectFromModel, SelectKBest
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.linear_model import LassoCV, LogisticRegression, RANSACRegressor, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    Normalizer,
    OneHotEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
)
from sklearn.svm import SVC

from dataplane.worker import row_wise
from dataplane.worker.row_wise import RowWise

DRAW = np.random.default_rng(3)
NUMBERS = pd.DataFrame(DRAW.normal(size=(80, 4)), columns=list("abcd"))
TARGET = (NUMBERS["a"] > 0).astype(int)
MIXED = NUMBERS.assign(
    kind=pd.Series(np.where(TARGET, "x", "y"), dtype=object), text=pd.Series(["some words"] * 80, dtype=object)
)
LOGISTIC = LogisticRegression()
BRANCHES = [("a", LogisticRegression()), ("b", RandomForestClassifier(3))]


class OwnScaler(StandardScaler):
    """Scales by what it is asked, not by what it was fitted with."""

    def transform(self, X: Any, copy: Any = None) -> Any:
        return (X - X.mean()) / X.std()


class OwnClassifier(LogisticRegression):
    """A class that only has another name."""


def columns(**options: Any) -> ColumnTransformer:
    parts = [
        ("numbers", StandardScaler(), make_column_selector(dtype_include=np.number)),
        ("kind", OneHotEncoder(), ["kind"]),
    ]
    return ColumnTransformer([*parts, ("text", TfidfVectorizer(), "text")], **options)


KNOWN: dict[str, tuple[Any, pd.DataFrame]] = {
    "scaled": (make_pipeline(StandardScaler(), LOGISTIC), NUMBERS),
    "union": (make_pipeline(make_union(PCA(2), SelectKBest(k=1)), LOGISTIC), NUMBERS),
    "table": (make_pipeline(columns(), LOGISTIC), MIXED),
    "table, rest passed on": (
        make_pipeline(ColumnTransformer([("kind", OneHotEncoder(), ["kind"])], remainder="passthrough"), LOGISTIC),
        MIXED.drop(columns="text"),
    ),
    "bins": (
        make_pipeline(QuantileTransformer(n_quantiles=20), PowerTransformer(), KBinsDiscretizer(3), LOGISTIC),
        NUMBERS,
    ),
    "filled": (make_pipeline(SimpleImputer(add_indicator=True), PolynomialFeatures(), Normalizer(), LOGISTIC), NUMBERS),
    "splines": (make_pipeline(SplineTransformer(), SelectFromModel(LassoCV()), LOGISTIC), NUMBERS),
    "identity": (make_pipeline(FunctionTransformer(), LOGISTIC), NUMBERS),
    "forest": (RandomForestClassifier(5), NUMBERS),
    "boosting": (GradientBoostingClassifier(n_estimators=3), NUMBERS),
    "histograms": (HistGradientBoostingClassifier(max_iter=3), NUMBERS),
    "histograms of categories": (
        HistGradientBoostingClassifier(max_iter=3, categorical_features="from_dtype"),
        MIXED.drop(columns="text").astype({"kind": "category"}),
    ),
    "isolation": (IsolationForest(n_estimators=3), NUMBERS),
    "kernel": (SVC(), NUMBERS),
    "likelihood": (GaussianNB(), NUMBERS),
    "layers": (MLPClassifier((3,), max_iter=500), NUMBERS),
    "searched": (GridSearchCV(LOGISTIC, {"C": [1.0, 2.0]}, cv=2), NUMBERS),
    "voting": (VotingClassifier(BRANCHES), NUMBERS),
    "stacked": (StackingClassifier(BRANCHES, cv=2), NUMBERS),
    "bagged": (BaggingClassifier(n_estimators=2), NUMBERS),
    "one against the rest": (OneVsRestClassifier(LOGISTIC), NUMBERS),
    "calibrated": (CalibratedClassifierCV(LOGISTIC, cv=2), NUMBERS),
    "target scaled": (TransformedTargetRegressor(Ridge(), transformer=StandardScaler()), NUMBERS),
    "consensus": (RANSACRegressor(), NUMBERS),
    "lightgbm": (lightgbm.LGBMClassifier(n_estimators=2, verbose=-1), NUMBERS),
}
UNKNOWN: dict[str, tuple[Any, pd.DataFrame, str]] = {
    "function": (make_pipeline(FunctionTransformer(np.tanh), LOGISTIC), NUMBERS, "ufunc is not a known class"),
    "neighbours": (KNeighborsClassifier(), NUMBERS, "KNeighborsClassifier is not a known class"),
    "neighbours' values": (make_pipeline(KNNImputer(), LOGISTIC), NUMBERS, "KNNImputer is not a known class"),
    "values in turn": (make_pipeline(IterativeImputer(), LOGISTIC), NUMBERS, "IterativeImputer is not a known class"),
    "own transformer": (make_pipeline(OwnScaler(), LOGISTIC), NUMBERS, "Pipeline → OwnScaler is not a known class"),
    "own classifier": (make_pipeline(StandardScaler(), OwnClassifier()), NUMBERS, "OwnClassifier is not a known class"),
    "in a search": (GridSearchCV(OwnClassifier(), {"C": [1.0]}, cv=2), NUMBERS, "GridSearchCV → OwnClassifier is"),
    "in a vote": (VotingClassifier([*BRANCHES, ("c", OwnClassifier())]), NUMBERS, "OwnClassifier is not a known class"),
    "own words": (
        make_pipeline(ColumnTransformer([("t", CountVectorizer(tokenizer=str.split), "text")]), LOGISTIC),
        MIXED,
        "method_descriptor is not a known class",
    ),
    "at random": (DummyClassifier(strategy="stratified"), NUMBERS, "DummyClassifier answers at random"),
    "own kernel": (SVC(kernel=lambda a, b: a @ b.T), NUMBERS, "kernel of SVC is a function"),
    "target of a function": (TransformedTargetRegressor(Ridge(), func=np.exp, inverse_func=np.log), NUMBERS, "ufunc"),
}


def saved(model: Any, data: pd.DataFrame, folder: Path, **options: Any) -> Any:
    """A fitted model as MLflow loads it."""
    options = {"serialization_format": "cloudpickle", "pip_requirements": ["mlflow"], **options}
    mlflow.sklearn.save_model(
        model,
        folder / "model",
        signature=infer_signature(data.astype({c: object for c in data if data[c].dtype == "category"})),
        **options,
    )
    return mlflow.pyfunc.load_model(str(folder / "model"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", KNOWN)
def test_judge__made_of_known_parts__is_known(name: str, tmp_path: Path) -> None:
    model, data = KNOWN[name]
    found = row_wise.judge(saved(model.fit(data, TARGET), data, tmp_path))

    assert found.is_known, found.reason
    assert found.reason.startswith("every part of the model is row-wise (")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", KNOWN)
def test_known__row_alone_among_others_and_backwards__the_same(name: str) -> None:
    model, data = KNOWN[name]
    model.fit(data, TARGET)
    alone = np.concatenate([model.predict(data.iloc[place : place + 1]) for place in range(len(data))])

    assert model.predict(data) == pytest.approx(alone)
    assert model.predict(data[::-1])[::-1] == pytest.approx(alone)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", UNKNOWN)
def test_judge__one_part_is_not_known__says_which(name: str, tmp_path: Path) -> None:
    model, data, sentence = UNKNOWN[name]
    found = row_wise.judge(saved(model.fit(data, TARGET), data, tmp_path))

    assert not found.is_known
    assert sentence in found.reason


def test_judge__code_of_its_author__is_not_known(tmp_path: Path) -> None:
    class Model(mlflow.pyfunc.PythonModel):
        def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
            return model_input

    mlflow.pyfunc.save_model(tmp_path / "model", python_model=Model(), pip_requirements=["mlflow"])

    found = row_wise.judge(mlflow.pyfunc.load_model(str(tmp_path / "model")))

    assert found == RowWise(False, "Model is code of its author")


@pytest.mark.parametrize(("verb", "is_known"), [("predict_proba", True), ("score", False)])
def test_judge__asked_otherwise__known_verbs_only(verb: str, is_known: bool, tmp_path: Path) -> None:
    model = saved(LogisticRegression().fit(NUMBERS, TARGET), NUMBERS, tmp_path, pyfunc_predict_fn=verb)

    assert row_wise.judge(model).is_known is is_known


@pytest.mark.parametrize("kind", ["XGBClassifier", "XGBRegressor", "XGBRFClassifier", "Booster"])
def test_judge__xgboost__is_known_through_its_own_flavour(kind: str, tmp_path: Path) -> None:
    if kind == "Booster":
        model = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(NUMBERS, label=TARGET), 2)
    else:
        model = getattr(xgboost, kind)(n_estimators=2).fit(NUMBERS, TARGET)
    mlflow.xgboost.save_model(model, tmp_path / "model", pip_requirements=["mlflow"])
    found = row_wise.judge(mlflow.pyfunc.load_model(str(tmp_path / "model")))

    assert found.is_known, found.reason
    assert "Booster" in found.reason


def test_judge__lightgbm__is_known_through_its_own_flavour(tmp_path: Path) -> None:
    model = lightgbm.LGBMRegressor(n_estimators=2, verbose=-1).fit(NUMBERS, TARGET)
    mlflow.lightgbm.save_model(model.booster_, tmp_path / "model", pip_requirements=["mlflow"])
    found = row_wise.judge(mlflow.pyfunc.load_model(str(tmp_path / "model")))

    assert (found.is_known, "Booster" in found.reason) == (True, True), found.reason


def _patch_object(model: Any) -> Callable[[], None]:
    model.predict = lambda rows: rows.mean()
    return lambda: None


def _patch_class(model: Any) -> Callable[[], None]:
    old = StandardScaler.transform
    StandardScaler.transform = lambda self, rows, copy=None: old(self, rows)
    return lambda: setattr(StandardScaler, "transform", old)


def _lie_about_class(model: Any) -> Callable[[], None]:
    kind = type("LogisticRegression", (LogisticRegression,), {"__module__": "sklearn.linear_model._logistic"})
    model.steps[-1] = ("lie", kind().fit(NUMBERS, TARGET))
    return lambda: None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_patch_object, "predict of Pipeline was replaced"),
        (_patch_class, "transform of StandardScaler was replaced"),
        (_lie_about_class, "LogisticRegression is not a known class"),
    ],
)
def test_judge__known_class_that_was_changed__is_not_known(
    change: Callable[[Any], Callable[[], None]], sentence: str, tmp_path: Path
) -> None:
    loaded = saved(make_pipeline(StandardScaler(), LogisticRegression()).fit(NUMBERS, TARGET), NUMBERS, tmp_path)
    undo = change(loaded.get_raw_model())
    try:
        found = row_wise.judge(loaded)
    finally:
        undo()

    assert (found.is_known, sentence in found.reason) == (False, True), found.reason


def test_table__every_class_of_scikit_learn__exists() -> None:
    for path in row_wise.KNOWN:
        module, _, name = path.rpartition(".")
        if module.startswith(("sklearn", "lightgbm", "scipy")):
            assert hasattr(importlib.import_module(module), name), path
