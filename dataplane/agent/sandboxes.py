"""The sandboxes of an agent: how good they can be on this machine, found out by making one, and what goes into each."""

import asyncio
import contextlib
import hashlib
import ipaddress
import os
import site
import stat
import sys
import tempfile
from pathlib import Path

import structlog

from dataplane.agent.config import AgentConfig
from dataplane.sandbox import landlock, seccomp
from dataplane.sandbox.file_tree import SETTINGS, SYSTEM, is_beneath
from dataplane.wire import shapes
from dataplane.wire.agent_sync import ReplicaGoal
from dataplane.wire.sandbox import SandboxLevel, SandboxSpec, is_at_least

log = structlog.get_logger(__name__)

PROJECT_ROOT = Path(__file__).resolve().parents[2]
USERS_BEGIN, USERS = 1_800_000_000, 100_000_000  # beyond what systems and containers give to anybody
RESOLVER_SETTINGS = Path("/etc/resolv.conf")
DOMAIN_PORT = 53
TRY_TIMEOUT_S = 20.0
GROUP_READS, OTHERS_READ = stat.S_IRGRP | stat.S_IXGRP, stat.S_IROTH | stat.S_IXOTH
BUILD_FILE_BYTES = 32 * 1024**3
BUILD_FILES_MAX = 16 * 1024
BUILD_TASKS_MAX = 4096
# What a worker needs must be there, and what lies beside its home must not.
TRIAL = """
import socket, sys, dataplane.worker.server
socket.socketpair()
try:
    open(sys.argv[1]).close()
except OSError:
    sys.exit(0)
sys.exit("what is hidden can be read")
"""


class Refused(Exception):
    """A process may not run with the sandbox that this machine gives; the text says why."""


def user_of(name: str) -> int:
    """A user id that nobody else has: the same name always has the same."""
    return USERS_BEGIN + int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % USERS


def listening_ports() -> set[int]:
    """The TCP ports on which something of this machine listens now."""
    found = set()
    for table in ("tcp", "tcp6"):
        try:
            rows = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        found |= {int(row.split()[1].rpartition(":")[2], 16) for row in rows if row.split()[3] == "0A"}
    return found


def names_are_asked_here(settings: Path = RESOLVER_SETTINGS) -> bool:
    """Whether this machine asks a server of its own for names: who may use the network may ask it too."""
    try:
        rows = [line.split() for line in settings.read_text().splitlines()]
    except (OSError, UnicodeDecodeError):
        return False
    servers = [row[1].partition("%")[0] for row in rows if len(row) > 1 and row[0] == "nameserver"]
    with contextlib.suppress(ValueError):
        return any(ipaddress.ip_address(server).is_loopback for server in servers)
    return False


