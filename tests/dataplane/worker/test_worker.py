"""The worker answers exactly as MLflow predicts, in every form of both protocols."""

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature
from sklearn.datasets import load_breast_cancer

from tests.dataplane.worker.conftest import Worker, start_worker, stop_worker

ROWS = load_breast_cancer(as_frame=True).data.iloc[:5]


@pytest.fixture(scope="session")
def expected(cancer_model: Path) -> list[int]:
    return mlflow.pyfunc.load_model(str(cancer_model)).predict(ROWS).tolist()


def forms() -> dict[str, dict[str, Any]]:
    split = ROWS.to_dict(orient="split", index=False)
    return {
        "dataframe_split": {"dataframe_split": split},
        "dataframe_records": {"dataframe_records": ROWS.to_dict(orient="records")},
        "instances": {"instances": ROWS.to_dict(orient="records")},
        "inputs": {"inputs": ROWS.to_dict(orient="list")},
    }


@pytest.mark.parametrize("form", list(forms()))
async def test_invocations__each_json_form__equals_pyfunc(
    cancer_worker: Worker, expected: list[int], form: str
) -> None:
    header, body = await cancer_worker.ask(
        "invocations", json.dumps(forms()[form]).encode(), content_type="application/json"
    )

    assert header.status == 200
    assert json.loads(body) == {"predictions": expected}


async def test_invocations__csv__equals_pyfunc(cancer_worker: Worker, expected: list[int]) -> None:
    header, body = await cancer_worker.ask("invocations", ROWS.to_csv(index=False).encode(), content_type="text/csv")

    assert (header.status, json.loads(body)) == (200, {"predictions": expected})


def columns_of(frame: pd.DataFrame, shape: list[int] | None = None) -> list[dict[str, Any]]:
    return [
        {"name": name, "shape": shape or [len(frame)], "datatype": "FP64", "data": frame[name].tolist()}
        for name in frame
    ]


async def test_infer__column_tensors__equals_pyfunc_and_echoes_id(cancer_worker: Worker, expected: list[int]) -> None:
    request = {"id": "42", "inputs": columns_of(ROWS)}
    header, body = await cancer_worker.ask("infer", json.dumps(request).encode(), model_name="e")

    answer = json.loads(body)
    assert header.status == 200
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("42", "e", "7")
    assert answer["outputs"] == [{"name": "predict", "shape": [5], "datatype": "INT64", "data": expected}]


async def test_infer__one_matrix_nested__equals_pyfunc(cancer_worker: Worker, expected: list[int]) -> None:
    tensor = {"name": "x", "shape": [5, 30], "datatype": "FP64", "data": ROWS.to_numpy().tolist()}
    _, body = await cancer_worker.ask("infer", json.dumps({"inputs": [tensor]}).encode(), model_name="e")

    assert json.loads(body)["outputs"][0]["data"] == expected


BAD_INFER = {
    "no JSON": (b"{", "not JSON"),
    "no inputs": (b'{"inputs": []}', "at least one tensor"),
    "shape": (json.dumps({"inputs": columns_of(ROWS, [4])}).encode(), "needs 4 elements"),
    "datatype": (b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP16", "data": [1]}]}', "has no JSON form"),
    "text": (b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": ["a"]}]}', "numbers or null"),
    "column": (b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1]}]}', "missing inputs"),
    "output": (json.dumps({"inputs": columns_of(ROWS), "outputs": [{"name": "zzz"}]}).encode(), 'no output "zzz"'),
}


@pytest.mark.parametrize("case", list(BAD_INFER))
async def test_infer__bad_input__is_the_clients_error_with_a_sentence(cancer_worker: Worker, case: str) -> None:
    body, sentence = BAD_INFER[case]
    header, answer = await cancer_worker.ask("infer", body, model_name="e")

    assert (header.status, header.outcome) == (400, "client_error")
    assert sentence in json.loads(answer)["error"]


