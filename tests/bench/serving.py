"""Predictions per second: mlorch on its full path and other servers of the same model, side by side.

All processes of the server under test run on core 0, wrk on core 1. A peer that cannot be installed or started is
reported so. `python -m tests.bench.serving [--seconds N] [--only NAME] [--write-docs]`.
"""

import argparse
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench import chart
from tests.bench.load import SERVER_CORE, Measured, family, measure, memory_mb, pinned, write_script
from tests.bench.peers import ours
from tests.bench.peers.base import Peer, Setting, column_tensors, encoded, records_split
from tests.bench.peers.known import PEERS
from tests.bench.report import Row, hand_over

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "var" / "bench"
LOADS = ((1, 1), (8, 1), (64, 1), (8, 100), (64, 100))  # connections, rows
OURS = "mlorch"
# The same pipeline behind code of an author's own: nothing is known of its rows, and no request is joined.
APART = f"{OURS}, one at a time"
START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 15
GOALS = {(64, 1): 10.0, (8, 1): 4.0, (8, 100): 2.0, (64, 100): 2.0}
GOAL_P50_MS = 1.0


class Result(NamedTuple):
    """What was measured of one server, or why it could not be."""

    name: str
    version: str
    runs: list[Measured]
    unique_mb: float = 0.0
    resident_mb: float = 0.0
    replica_mb: float = 0.0
    problem: str = ""

    def of(self, connections: int, rows: int) -> Measured | None:
        return next((run for run in self.runs if (run.connections, run.rows) == (connections, rows)), None)


class Unusable(Exception):
    """A server cannot be measured; the text says why."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def train(folder: Path) -> tuple[Setting, list[list[float]], list[int]]:
    """Save the model for every server; return the setting, the data's rows and what the model says of them."""
    import mlflow
    from mlflow.models import infer_signature
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data = load_breast_cancer(as_frame=True)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(data.data, data.target)
    told = pipeline.predict(data.data)
    artifacts = folder / "model"
    mlflow.sklearn.save_model(
        pipeline, artifacts, signature=infer_signature(data.data, told), input_example=data.data.head(3)
    )
    # Fitted on an array for those who are asked with arrays: the same numbers without scikit-learn's warning on every
    # call.
    plain = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    plain.fit(data.data.to_numpy(), data.target.to_numpy())
    (folder / "model.pickle").write_bytes(pickle.dumps(plain))
    setting = Setting(list(data.data.columns), artifacts, folder / "model.pickle", folder)
    save_as_own_code(pipeline, folder / "own", infer_signature(data.data, told), data.data.head(3))
    return setting, data.data.to_numpy().tolist(), told.tolist()


def save_as_own_code(pipeline: Any, path: Path, signature: Any, example: Any) -> None:
    """Save the pipeline as a model that only its author knows the inside of."""
    import mlflow

    class Own(mlflow.pyfunc.PythonModel):
        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            return self._inner.predict(model_input)

    mlflow.pyfunc.save_model(path, python_model=Own(pipeline), signature=signature, input_example=example)


def install(peer: Peer) -> tuple[Path, str]:
    """The interpreter and the version of a peer, installing it first. Raises Unusable."""
    if not peer.requirements:
        import mlflow

        return Path(sys.executable), str(mlflow.__version__)
    package = peer.requirements[0].split("[")[0]
    folder = FOLDER / "environments" / package
    python = folder / "bin" / "python"
    steps: list[list[str]] = (
        [] if python.exists() else [["uv", "venv", "--quiet", "--python", sys.executable, str(folder)]]
    )
    steps.append(["uv", "pip", "install", "--quiet", "--python", str(python), *peer.requirements])
    ask = f"import importlib.metadata; print(importlib.metadata.version('{package}'))"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for step in [*steps, [str(python), "-c", ask]]:
        done = subprocess.run(step, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path})
        if done.returncode:
            raise Unusable(f"cannot be installed: {done.stderr.strip().splitlines()[-1] if done.stderr else step[0]}")
    return python, done.stdout.strip()


