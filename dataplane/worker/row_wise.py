"""Which models are row-wise by construction: the answer for a row depends on that row and on nothing beside it.

The table names classes, each under the reason why its `predict` or `transform` is row-wise once it is fitted. A model
is known when the objects that answer are all of these classes, exactly and as their libraries wrote them, and hold
nothing but data: a subclass, a function among the parameters, a method that was replaced make it unknown. Nothing is
concluded from what a model answers.

Left out on purpose: nearest neighbours and Gaussian processes (sums over all rows at once decide ties), imputers that
look at other rows, functions of the author's, clusterings and decompositions that go on fitting when asked.
"""

import collections
import functools
import sys
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

WEIGHTED_SUM = "a weighted sum of the row's own values, with weights that are fixed"
TREES = "the row goes down fixed trees, each by itself"
KERNEL = "a weighted sum of the row's likeness to fixed vectors"
LIKELIHOOD = "fixed probabilities of the row's own values"
LAYERS = "the row goes through fixed layers"
CENTRES = "the nearest of fixed centres"
ELEMENTS = "each value is changed by itself, with numbers that are fixed"
CODES = "each value is looked up among fixed ones"
OWN_ROW = "computed of the row's own values alone"
COLUMNS = "a fixed choice of columns"
COMPOSED = "passes rows to its parts, which are looked at too"
INNER = "asks the one model that it chose, which is looked at too"
CONSTANT = "always the same answer"
DATA = "holds what was fitted"


class Part(NamedTuple):
    """Why a class is row-wise, and which attributes its answer rests on: None for all, empty for none but its own
    data. With one of the `strategies` it is not.
    """

    reason: str
    rests_on: "tuple[str, ...] | None" = None
    strategies: "tuple[str, ...]" = ()