async def asgi_post(app: Any, path: str, body: bytes) -> tuple[int, bytes]:
    """Post `body` as JSON to an ASGI app in this process; return status and body of its answer."""
    sent: list[dict[str, Any]] = []
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
    scope |= {"headers": [(b"content-type", b"application/json")], "asgi": {"version": "3.0"}, "http_version": "1.1"}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


BAD_INVOCATIONS = [
    b"{",
    b"[]",
    b"{}",
    b'{"inputs": {"x": [1]}}',
    b'{"dataframe_split": 3}',
    b'{"instances": [], "inputs": []}',
]


@pytest.mark.parametrize("body", BAD_INVOCATIONS)
async def test_invocations__bad_body__answers_as_mlflow(cancer_worker: Worker, cancer_model: Path, body: bytes) -> None:
    from mlflow.pyfunc.scoring_server import init

    status, theirs = await asgi_post(init(mlflow.pyfunc.load_model(str(cancer_model))), "/invocations", body)
    header, ours = await cancer_worker.ask("invocations", body, content_type="application/json")

    assert header.status == status
    assert json.loads(ours)["error_code"] == json.loads(theirs)["error_code"]
    assert header.outcome == "client_error"


async def test_metadata__signature__gives_columns(cancer_worker: Worker) -> None:
    _, body = await cancer_worker.ask("metadata", model_name="e")

    answer = json.loads(body)
    assert answer["versions"] == ["7"]
    assert answer["inputs"][0] == {"name": "mean radius", "datatype": "FP64", "shape": [-1]}
    assert len(answer["inputs"]) == 30


class Doubling(mlflow.pyfunc.PythonModel):
    """Multiplies by a parameter; raises for negative numbers."""

    def predict(self, context: Any, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        values = model_input["x"].to_numpy()
        if (values < 0).any():
            raise ValueError("negative")
        return values * (params or {}).get("factor", 2)


@pytest.fixture(scope="module")
def doubling_worker(tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("doubling") / "model"
    frame = pd.DataFrame({"x": [1.0, 2.0]})
    signature = infer_signature(frame, np.array([2.0, 4.0]), params={"factor": 2.0})
    mlflow.pyfunc.save_model(
        path, python_model=Doubling(), signature=signature, input_example=frame, pip_requirements=["mlflow"]
    )
    worker, lines = start_worker(path, tmp_path_factory.mktemp("dw"))
    assert '"ready"' in lines[-1], lines
    yield worker
    stop_worker(worker)


async def test_invocations__params__reach_the_model(doubling_worker: Worker) -> None:
    body = json.dumps({"inputs": {"x": [3.0]}, "params": {"factor": 5.0}}).encode()
    _, answer = await doubling_worker.ask("invocations", body, content_type="application/json")

    assert json.loads(answer) == {"predictions": [15.0]}


async def test_model_raises__invocations__mlflows_status_but_the_models_fault(doubling_worker: Worker) -> None:
    header, answer = await doubling_worker.ask(
        "invocations", b'{"inputs": {"x": [-1.0]}}', content_type="application/json"
    )

    assert (header.status, header.outcome) == (400, "server_error")
    assert "stack_trace" not in json.loads(answer)


async def test_model_raises__infer__500(doubling_worker: Worker) -> None:
    body = b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [-1]}]}'
    header, answer = await doubling_worker.ask("infer", body, model_name="e")

    assert (header.status, header.outcome) == (500, "server_error")
    assert "negative" in json.loads(answer)["error"]


def test_start__artifacts_changed__fails_with_the_reason(cancer_model: Path, tmp_path: Path) -> None:
    worker, lines = start_worker(cancer_model, tmp_path, wanted="sha256:" + "0" * 64)

    assert "not what was approved" in json.loads(lines[-1])["error"]
    assert worker.process.wait(20) == 1
    assert not (tmp_path / "w.sock").exists()
    worker.process.stdout.close()


async def test_echo__many_requests_on_one_connection__each_gets_its_answer(echo_worker: Worker) -> None:
    import asyncio

    answers = await asyncio.gather(*(echo_worker.ask("invocations", b"{}", content_type="x") for _ in range(20)))

    assert all(header.status == 200 for header, _ in answers)
