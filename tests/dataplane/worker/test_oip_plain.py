"""Binary tensors, requested outputs and reordered columns go the native way too, and are answered as the general way
answers them.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from dataplane.wire.frames import RequestHeader
from dataplane.worker.oip import plain
from dataplane.worker.scorer import Scorer

ROWS = load_breast_cancer(as_frame=True).data.iloc[:3]
NAMES = list(ROWS.columns)


@pytest.fixture(scope="module")
def scorer(cancer_model: Path) -> Scorer:
    made = Scorer(cancer_model, "7")
    made.warm_up()
    return made


def matrix(values: Any = None, **request: Any) -> tuple[bytes, int]:
    array = np.ascontiguousarray(ROWS.to_numpy() if values is None else values, dtype=np.float64)
    tensor = {
        "name": "x",
        "datatype": "FP64",
        "shape": list(array.shape),
        "parameters": {"binary_data_size": array.nbytes},
    }
    header = json.dumps({"inputs": [tensor], **request}).encode()
    return header + array.tobytes(), len(header)


def columns(names: list[str], shape: list[int]) -> tuple[bytes, int]:
    size = {"binary_data_size": 8 * len(ROWS)}
    tensors = [{"name": name, "datatype": "FP64", "shape": shape, "parameters": size} for name in names]
    header = json.dumps({"inputs": tensors}).encode()
    return header + b"".join(ROWS[name].to_numpy().tobytes() for name in names), len(header)


PLAIN = {
    "matrix": matrix(),
    "matrix, binary answer": matrix(parameters={"binary_data_output": True}, id="42"),
    "matrix, requested output": matrix(outputs=[{"name": "predict", "parameters": {"binary_data": True}}]),
    "columns": columns(NAMES, [3]),
    "columns in another order": columns(NAMES[::-1], [3, 1]),
}
NOT_PLAIN = {
    "missing value": matrix(np.where(np.eye(3, 30), np.nan, ROWS.to_numpy())),
    "too few columns": matrix(ROWS.to_numpy()[:, :29]),
    "no rows": matrix(np.zeros((0, 30))),
    "three axes": matrix(ROWS.to_numpy().reshape(3, 30, 1)),
    "column twice": columns([*NAMES, NAMES[0]], [3]),
    "column missing": columns(NAMES[1:], [3]),
    "cut off": (matrix()[0][:-1], matrix()[1]),
}


@pytest.mark.parametrize("case", [*PLAIN, *NOT_PLAIN, "unknown output"])
def test_score__any_request__as_the_general_way_answers(scorer: Scorer, case: str) -> None:
    unknown = {"unknown output": matrix(outputs=[{"name": "zzz"}])}
    body, length = (PLAIN | NOT_PLAIN | unknown)[case]
    header = RequestHeader("infer", model_name="e", header_length=length)

    assert scorer.score(header, [body]) == [scorer.score_one(header, body)]


@pytest.mark.parametrize("case", [*PLAIN, *NOT_PLAIN])
def test_read__each_request__plain_or_not(case: str) -> None:
    read = plain.read(*(PLAIN | NOT_PLAIN)[case], NAMES)

    assert (read is not None) == (case in PLAIN)
    if read is not None:
        np.testing.assert_array_equal(read[1], ROWS.to_numpy())


def test_read__json_with_outputs_and_other_fields__plain() -> None:
    request = {"model_name": "e", "inputs": [{"name": "x", "datatype": "FP64", "shape": [3, 30]}]}
    request["inputs"][0]["data"] = ROWS.to_numpy().tolist()
    read = plain.read(json.dumps(request).encode(), None, NAMES)

    assert read is not None
    assert read[0] == "oip_matrix"