_LINEAR = {
    "_base": "LinearRegression",
    "_bayes": "BayesianRidge ARDRegression",
    "_coordinate_descent": "ElasticNet ElasticNetCV Lasso LassoCV MultiTaskElasticNet MultiTaskElasticNetCV "
    "MultiTaskLasso MultiTaskLassoCV",
    "_glm.glm": "GammaRegressor PoissonRegressor TweedieRegressor",
    "_huber": "HuberRegressor",
    "_least_angle": "Lars LarsCV LassoLars LassoLarsCV LassoLarsIC",
    "_logistic": "LogisticRegression LogisticRegressionCV",
    "_omp": "OrthogonalMatchingPursuit OrthogonalMatchingPursuitCV",
    "_passive_aggressive": "PassiveAggressiveClassifier PassiveAggressiveRegressor",
    "_perceptron": "Perceptron",
    "_quantile": "QuantileRegressor",
    "_ridge": "Ridge RidgeCV RidgeClassifier RidgeClassifierCV",
    "_stochastic_gradient": "SGDClassifier SGDRegressor SGDOneClassSVM",
    "_theil_sen": "TheilSenRegressor",
}
# Module → names of classes in it, separated by blanks, under what they are known for.
_TABLE: "list[tuple[Part, dict[str, str]]]" = [
    (Part(WEIGHTED_SUM), {f"sklearn.linear_model.{module}": names for module, names in _LINEAR.items()}),
    (
        Part(WEIGHTED_SUM),
        {
            "sklearn.svm._classes": "LinearSVC LinearSVR",
            "sklearn.discriminant_analysis": "LinearDiscriminantAnalysis QuadraticDiscriminantAnalysis",
            "sklearn.decomposition._pca": "PCA",
            "sklearn.decomposition._incremental_pca": "IncrementalPCA",
            "sklearn.decomposition._truncated_svd": "TruncatedSVD",
        },
    ),
    (
        Part(TREES),
        {
            "sklearn.tree._classes": "DecisionTreeClassifier DecisionTreeRegressor ExtraTreeClassifier "
            "ExtraTreeRegressor",
            "sklearn.ensemble._forest": "RandomForestClassifier RandomForestRegressor ExtraTreesClassifier "
            "ExtraTreesRegressor",
            "sklearn.ensemble._gb": "GradientBoostingClassifier GradientBoostingRegressor",
            "sklearn.ensemble._hist_gradient_boosting.gradient_boosting": "HistGradientBoostingClassifier "
            "HistGradientBoostingRegressor",
            "sklearn.ensemble._iforest": "IsolationForest",
        },
    ),
    # Their trees lie outside of Python.
    (Part(TREES, ()), {"lightgbm.basic": "Booster", "xgboost.core": "Booster"}),
    (
        Part(TREES, ("_Booster", "_le", "_objective", "objective")),
        {
            "lightgbm.sklearn": "LGBMClassifier LGBMRegressor",
            "xgboost.sklearn": "XGBClassifier XGBRegressor XGBRFClassifier XGBRFRegressor",
        },
    ),
    (Part(KERNEL), {"sklearn.svm._classes": "SVC SVR NuSVC NuSVR OneClassSVM"}),
    (Part(LIKELIHOOD), {"sklearn.naive_bayes": "BernoulliNB CategoricalNB ComplementNB GaussianNB MultinomialNB"}),
    (Part(LAYERS), {"sklearn.neural_network._multilayer_perceptron": "MLPClassifier MLPRegressor"}),
    (Part(CENTRES), {"sklearn.cluster._kmeans": "KMeans MiniBatchKMeans"}),
    (
        Part(ELEMENTS),
        {
            "sklearn.preprocessing._data": "Binarizer MaxAbsScaler MinMaxScaler PowerTransformer QuantileTransformer "
            "RobustScaler StandardScaler",
            "sklearn.preprocessing._discretization": "KBinsDiscretizer",
            # With a function it is the function that decides, and that is no data.
            "sklearn.preprocessing._function_transformer": "FunctionTransformer",
            "sklearn.impute._base": "MissingIndicator SimpleImputer",
        },
    ),
    (
        Part(CODES),
        {
            "sklearn.preprocessing._encoders": "OneHotEncoder OrdinalEncoder",
            "sklearn.preprocessing._target_encoder": "TargetEncoder",
            "sklearn.preprocessing._label": "LabelBinarizer LabelEncoder",
            "lightgbm.compat": "_LGBMLabelEncoder",
        },
    ),
    (
        Part(OWN_ROW),
        {
            "sklearn.preprocessing._data": "Normalizer",
            "sklearn.preprocessing._polynomial": "PolynomialFeatures SplineTransformer",
            "sklearn.feature_extraction.text": "CountVectorizer HashingVectorizer TfidfTransformer TfidfVectorizer",
            "sklearn.feature_extraction._hash": "FeatureHasher",
        },
    ),
    (Part(OWN_ROW, ()), {"scipy.interpolate._bsplines": "BSpline"}),
    (
        Part(COLUMNS, ()),
        {
            "sklearn.feature_selection._variance_threshold": "VarianceThreshold",
            "sklearn.feature_selection._univariate_selection": "SelectFdr SelectFpr SelectFwe SelectKBest "
            "SelectPercentile",
            "sklearn.compose._column_transformer": "make_column_selector",
        },
    ),
    (Part(COLUMNS), {"sklearn.feature_selection._from_model": "SelectFromModel"}),
    (
        Part(COMPOSED),
        {
            "sklearn.pipeline": "FeatureUnion Pipeline",
            "sklearn.compose._column_transformer": "ColumnTransformer",
            "sklearn.compose._target": "TransformedTargetRegressor",
            "sklearn.ensemble._bagging": "BaggingClassifier BaggingRegressor",
            "sklearn.ensemble._stacking": "StackingClassifier StackingRegressor",
            "sklearn.ensemble._voting": "VotingClassifier VotingRegressor",
            "sklearn.ensemble._weight_boosting": "AdaBoostClassifier AdaBoostRegressor",
            "sklearn.multiclass": "OneVsRestClassifier",
            "sklearn.multioutput": "MultiOutputClassifier MultiOutputRegressor",
            "sklearn.calibration": "CalibratedClassifierCV _CalibratedClassifier _SigmoidCalibration",
        },
    ),
    (Part(CONSTANT, None, ("stratified", "uniform")), {"sklearn.dummy": "DummyClassifier DummyRegressor"}),
    (Part(INNER, ("best_estimator_",)), {"sklearn.model_selection._search": "GridSearchCV RandomizedSearchCV"}),
    (Part(INNER, ("estimator_",)), {"sklearn.linear_model._ransac": "RANSACRegressor"}),
]
KNOWN: "dict[str, Part]" = {
    f"{module}.{name}": part for part, modules in _TABLE for module, names in modules.items() for name in names.split()
}
# Rooms of the libraries whose classes only hold what their owners were fitted with.
DATA_ROOMS = (
    "sklearn._loss.",
    "sklearn.ensemble._hist_gradient_boosting.",
    "sklearn.linear_model._sgd_fast.",
    "sklearn.neural_network._stochastic_optimizers.",
    "sklearn.tree._tree.",
    "sklearn.utils._bunch.",
    "sklearn.utils._metadata_requests.",
    "numpy.dtypes.",
    "scipy.sparse.",
)
# The one function that scikit-learn puts among fitted parameters itself: it looks at values and changes none.
FUNCTIONS = ("sklearn.utils.validation.check_array",)
# MLflow's own way from a loaded model to a library's: class → attribute.
WRAPPERS = {
    "mlflow.sklearn._SklearnModelWrapper": "sklearn_model",
    "mlflow.xgboost._XGBModelWrapper": "xgb_model",
    "mlflow.lightgbm._LGBModelWrapper": "lgb_model",
}
PREDICTS = ("predict", "predict_proba", "predict_log_proba", "predict_joint_log_proba")
PLAIN_TYPES = frozenset((type(None), bool, int, float, complex, str, bytes, range, slice, type(...)))
LISTS = frozenset((list, tuple, set, frozenset))
MAPPINGS = frozenset((dict, collections.OrderedDict, collections.defaultdict))
RANDOM = ("numpy.random.mtrand.RandomState", "numpy.random._generator.Generator", "pandas._libs.missing.NAType")
DEPTH_MAX = 60
SHOWN_MAX = 6


