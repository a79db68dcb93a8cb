"""Every class of the table, held against its own answers: alone, among others, and backwards."""

import importlib
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator

from dataplane.worker import row_wise

pytestmark = pytest.mark.slow

DRAW = np.random.default_rng(11)
ROWS = np.abs(DRAW.normal(size=(60, 5))) + 0.1
TARGET = (ROWS[:, 0] > np.median(ROWS[:, 0])).astype(int)
TEXTS = [f"word{place % 7} other{place % 3}" for place in range(60)]
ASKS = ("predict", "predict_proba", "decision_function", "transform")
# Composed of others, which the tests of whole models have, or no estimators.
COMPOSED = {
    "BaggingClassifier": {},
    "BaggingRegressor": {},
    "AdaBoostClassifier": {},
    "AdaBoostRegressor": {},
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    **COMPOSED,
    "HashingVectorizer": {"n_features": 32},
    "MultiTaskElasticNetCV": {"cv": 2},
    "QuantileTransformer": {"n_quantiles": 20},
    "MLPClassifier": {"max_iter": 20},
    "MLPRegressor": {"max_iter": 20},
    "NuSVC": {"nu": 0.3},
    "SelectKBest": {"k": 2},
    "TruncatedSVD": {"n_components": 2},
    "KBinsDiscretizer": {"quantile_method": "averaged_inverted_cdf"},
}


def classes() -> dict[str, type]:
    """The estimators of scikit-learn in the table that need nothing but rows."""
    found = {}
    for path in row_wise.KNOWN:
        module, _, name = path.rpartition(".")
        if not module.startswith("sklearn") or name.startswith("_"):
            continue
        kind = getattr(importlib.import_module(module), name)
        needs_others = {"estimator", "estimators", "steps", "transformers", "transformer_list", "regressor"}
        parameters = set(kind._get_param_names()) if issubclass(kind, BaseEstimator) else needs_others
        if not needs_others & parameters or name in COMPOSED:
            found[name] = kind
    return found


def target_of(name: str) -> Any:
    if name.startswith("MultiTask"):
        return np.stack([ROWS[:, 0], ROWS[:, 1]], axis=1)
    return TARGET + 1 if name == "GammaRegressor" else TARGET


def rows_of(name: str) -> Any:
    if name.endswith("Vectorizer"):
        return np.array(TEXTS, dtype=object)
    if name in ("LabelEncoder", "LabelBinarizer"):
        return TARGET
    if name == "FeatureHasher":
        return np.array([{"a": value} for value in ROWS[:, 0]], dtype=object)
    return np.round(ROWS) if name in ("CategoricalNB", "OneHotEncoder", "OrdinalEncoder") else ROWS


def dense(result: Any) -> np.ndarray:
    return np.asarray(result.toarray() if sparse.issparse(result) else result)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", classes())
def test_class__row_alone_among_others_and_backwards__the_same(name: str) -> None:
    rows = rows_of(name)
    model = classes()[name](**ARGUMENTS.get(name, {}))
    model.fit(rows) if name.startswith("Label") else model.fit(rows, target_of(name))
    asks = [ask for ask in ASKS if hasattr(model, ask)]

    assert asks
    for ask in asks:
        answer = getattr(model, ask)
        alone = np.concatenate([dense(answer(rows[place : place + 1])) for place in range(len(rows))])
        assert np.allclose(dense(answer(rows)), alone, equal_nan=True), ask
        assert np.allclose(dense(answer(rows[::-1]))[::-1], alone, equal_nan=True), ask
