"""Models of many flavours: the worker's scorer answers what `mlflow.pyfunc` predicts, in every form of both
protocols.
"""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import numpy as np
import pandas as pd
import pytest

from dataplane.wire.frames import RequestHeader
from dataplane.worker.answers import Answer
from dataplane.worker.scorer import Scorer
from tests.conftest import missing
from tests.dataplane.worker import flavours_models as models

JSON = "application/json"
# float32 results of one row and of several may differ in the last digit.
RELATIVE = 1e-6

TORCH = "torch==2.13.0"

pytestmark = pytest.mark.slow


class Loaded(NamedTuple):
    """One model as the worker has it and as MLflow has it, and the rows to ask both."""

    scorer: Scorer
    pyfunc: Any
    data: Any

    @property
    def kind(self) -> str:
        if not isinstance(self.data, pd.DataFrame):
            return "array"
        return "table" if self.scorer.input_schema is not None else "bare table"


def load(save: Any, data: Any, folder: Path) -> Loaded:
    save(folder / "model")
    scorer = Scorer(folder / "model", "7")
    scorer.warm_up()
    return Loaded(scorer, mlflow.pyfunc.load_model(str(folder / "model")), data)


@pytest.fixture(scope="module", autouse=True)
def own_environment() -> Iterator[None]:
    """Forget afterwards what the scorer sets for its process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IS_IN_MLFLOW_SERVING_ENVIRONMENT", "true")
        yield


@pytest.fixture(scope="module")
def torch_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Make PyTorch importable for this module's tests; it is too large for everybody's environment."""
    folder = tmp_path_factory.mktemp("torch")
    if importlib.util.find_spec("torch") is None:
        python = Path(sys.base_prefix) / "bin" / "python3"
        command = [str(python), "-m", "pip", "install", "--quiet", "--target", str(folder), TORCH]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            missing(f"PyTorch ({done.stderr.strip()[-300:]})")
    sys.path.append(str(folder))
    importlib.invalidate_caches()
    yield
    sys.path.remove(str(folder))


@pytest.fixture(scope="module", params=list(models.FLAVOURS))
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    if request.param.startswith("pytorch"):
        request.getfixturevalue("torch_folder")
    flavour = models.FLAVOURS[request.param]
    return load(flavour.save, flavour.data, tmp_path_factory.mktemp("flavour"))


def plain(result: Any) -> Any:
    """A prediction as the JSON values that MLflow gives for it; a Series is a table of one column to it."""
    if isinstance(result, pd.Series):
        result = result.to_frame()
    if isinstance(result, pd.DataFrame):
        return [{str(name): value for name, value in row.items()} for row in result.to_dict(orient="records")]
    return result.tolist() if isinstance(result, np.ndarray) else result


def bodies(data: Any, kind: str) -> dict[str, tuple[bytes, str]]:
    """The same rows in every form that the model takes: body and content type."""
    if kind == "array":
        forms: dict[str, Any] = {form: {form: data.tolist()} for form in ("inputs", "instances")}
        return {form: (json.dumps(body).encode(), JSON) for form, body in forms.items()}
    forms = {
        "dataframe_split": data.to_dict(orient="split", index=False),
        "dataframe_records": data.to_dict(orient="records"),
        "instances": data.to_dict(orient="records"),
        "inputs": data.to_dict(orient="list"),
    }
    if kind == "bare table":  # without a signature these two stay what they are in JSON
        del forms["instances"], forms["inputs"]
    encoded = {form: (json.dumps({form: value}).encode(), JSON) for form, value in forms.items()}
    return encoded | {"CSV": (data.to_csv(index=False).encode(), "text/csv")}


def score(scorer: Scorer, *requests: bytes, content_type: str = JSON, op: str = "invocations") -> list[Answer]:
    return scorer.score(RequestHeader(op, content_type=content_type, model_name="m"), list(requests))


def told(answer: Answer) -> Any:
    """The predictions of an answer; of another answer what it says."""
    content = json.loads(answer.body)
    return content["predictions"] if answer.status == 200 else content


def comparable(value: Any) -> Any:
    """A value so that floats equal within the tolerance; NaN is null in an answer."""
    if isinstance(value, list):
        return [comparable(item) for item in value]
    if isinstance(value, dict):
        return {name: comparable(item) for name, item in value.items()}
    if isinstance(value, float):
        return None if value != value else pytest.approx(value, rel=RELATIVE)
    return value


def test_invocations__each_form__equals_pyfunc(loaded: Loaded) -> None:
    expected = plain(loaded.pyfunc.predict(loaded.data))

    forms = bodies(loaded.data, loaded.kind)
    seen = {form: told(score(loaded.scorer, body, content_type=kind)[0]) for form, (body, kind) in forms.items()}

    assert seen == {form: comparable(expected) for form in forms}


def test_invocations__rows_in_one_batch_with_a_bad_one__each_equals_pyfunc(loaded: Loaded) -> None:
    form = "inputs" if loaded.kind == "array" else "dataframe_split"
    singles = [loaded.data[place : place + 1] for place in range(len(loaded.data))]
    requests = [bodies(row, loaded.kind)[form][0] for row in singles]
    requests.insert(2, json.dumps({form: {"columns": ["zzz"], "data": [["zzz"]]}}).encode())

    answers = score(loaded.scorer, *requests)

    assert answers.pop(2).status == 400
    assert [told(answer) for answer in answers] == [comparable(plain(loaded.pyfunc.predict(row))) for row in singles]


DATATYPES = {"f": "FP64", "i": "INT64", "O": "BYTES"}


def tensors(data: Any) -> list[dict[str, Any]]:
    """A table as one tensor per column, an array as one tensor."""
    if not isinstance(data, pd.DataFrame):
        return [{"name": "x", "shape": list(data.shape), "datatype": "FP32", "data": data.ravel().tolist()}]
    kinds = {name: DATATYPES.get(data[name].to_numpy().dtype.kind, "BYTES") for name in data}
    return [{"name": name, "shape": [len(data)], "datatype": kinds[name], "data": data[name].tolist()} for name in data]


def flat(result: Any) -> dict[str, list[Any]]:
    """A prediction's values by output, as OIP's answer carries them."""
    if isinstance(result, pd.Series):
        result = result.to_frame()
    if isinstance(result, pd.DataFrame):
        return {str(name): result[name].tolist() for name in result}
    return {"predict": np.asarray(result).ravel().tolist()}


def test_infer__a_tensor_per_column__equals_pyfunc(loaded: Loaded) -> None:
    request = json.dumps({"inputs": tensors(loaded.data)}).encode()

    answer = score(loaded.scorer, request, op="infer")[0]

    assert answer.status == 200, answer.body
    outputs = {output["name"]: output["data"] for output in json.loads(answer.body)["outputs"]}
    expected = flat(loaded.pyfunc.predict(loaded.data))
    # The format has no NaN.
    assert outputs == {
        name: [None if value != value else comparable(value) for value in values] for name, values in expected.items()
    }
