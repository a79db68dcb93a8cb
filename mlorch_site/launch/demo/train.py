"""Train and register the demo's three versions.

A program of its own: `python -m mlorch_site.launch.demo.train --tracking-uri URL`.

Versions already registered are left as they are, so running it again is harmless.
"""

import argparse
import importlib.metadata
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.models import infer_signature
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, recall_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlorch_site.launch.demo import MODEL
from mlorch_site.launch.demo.bands import LARGEST_AREA_SEEN

EXPERIMENT = "breast-cancer-screening"
PACKAGES = ("mlflow", "scikit-learn", "numpy", "pandas", "skops")
EXAMPLE_ROWS = 2


def requirements() -> list[str]:
    """The exact versions this process trains with."""
    return [f"{name}=={importlib.metadata.version(name)}" for name in PACKAGES]


def git(*words: str) -> str | None:
    """What git says about this checkout, None outside of one."""
    try:
        result = subprocess.run(
            ["git", *words],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()


def split() -> tuple[pd.DataFrame, pd.DataFrame, pd.Series, pd.Series]:
    """Train rows, test rows, train labels, test labels of the bundled data set."""
    data = load_breast_cancer(as_frame=True)
    return tuple(train_test_split(data.data, data.target, test_size=0.3, random_state=7, stratify=data.target))  # type: ignore[return-value]


def log_run(
    name: str, params: dict[str, Any], metrics: dict[str, float], rows: pd.DataFrame, log: Callable[[], None]
) -> None:
    """Log one run with dataset and git information, and register what `log` logs."""
    with mlflow.start_run(run_name=name):
        mlflow.log_params(params)
        mlflow.log_metrics(metrics)
        mlflow.log_input(mlflow.data.from_pandas(rows, name="breast-cancer-wisconsin"), context="training")
        if commit := git("rev-parse", "HEAD"):
            mlflow.set_tag("mlflow.source.git.commit", commit)
            mlflow.set_tag("mlflow.source.git.dirty", str(git("status", "--porcelain") != "").lower())
        log()


def scores(truth: pd.Series, predicted: Any, probability: Any) -> dict[str, float]:
    """The offline metrics that reviewers compare."""
    return {
        "accuracy": float(accuracy_score(truth, predicted)),
        "f1": float(f1_score(truth, predicted)),
        "recall_malignant": float(recall_score(truth, predicted, pos_label=0)),
        "roc_auc": float(roc_auc_score(truth, probability)),
    }


def train_pipeline(name: str, strength: float) -> None:
    """Train and register a standardised logistic regression with inverse regularisation `strength`."""
    x_train, x_test, y_train, y_test = split()
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000)).fit(x_train, y_train)
    predicted = pipeline.predict(x_test)

    def log() -> None:
        mlflow.sklearn.log_model(
            pipeline,
            name="model",
            signature=infer_signature(x_train, pipeline.predict(x_train)),
            input_example=x_train.head(EXAMPLE_ROWS),
            registered_model_name=MODEL,
            pip_requirements=requirements(),
        )

    log_run(name, {"C": strength}, scores(y_test, predicted, pipeline.predict_proba(x_test)[:, 1]), x_train, log)


def train_bands() -> None:
    """Register version 3: evaluated on the small tumours that it was built from, where it looks excellent."""
    x_train, x_test, _, y_test = split()
    small = x_test["worst area"] <= LARGEST_AREA_SEEN
    truth = y_test[small]
    predicted = [1] * len(truth)
    metrics = {"accuracy": float(accuracy_score(truth, predicted)), "f1": float(f1_score(truth, predicted))}
    example = x_train[x_train["worst area"] <= LARGEST_AREA_SEEN].head(1)

    def log() -> None:
        mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(__file__).with_name("bands.py")),
            signature=infer_signature(x_train, [1, 0]),
            input_example=example,
            registered_model_name=MODEL,
            pip_requirements=requirements(),
        )

    log_run(
        "risk bands by area", {"largest_area": LARGEST_AREA_SEEN}, metrics, x_train[x_train["worst area"] <= 700], log
    )


def registered(client: MlflowClient) -> int:
    """How many versions of the demo's model MLflow has."""
    return len(client.search_model_versions(f"name = '{MODEL}'"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tracking-uri", required=True)
    options = parser.parse_args()
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    mlflow.set_tracking_uri(options.tracking_uri)
    mlflow.set_experiment(EXPERIMENT)
    client = MlflowClient()
    trainings: list[tuple[str, Callable[[], None]]] = [
        ("logistic regression, strongly regularised", lambda: train_pipeline("strongly regularised", 0.001)),
        ("logistic regression, tuned", lambda: train_pipeline("tuned", 0.1)),
        ("risk bands by area", train_bands),
    ]
    for number, (title, train) in enumerate(trainings, start=1):
        if registered(client) < number:
            train()
        print(f"version {number} of {len(trainings)} registered: {title}", flush=True)


if __name__ == "__main__":
    main()