@contextmanager
def started(commands: list[tuple[list[str], dict[str, str]]], folder: Path) -> Iterator[list[int]]:
    """Run servers on their core; give their process ids; end their whole families."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    base = {"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8"}
    base |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    processes = []
    for number, (command, environment) in enumerate(commands):
        with open(folder / f"{number}.log", "wb") as log:
            processes.append(
                subprocess.Popen(
                    pinned(SERVER_CORE, command),
                    env=base | environment,
                    cwd=folder,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )
    try:
        yield [process.pid for process in processes]
    finally:
        everybody = family([process.pid for process in processes])
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_TIMEOUT_S)
        for left in everybody:
            with suppress(Exception):
                left.kill()
        for process in processes:
            process.wait()


def ask(url: str, body: str, headers: dict[str, str]) -> Any:
    """A server's answer to one request."""
    request = urllib.request.Request(url, body.encode(), {"Content-Type": "application/json", **headers})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def wait_for(url: str, body: str, headers: dict[str, str], log: Path) -> Any:
    """Ask until there is an answer. Raises Unusable after a while, with the last line of the server's log."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            return ask(url, body, headers)
        except (OSError, ValueError) as error:
            if time.monotonic() > deadline:
                lines = log.read_text(errors="replace").strip().splitlines()
                raise Unusable(f"does not answer: {error}; {lines[-1][:200] if lines else ''}") from error
            time.sleep(0.3)


def load_all(
    url: str, bodies: dict[int, str], headers: dict[str, str], folder: Path, pids: list[int], seconds: int
) -> list[Measured]:
    """Run every load against one server."""
    runs = []
    for connections, rows in LOADS:
        script = write_script(folder / f"{rows}.lua", bodies[rows], headers)
        runs.append(measure(url, script, connections, rows, seconds, pids))
        say(f"    {connections:>3} connections, {rows:>3} rows: {runs[-1].rate:>8.0f}/s  p50 {runs[-1].p50_ms:.2f} ms")
    return runs


def measure_peer(peer: Peer, setting: Setting, data: list[list[float]], truth: list[int], seconds: int) -> Result:
    """Install, start, check and load one peer."""
    try:
        python, version = install(peer)
    except Unusable as error:
        return Result(peer.name, "", [], problem=str(error))
    port = free_port()
    url = f"http://127.0.0.1:{port}{peer.path}"
    bodies = {rows: encoded(peer.body(setting, data[:rows])) for rows in (1, 100)}
    with tempfile.TemporaryDirectory(prefix="peer-", ignore_cleanup_errors=True) as folder:
        own = setting.within(Path(folder))
        with started([(peer.command(own, python, port), peer.environment(own))], own.folder) as pids:
            try:
                wait_for(url, bodies[1], {}, own.folder / "0.log")
                if peer.predictions(ask(url, bodies[100], {})) != truth[:100]:
                    raise Unusable("answers otherwise than the model")
            except Unusable as error:
                return Result(peer.name, version, [], problem=str(error))
            runs = load_all(url, bodies, {}, own.folder, pids, seconds)
            unique, resident = memory_mb(pids)
    return Result(peer.name, version, runs, unique, resident, unique)


def measure_ours(
    setting: Setting, data: list[list[float]], truth: list[int], seconds: int, label: str = OURS
) -> list[Result]:
    """Load gateway and workers by both protocols."""
    port, results = free_port(), []
    site_port = ours.start_site()
    with tempfile.TemporaryDirectory(prefix="ours-", dir="/tmp") as folder:
        own = setting.within(Path(folder))
        here = {"PYTHONPATH": str(ROOT)}
        commands = [(ours.worker_command(own, version), here) for version in ("1", "2")]
        gateway = [sys.executable, "-m", "dataplane.gateway"]
        commands.append((gateway, here | ours.gateway_environment(own, port, site_port)))
        with started(commands, own.folder) as pids:
            forms = {label: (ours.INVOCATIONS, records_split), f"{label}, OIP": (ours.INFER, column_tensors)}
            for name, (path, body) in forms.items():
                url = f"http://127.0.0.1:{port}{path}"
                bodies = {rows: encoded(_plain(body(own, data[:rows]))) for rows in (1, 100)}
                wait_for(url, bodies[1], ours.HEADERS, own.folder / "2.log")
                told = ask(url, bodies[100], ours.HEADERS)
                assert (told.get("predictions") or told["outputs"][0]["data"]) == truth[:100]
                say(f"  {name}")
                runs = load_all(url, bodies, ours.HEADERS, own.folder, pids, seconds)
                unique, resident = memory_mb(pids)
                results.append(Result(name, "", runs, unique, resident, memory_mb(pids[:1])[0]))
    assert ours.Site.windows, "the gateway sent no windows"
    return results


def _plain(body: dict[str, Any]) -> dict[str, Any]:
    """A request without the hint that only MLServer needs."""
    return {name: value for name, value in body.items() if name != "parameters"}


def rows_of(results: list[Result]) -> list[Row]:
    """The measurements, and ours in relation to the best peer of the same load."""
    rows = []
    for result in results:
        if result.problem:
            rows.append(Row(f"{result.name}: {result.problem}"[:120], 0.0, ""))
        for run in result.runs:
            rows.append(Row(f"{result.name}: {run.connections} connections, {run.rows} rows", run.rate, "/s"))
            if run.failed:
                rows.append(Row(f"{result.name}: failed requests at {run.connections} connections", run.failed, "", 0))
    mine = results[0]
    peers = [result for result in results if result.runs and not result.name.startswith(OURS)]
    for (connections, size), goal in GOALS.items():
        best = max((run.rate for peer in peers if (run := peer.of(connections, size))), default=0.0)
        own = mine.of(connections, size)
        if best and own:
            rows.append(
                Row(f"rate to the best peer, {connections} connections, {size} rows", own.rate / best, "×", None, goal)
            )
    alone = mine.of(1, 1)
    fastest = min((run.p50_ms for peer in peers if (run := peer.of(1, 1))), default=None)
    if alone:
        rows.append(Row("p50, 1 connection", alone.p50_ms, "ms", GOAL_P50_MS))
    if alone and fastest:
        rows.append(Row("p50 to the fastest peer, 1 connection", alone.p50_ms / fastest, "×", 1.0))
    rows.append(Row("memory of one worker, unique", mine.replica_mb, "MB"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--only", default="")
    parser.add_argument("--write-docs", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as folder:
        setting, data, truth = train(Path(folder))
        peers = []
        for peer in PEERS:
            if options.only.lower() in peer.name.lower():
                say(f"  {peer.name}")
                peers.append(measure_peer(peer, setting, data, truth, options.seconds))
                if peers[-1].problem:
                    say(f"    {peers[-1].problem}")
        mine = measure_ours(setting, data, truth, options.seconds)
        own_code = replace(setting, artifacts=Path(folder) / "own")
        mine += measure_ours(own_code, data, truth, options.seconds, APART)
        results = [*mine, *peers]
    say(chart.table(results))
    if options.write_docs:
        chart.write(results, ROOT / "docs")
    hand_over(rows_of(results))


if __name__ == "__main__":
    main()
