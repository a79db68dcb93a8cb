"""The whole product as a user starts it: `scripts/up` with a data directory and ports of its own, ended afterwards
whatever happens.
"""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE_S, patience, until

ROOT = Path(__file__).resolve().parents[2]
PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "PIP_", "UV_")
REQUEST_TIMEOUT_S = 5.0
NONE: Mapping[str, str] = MappingProxyType({})


def answers(url: str) -> bool:
    """Whether `url` answers 200 now."""
    with suppress(OSError):
        return bool(urllib.request.urlopen(url, timeout=REQUEST_TIMEOUT_S).status == 200)
    return False


class Product:
    """A running instance. `output` is what it has printed so far."""

    def __init__(
        self,
        data_dir: Path,
        *arguments: str,
        through: Sequence[str] = (),
        variables: Mapping[str, str] = NONE,
    ) -> None:
        """`through` is a command that runs the product, `variables` are added to its environment."""
        self.data_dir = data_dir
        web, gateway, grpc, mlflow = free_ports(4)
        self.web, self.gateway, self.mlflow = (f"http://127.0.0.1:{port}" for port in (web, gateway, mlflow))
        self.grpc = f"127.0.0.1:{grpc}"
        ports = ["--web-port", str(web), "--gateway-port", str(gateway), "--mlflow-port", str(mlflow)]
        ports += ["--gateway-grpc-port", str(grpc)]
        self.command = [*through, str(ROOT / "scripts" / "up"), "--data", str(data_dir), *ports, *arguments]
        env = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)} | dict(variables)
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
        """Whether `url` answers 200 now."""
        return answers(url)

    def text(self, url: str) -> str:
        """What `url` answers, as text."""
        answer: bytes = urllib.request.urlopen(url, timeout=REQUEST_TIMEOUT_S).read()
        return answer.decode()

    def wait_until_usable(self) -> None:
        def usable() -> bool:
            assert self.process.poll() is None, self.output
            return "mlorch is up" in self.output

        until(usable, "mlorch is up", within_s=2 * PATIENCE_S, seen=lambda: self.output)

    def process_named(self, name: str) -> dict[str, Any]:
        """Name, pid, state, started_at and restarts of one supervised process."""
        rows = json.loads((self.data_dir / "run" / "processes.json").read_text())["processes"]
        return next(row for row in rows if row["name"] == name)

    def kill(self, name: str) -> None:
        """End one process as a crash would."""
        os.kill(self.process_named(name)["pid"], signal.SIGKILL)

    def stop(self) -> int:
        """End it as Ctrl-C does and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(patience())


def train(product: Product) -> None:
    """Register the demo's three versions with the product's MLflow."""
    until(lambda: product.answers(f"{product.mlflow}/health"), "MLflow answers", within_s=2 * PATIENCE_S)
    command = [sys.executable, "-m", "mlorch_site.launch.demo.train", "--tracking-uri", product.mlflow]
    environment = {"PATH": os.environ["PATH"], "HOME": str(product.data_dir), "PYTHONPATH": str(ROOT)}
    subprocess.run(command, check=True, timeout=2 * patience(), env=environment, cwd=ROOT, stdout=subprocess.DEVNULL)


@contextmanager
def prepared(data_dir: Path, *arguments: str, variables: Mapping[str, str] = NONE) -> Iterator[Product]:
    """Start the product and register the demo's three versions."""
    with running(data_dir, *arguments, variables=variables) as product:
        train(product)
        yield product


@contextmanager
def running(
    data_dir: Path, *arguments: str, through: Sequence[str] = (), variables: Mapping[str, str] = NONE
) -> Iterator[Product]:
    """Start the product and give it once the site is usable."""
    product = Product(data_dir, *arguments, through=through, variables=variables)
    try:
        product.wait_until_usable()
        yield product
    finally:
        try:
            product.stop()
        except subprocess.TimeoutExpired:
            os.killpg(product.process.pid, signal.SIGKILL)
            product.process.wait()