class Sandboxes:
    """Knows the level after `look`; makes specs for workers, templates and builds."""

    def __init__(self, config: AgentConfig) -> None:
        self._config = config
        self._mechanism: SandboxLevel = "none"
        self._has_users = False
        self._looking = asyncio.Lock()
        self.sentence = ""

    async def look(self) -> str:
        """The level of this machine as a sentence: full, partly or none, and what is missing. Looks once."""
        async with self._looking:
            if not self.sentence:
                self.sentence = shapes.cut(await self._look())
                log.info("sandbox.level", sandbox=self.sentence)
        return self.sentence

    async def _look(self) -> str:
        wanted = self._config.sandbox
        if wanted == "none":
            return "none: switched off by MLORCH_AGENT_SANDBOX"
        if not seccomp.is_known() or not landlock.version():
            return "none: this kernel has no Landlock, or its system calls are not known here"
        why = "switched off by MLORCH_AGENT_SANDBOX"
        is_root = os.geteuid() == 0
        for has_users in ((True, False) if is_root else (False,)) if wanted == "full" else ():
            why = await self._try("full", has_users)
            if not why:
                self._mechanism, self._has_users = "full", has_users
                return "full" if has_users or not is_root else "partly: no user of its own"
        if missing := await self._try("partly", False):
            return f"none: {missing}"
        self._mechanism = "partly"
        scopes = (
            "" if landlock.version() >= landlock.SINCE_SCOPES else ", signals to others of its user are not refused"
        )
        return f"partly: no namespaces ({why}); temporary files are watched, not bounded{scopes}"

    async def _try(self, level: SandboxLevel, has_users: bool) -> str:
        """Make a sandbox and look around in it. Returns what went wrong, empty when nothing did."""
        hidden = [str(self._config.data_dir)]
        if level == "partly" and (
            around := [one for one in (*SYSTEM, *self._readable()) if is_beneath(hidden[0], one)]
        ):
            return f"the data directory lies in {around[0]}, which workers must read"
        with tempfile.TemporaryDirectory(dir="/tmp", prefix="mlorch-try-") as folder:
            home, beside = Path(folder) / "home", Path(folder) / "beside"
            home.mkdir()
            beside.touch()
            user = user_of(folder) if has_users else 0
            spec = SandboxSpec(level, str(home), self._readable(), [], hidden, user=user)
            trial = [sys.executable, "-c", TRIAL, str(beside)]
            process = await asyncio.create_subprocess_exec(
                *launch(spec, -1, trial),
                env={"PYTHONPATH": str(PROJECT_ROOT), "PATH": self._config.path, "PYTHONDONTWRITEBYTECODE": "1"},
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
            try:
                async with asyncio.timeout(TRY_TIMEOUT_S):
                    _, said = await process.communicate()
            except TimeoutError:
                process.kill()
                return "a sandbox could not be made in time"
        lines = said.decode(errors="replace").strip().splitlines()
        return "" if process.returncode == 0 else lines[-1][:200] if lines else f"it ended with {process.returncode}"

    def _readable(self, python: Path | None = None) -> list[str]:
        """What every process of an interpreter reads: the interpreter, its packages, and the data plane's own code."""
        own = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, *site.getsitepackages()}
        bases = {sys.base_prefix, sys.base_exec_prefix}
        prefixes = own if python is None or self.is_own(python) else {*bases, str(python.parent.parent)}
        known = {str(PROJECT_ROOT / "dataplane"), *(path for path in prefixes if path != "/")}
        return sorted(known - {*SYSTEM, *SETTINGS})

    @staticmethod
    def is_own(python: Path) -> bool:
        """Whether this is the agent's own interpreter: what it loads was installed by who runs the agent, not chosen by
        a model.
        """
        return str(python) == sys.executable

    def level_for(self, goal: ReplicaGoal) -> str:
        """The level of a goal's worker as a sentence. Raises Refused when the policy demands a better one."""
        level = self.sentence
        if self._has_users and not self._user_of(goal):
            level = f"partly: no user of its own, because only the owner may read {goal.artifacts}"
        if goal.network and self._mechanism != "none":
            if landlock.version() < landlock.SINCE_NETWORK:
                raise Refused(
                    "The network cannot be granted: this kernel cannot keep a worker from loopback's services."
                )
            ports = ", ".join(str(port) for port in self._ports()) or "none"
            missing = "" if level == "full" else f"; {level.removeprefix('partly: ')}"
            level = shapes.cut(f"partly: network granted, TCP to the ports {ports}{missing}")
        if not is_at_least(level, goal.sandbox_level_min):
            raise Refused(
                f"The policy demands a sandbox level of '{goal.sandbox_level_min}'; this machine gives {level}."
            )
        return level

    def _user_of(self, goal: ReplicaGoal) -> int:
        """The user of a goal's worker, 0 for ours: where there is none to give, or it could not read the artifacts."""
        with contextlib.suppress(FileNotFoundError):
            mode = os.stat(goal.artifacts).st_mode
            if not (mode & GROUP_READS == GROUP_READS or mode & OTHERS_READ == OTHERS_READ):
                return 0
        return user_of(goal.id) if self._has_users else 0

    def _ports(self) -> list[int]:
        """The ports that a grant opens. Addresses cannot be told apart, so whatever listens on this machine is out."""
        closed = listening_ports() - ({DOMAIN_PORT} if names_are_asked_here() else set())
        return sorted(set(self._config.network_ports) - closed)

    def for_worker(self, goal: ReplicaGoal, python: Path, home: Path) -> SandboxSpec:
        """The sandbox of a worker that is started, or forked from the template of our own interpreter."""
        return SandboxSpec(
            self._mechanism,
            str(home),
            [*self._readable(python), goal.artifacts],
            hidden=[str(self._config.data_dir), str(self._config.sockets)],
            data_bytes=data_limit(goal.memory_limit_mb),
            user=self._user_of(goal),
            groups=[os.stat(goal.artifacts).st_gid] if self._user_of(goal) and os.path.exists(goal.artifacts) else [],
            network=goal.network,
            ports=self._ports() if goal.network else None,
        )

    def for_template(self, goal: ReplicaGoal | None, python: Path, home: Path) -> SandboxSpec:
        """The sandbox of a template. Ours loads what we installed and makes the sandboxes of its workers; another one
        loads what a model chose, so that it lives in one itself, with that version's files.
        """
        if goal is None or self._mechanism == "none":
            return SandboxSpec("none", str(home))
        worker = self.for_worker(goal, python, home)
        changes = {"may_fork": True, "has_init": True, "user": user_of(home.name) if worker.user else 0}
        return shapes.changed(worker, **changes)

    def in_template(self, goal: ReplicaGoal, python: Path, home: Path, template_home: Path) -> SandboxSpec:
        """The sandbox of a worker that is forked from a template: within the template's own where it has one."""
        if self.is_own(python) or self._mechanism == "none":
            return self.for_worker(goal, python, home)
        inner = template_home / goal.id
        readable = ["/"] if self._mechanism == "full" else [*self._readable(python), goal.artifacts]
        return SandboxSpec("partly", str(inner), readable, data_bytes=data_limit(goal.memory_limit_mb))

    def for_build(self, home: Path, writable: list[Path], readable: list[str]) -> SandboxSpec:
        """The sandbox of an environment's build: it asks the network and starts programs, and reads nothing of ours."""
        return SandboxSpec(
            self._mechanism,
            str(home),
            [*self._readable(), *readable],
            [str(path) for path in writable],
            [str(self._config.data_dir)],
            file_bytes=BUILD_FILE_BYTES,
            open_files=BUILD_FILES_MAX,
            tasks=BUILD_TASKS_MAX,
            network=True,
            datagrams=True,
            may_fork=True,
        )


def data_limit(memory_mb: int) -> int:
    """The bound on a worker's data in bytes; its watched memory comes first."""
    return 4 * memory_mb * 1024 * 1024


def launch(spec: SandboxSpec, talk: int, command: list[str]) -> list[str]:
    """The command that runs another one in a sandbox."""
    own = [sys.executable, "-m", "dataplane.sandbox.launcher"]
    return [*own, shapes.write(spec).decode(), str(talk), *command]
