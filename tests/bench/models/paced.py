"""A model that takes as long as each row says: `work_ms` of processor time, `wait_ms` of doing nothing.

It answers `value`; streamed, in parts.
"""

import time
from collections.abc import Iterator
from typing import Any

import mlflow
import pandas as pd

PARTS = 4
LONGEST_MS = 1000.0


def _ms(column: pd.Series) -> pd.Series:
    """Durations that can be spent, whatever values a version is tried out with when it is loaded."""
    return column.fillna(0.0).clip(0.0, LONGEST_MS)


class Paced(mlflow.pyfunc.PythonModel):
    """Work adds up over the rows of a batch, as it does where a model computes; waiting is shared by the batch."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> list[float]:
        end = time.thread_time() + float(_ms(model_input["work_ms"]).sum()) / 1000
        while time.thread_time() < end:
            pass
        time.sleep(float(_ms(model_input["wait_ms"]).max()) / 1000)
        return [float(value) for value in model_input["value"]]

    def predict_stream(
        self, context: Any, model_input: dict[str, float], params: dict[str, Any] | None = None
    ) -> Iterator[float]:
        # MLflow streams one row and hands it over as a dict.
        for _ in range(PARTS):
            time.sleep(model_input["wait_ms"] / 1000 / PARTS)
            yield float(model_input["value"])


mlflow.models.set_model(Paced())
