"""The model of version 3, kept as code: fine on the rows it was evaluated on, bad in production.

It looks each row up in a table of risk bands that was built from the smaller tumours only, so larger ones raise, and it
scans the table once per row and band, so it is slow.
"""

import time
from typing import Any

import mlflow
import pandas as pd

LARGEST_AREA_SEEN = 700.0
SCAN_S = 0.15


class BandModel(mlflow.pyfunc.PythonModel):
    """Answers 1 (benign) or 0 (malignant) from the band of `worst area`."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> list[int]:
        areas = model_input["worst area"].to_numpy()
        time.sleep(SCAN_S)
        if (areas > LARGEST_AREA_SEEN).any():
            raise ValueError(f"no risk band covers a worst area of {areas.max():.0f}")
        return [1 if area <= LARGEST_AREA_SEEN else 0 for area in areas]


mlflow.models.set_model(BandModel())