class RowWise(NamedTuple):
    """Whether a model is known to be row-wise, and the sentence that says why."""

    is_known: bool
    reason: str


class Unknown(Exception):
    """A part of which nothing is known; the text says which and why."""


def judge(model: Any) -> RowWise:
    """Look at a loaded pyfunc model, whatever it is."""
    walk = _Walk()
    try:
        walk.look(_answering(model), "model")
    except Unknown as error:
        return RowWise(False, " → ".join([*walk.shown(), str(error)]))
    return RowWise(True, f"every part of the model is row-wise ({' → '.join(walk.shown())})")


def _answering(model: Any) -> Any:
    """The object of a library that answers for a loaded model. Raises Unknown for code of the author's."""
    wrapper = getattr(model, "_model_impl", None)
    own = getattr(wrapper, "python_model", None)
    if own is not None:
        raise Unknown(f"{type(own).__name__} is code of its author")
    attribute = WRAPPERS.get(_name(type(wrapper)), "")
    estimator = getattr(wrapper, attribute, None) if attribute else None
    if estimator is None:
        raise Unknown(f"{type(wrapper).__name__} is not a known class")
    predict = getattr(model, "_predict_fn", None)
    owner, verb = getattr(predict, "__self__", None), getattr(predict, "__name__", "")
    if verb not in PREDICTS or owner not in (wrapper, estimator):
        raise Unknown(f"{verb or 'what answers'} is not a known way to ask a {type(estimator).__name__}")
    return estimator


