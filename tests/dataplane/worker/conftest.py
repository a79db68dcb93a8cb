"""Real tiny models, and real worker processes."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from dataplane.wire.digest import digest
from dataplane.wire.frames import AnswerHeader, RequestHeader, encode_frame, read_frame
from tests.support.waiting import patience

ROOT = Path(__file__).resolve().parents[3]


class Worker:
    """A worker process and one connection to it."""

    def __init__(self, process: subprocess.Popen[str], socket: Path) -> None:
        self.process = process
        self._socket = socket
        self._number = 0

    async def ask(self, op: str, body: bytes = b"", **header: Any) -> tuple[AnswerHeader, bytes]:
        reader, writer = await asyncio.open_unix_connection(str(self._socket))
        self._number += 1
        number = self._number
        writer.write(encode_frame(RequestHeader(op, number, **header), body))
        try:
            answer = await asyncio.wait_for(read_frame(reader, AnswerHeader), patience())
        finally:
            writer.close()
        assert answer[0].id == number
        return answer


def start_worker(
    artifacts: Path,
    folder: Path,
    *,
    wanted: str = "",
    module: str = "dataplane.worker",
    arguments: tuple[str, ...] = (),
    environment: dict[str, str] | None = None,
) -> tuple[Worker, list[str]]:
    """Start a worker and wait until it says ready or failed; return it with the lines it said."""
    socket = folder / "w.sock"
    home = str(folder)
    needed = {"PATH": os.environ["PATH"], "HOME": home, "TMPDIR": home, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            module,
            "--socket",
            str(socket),
            "--artifacts",
            str(artifacts),
            "--digest",
            wanted or digest(artifacts),
            "--model",
            "m",
            "--version",
            "7",
            *arguments,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=needed | (environment or {}),
        cwd=folder,
    )
    lines: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if '"ready"' in line or '"failed"' in line:
            break
    return Worker(process, socket), lines


def stop_worker(worker: Worker) -> int:
    worker.process.terminate()
    try:
        return worker.process.wait(patience())
    finally:
        if worker.process.stdout:
            worker.process.stdout.close()


@pytest.fixture(scope="session", autouse=True)
def torch_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where PyTorch keeps what it compiles: else a folder of its own in the machine's temporary one."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(tmp_path_factory.mktemp("torch"))


@pytest.fixture(scope="session")
def cancer_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A standardised logistic regression on the bundled breast-cancer data, saved by MLflow with signature and input
    example.
    """
    import mlflow
    from mlflow.models import infer_signature
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data = load_breast_cancer(as_frame=True)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(data.data, data.target)
    path = tmp_path_factory.mktemp("models") / "cancer"
    mlflow.sklearn.save_model(
        pipeline,
        path,
        signature=infer_signature(data.data, pipeline.predict(data.data)),
        input_example=data.data.head(2),
        pip_requirements=["mlflow", "scikit-learn"],
    )
    return path


@pytest.fixture(scope="session")
def cancer_worker(cancer_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    worker, lines = start_worker(cancer_model, tmp_path_factory.mktemp("w"))
    assert '"ready"' in lines[-1], lines
    yield worker
    assert stop_worker(worker) == 0


@pytest.fixture
async def echo_worker(tmp_path: Path) -> AsyncIterator[Worker]:
    worker, _ = start_worker(tmp_path, tmp_path, wanted="sha256:any", module="dataplane.worker.echo")
    yield worker
    stop_worker(worker)
