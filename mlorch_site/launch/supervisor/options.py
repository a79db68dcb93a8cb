"""What can be said on the command line of `scripts/up`.

Standard library only: it is read before anything is installed.
"""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DESCRIPTION = "Start mlorch on this machine: site, gateway, Celery, broker, agent and MLflow. Ctrl-C ends everything."
PORT_MAX = 65535
GATEWAY_PROCESSES_MAX = 64


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    data_dir: Path
    web_port: int
    gateway_port: int
    mlflow_port: int
    demo: bool
    grpc_port: int = 0
    gateway_processes: int = 1
    reload: bool = False

    @property
    def web_url(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def gateway_url(self) -> str:
        return f"http://127.0.0.1:{self.gateway_port}"

    @property
    def mlflow_url(self) -> str:
        return os.environ.get("MLFLOW_TRACKING_URI") or f"http://127.0.0.1:{self.mlflow_port}"

    def ports(self) -> dict[str, tuple[int, str]]:
        """Option → (port, what listens there), for every port this instance is going to need."""
        wanted = {"--web-port": (self.web_port, "the site"), "--gateway-port": (self.gateway_port, "the gateway")}
        if self.grpc_port:
            wanted["--gateway-grpc-port"] = (self.grpc_port, "the gateway's gRPC")
        if not os.environ.get("MLFLOW_TRACKING_URI"):
            wanted["--mlflow-port"] = (self.mlflow_port, "MLflow")
        return wanted


def _port(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if not 0 < number <= PORT_MAX:
        raise argparse.ArgumentTypeError(f"'{text}' is no port; ports are numbers from 1 to {PORT_MAX}")
    return number


def _port_or_none(text: str) -> int:
    return 0 if text == "0" else _port(text)


def _processes(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if not 0 < number <= GATEWAY_PROCESSES_MAX:
        raise argparse.ArgumentTypeError(f"'{text}' is no number from 1 to {GATEWAY_PROCESSES_MAX}")
    return number


def default_gateway_processes(cores: int) -> int:
    """How many gateway processes suit a machine: half of its cores, four at most; the workers need the rest."""
    return max(1, min(4, cores // 2))


def _directory(text: str) -> Path:
    path = Path(text).expanduser().resolve()
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"'{path}' is a file, not a directory")
    return path


def options_from(arguments: list[str]) -> Options:
    """The options of the command line. Exits with a sentence when they make no sense."""
    parser = argparse.ArgumentParser(prog="scripts/up", description=DESCRIPTION, allow_abbrev=False)
    parser.add_argument(
        "--data", type=_directory, default=ROOT / "var", metavar="DIR", help="where all state is kept (default: var)"
    )
    parser.add_argument("--web-port", type=_port, default=8000, metavar="PORT", help="the site (default: 8000)")
    parser.add_argument("--gateway-port", type=_port, default=8080, metavar="PORT", help="inference (default: 8080)")
    parser.add_argument(
        "--gateway-grpc-port", type=_port_or_none, default=8081, metavar="PORT", help="gRPC, 0: none (default: 8081)"
    )
    processes = default_gateway_processes(os.cpu_count() or 1)
    parser.add_argument(
        "--gateway-processes", type=_processes, default=processes, metavar="N", help=f"here by default: {processes}"
    )
    parser.add_argument("--mlflow-port", type=_port, default=5000, metavar="PORT", help="MLflow (default: 5000)")
    parser.add_argument("--no-demo", action="store_true", help="do not train the demo's models and send no traffic")
    parser.add_argument(
        "--reload", action="store_true", help="replace the gateway processes of what runs on --data, and end"
    )
    given = parser.parse_args(arguments)
    options = Options(
        given.data,
        given.web_port,
        given.gateway_port,
        given.mlflow_port,
        not given.no_demo,
        given.gateway_grpc_port,
        given.gateway_processes,
        given.reload,
    )
    numbers = [port for port, _ in options.ports().values()]
    if len(set(numbers)) < len(numbers):
        parser.error(f"{', '.join(options.ports())} need different ports")
    return options
