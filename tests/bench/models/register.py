"""Register versions of the paced model: `python -m tests.bench.models.register --tracking-uri URL --name NAME
--versions N`.
"""

import argparse
import importlib.metadata
import os
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.models import infer_signature

COLUMNS = ("value", "work_ms", "wait_ms")
PACKAGES = ("mlflow", "numpy", "pandas")


def parts() -> dict[str, Any]:
    """What saving or logging the model takes."""
    example = pd.DataFrame([[1.0, 0.0, 0.0]], columns=list(COLUMNS))
    return {
        "python_model": str(Path(__file__).with_name("paced.py")),
        "signature": infer_signature(example, [1.0]),
        "input_example": example,
        "pip_requirements": [f"{name}=={importlib.metadata.version(name)}" for name in PACKAGES],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tracking-uri", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--versions", type=int, required=True)
    options = parser.parse_args()
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    mlflow.set_tracking_uri(options.tracking_uri)
    mlflow.set_experiment(options.name)
    for number in range(1, options.versions + 1):
        with mlflow.start_run():
            mlflow.log_param("number", number)
            mlflow.pyfunc.log_model(name="model", registered_model_name=options.name, **parts())


if __name__ == "__main__":
    main()