class _Walk:
    """One look through everything that can be reached from a model."""

    def __init__(self) -> None:
        self._seen: dict[int, Any] = {}  # the objects too, so that no number is used twice
        self._names: dict[str, None] = {}
        self._classes: dict[type, str] = {}

    def shown(self) -> "list[str]":
        """The names of the first parts, in the order in which they were found."""
        names = list(self._names)
        return [*names[:SHOWN_MAX], "…"] if len(names) > SHOWN_MAX else names

    def look(self, value: Any, where: str, depth: int = 0) -> None:
        """Raise Unknown when there is anything but data and known parts in a value."""
        kind = type(value)
        if kind in PLAIN_TYPES or id(value) in self._seen or (isinstance(value, np.generic) and _is_numpys(kind)):
            return
        self._seen[id(value)] = value
        if depth > DEPTH_MAX:
            raise Unknown(f"{where} is nested too deep")
        contents = _contents(value)
        if contents is None:
            self._look_at_part(value, where, depth)
            return
        for item in contents:
            self.look(item, where, depth + 1)

    def _look_at_part(self, value: Any, where: str, depth: int) -> None:
        kind = type(value)
        name = _name(kind)
        if name in RANDOM or _is_plain_type(value) or name in ("ctypes.c_void_p",):
            return
        if callable(value) and isinstance(value, types.FunctionType):
            _check_function(value, where)
            return
        part = KNOWN.get(name) or (Part(DATA) if name.startswith(DATA_ROOMS) else None)
        if part is None or not _is_the_librarys(kind, name):
            raise Unknown(f"{kind.__name__} is not a known class" + ("" if where == "model" else f" ({where})"))
        if name in KNOWN:
            self._names[kind.__name__] = None
        self._check_methods(value)
        attributes: dict[str, Any] = getattr(value, "__dict__", {})
        if part.strategies and attributes.get("strategy") in part.strategies:
            raise Unknown(f"{kind.__name__} answers at random")
        for attribute in attributes if part.rests_on is None else part.rests_on:
            self.look(attributes.get(attribute), f"{attribute} of {kind.__name__}", depth + 1)

    def _check_methods(self, value: Any) -> None:
        """Raise Unknown when a method was replaced in the object, its class, or a base of it."""
        kind = type(value)
        replaced = next((name for name in getattr(value, "__dict__", {}) if callable(getattr(kind, name, None))), "")
        if kind not in self._classes:
            self._classes[kind] = _foreign_method(kind)
        if replaced or self._classes[kind]:
            raise Unknown(f"{replaced or self._classes[kind]} of {kind.__name__} was replaced")


def _contents(value: Any) -> "Iterable[Any] | None":
    """What a collection of exactly a known kind holds, None for anything else. Plain items are left out."""
    kind = type(value)
    items: Iterable[Any]
    if kind is np.ndarray:
        items = value.ravel().tolist() if value.dtype.hasobject else ()
    elif kind in LISTS:
        items = value
    elif kind in MAPPINGS:
        items = [*value.keys(), *value.values()]
    elif kind is functools.partial:
        items = [value.func, *value.args, *value.keywords.values()]
    else:
        return None
    return () if set(map(type, items)) <= PLAIN_TYPES else items


def _is_plain_type(value: Any) -> bool:
    """Whether a value names a type of Python's or numpy's, as parameters such as `dtype` do."""
    return isinstance(value, type) and (value.__module__ == "builtins" or _is_numpys(value))


def _is_numpys(kind: type) -> bool:
    return kind.__module__ == "numpy"


def _check_function(value: Any, where: str) -> None:
    name = f"{value.__module__}.{value.__qualname__}"
    if name not in FUNCTIONS or not _is_the_librarys(value, name):
        raise Unknown(f"{where} is a function")


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _is_the_librarys(thing: Any, name: str) -> bool:
    """Whether the module really has this thing under its name: a class can say of itself what it likes."""
    module, _, own = name.rpartition(".")
    return getattr(sys.modules.get(module), own, None) is thing


def _foreign_method(kind: type) -> str:
    """The name of a method of a class or its bases that was not written in one of their libraries; empty when there
    is none.
    """
    folders = {folder for base in kind.__mro__ if (folder := _folder_of(base))}
    for base in kind.__mro__:
        for name, value in vars(base).items() if _folder_of(base) else ():
            # That of a data class is wrapped by Python's own library, and answers nothing.
            for function in _functions(value) if name != "__repr__" else ():
                written = function.__code__.co_filename
                if not written.startswith("<") and not any(written.startswith(folder) for folder in folders):
                    return name
    return ""


def _folder_of(kind: type) -> str:
    """Where the library of a class lies; empty for Python's own."""
    root = kind.__module__.partition(".")[0]
    file = getattr(sys.modules.get(root), "__file__", None)
    return "" if file is None or root in sys.stdlib_module_names else f"{Path(file).parent}/"


def _functions(value: Any) -> "Iterator[types.FunctionType]":
    for inner in (value, *(getattr(value, name, None) for name in ("__func__", "fget", "fn"))):
        if isinstance(inner, types.FunctionType):
            yield inner
