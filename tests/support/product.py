"""The whole product as a user starts it: `scripts/up` with a data directory and ports of its own, ended afterwards whatever happens."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PASSED_ON = ("PATH", "HOME", "LANG", "SSL_CERT_FILE", "PIP_", "UV_")
STOP_WITHIN_S = 60.0
TRAINING_WITHIN_S = 120
REQUEST_TIMEOUT_S = 5.0


def free_ports(count: int) -> list[int]:
    """Return ports that are free now, all different."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def wait_until(what: Callable[[], Any], *, within_s: float, saying: str) -> Any:
    """Return the first truthy answer of `what`. Raises AssertionError with `saying` when there is none in time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if answer := what():
            return answer
        time.sleep(0.1)
    raise AssertionError(f"not within {within_s:g} s: {saying}")


class Product:
    """A running instance. `output` is what it has printed so far."""

    def __init__(self, data_dir: Path, *arguments: str) -> None:
        self.data_dir = data_dir
        web, gateway, grpc, mlflow = free_ports(4)
        self.web, self.gateway, self.mlflow = (f"http://127.0.0.1:{port}" for port in (web, gateway, mlflow))
        self.grpc = f"127.0.0.1:{grpc}"
        ports = ["--web-port", str(web), "--gateway-port", str(gateway), "--mlflow-port", str(mlflow)]
        ports += ["--gateway-grpc-port", str(grpc)]
        self.command = [str(ROOT / "scripts" / "up"), "--data", str(data_dir), *ports, *arguments]
        env = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
        data_dir.mkdir(parents=True, exist_ok=True)
        self._log = data_dir / "up.out"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, start_new_session=True
            )

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def credentials(self) -> dict[str, Any]:
        return json.loads((self.data_dir / "credentials.json").read_text())

    def answers(self, url: str) -> bool:
        """Return whether `url` answers 200 now."""
        with suppress(OSError):
            return urllib.request.urlopen(url, timeout=REQUEST_TIMEOUT_S).status == 200
        return False

    def text(self, url: str) -> str:
        """Return what `url` answers, as text."""
        answer: bytes = urllib.request.urlopen(url, timeout=REQUEST_TIMEOUT_S).read()
        return answer.decode()

    def wait_until_usable(self, within_s: float = 60.0) -> None:
        def usable() -> bool:
            assert self.process.poll() is None, self.output
            return "mlorch is up" in self.output

        wait_until(usable, within_s=within_s, saying=f"mlorch is up; it said:\n{self._log}")

    def process_named(self, name: str) -> dict[str, Any]:
        """Return name, pid, state, started_at and restarts of one supervised process."""
        rows = json.loads((self.data_dir / "run" / "processes.json").read_text())["processes"]
        return next(row for row in rows if row["name"] == name)

    def kill(self, name: str) -> None:
        """End one process as a crash would."""
        os.kill(self.process_named(name)["pid"], signal.SIGKILL)

    def stop(self) -> int:
        """End it as Ctrl-C does and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(STOP_WITHIN_S)


def train(product: Product) -> None:
    """Register the demo's three versions with the product's MLflow."""
    wait_until(lambda: product.answers(f"{product.mlflow}/health"), within_s=90, saying="MLflow answers")
    command = [sys.executable, "-m", "mlorch_site.launch.demo.train", "--tracking-uri", product.mlflow]
    environment = {"PATH": os.environ["PATH"], "HOME": str(product.data_dir), "PYTHONPATH": str(ROOT)}
    subprocess.run(command, check=True, timeout=TRAINING_WITHIN_S, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL)


@contextmanager
def prepared(data_dir: Path, *arguments: str) -> Iterator[Product]:
    """Start the product and register the demo's three versions."""
    with running(data_dir, *arguments) as product:
        train(product)
        yield product


@contextmanager
def running(data_dir: Path, *arguments: str) -> Iterator[Product]:
    """Start the product and give it once the site is usable."""
    product = Product(data_dir, *arguments)
    try:
        product.wait_until_usable()
        yield product
    finally:
        try:
            product.stop()
        except subprocess.TimeoutExpired:
            os.killpg(product.process.pid, signal.SIGKILL)
            product.process.wait()
