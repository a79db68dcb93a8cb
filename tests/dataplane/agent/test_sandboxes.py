"""What an agent makes of sandboxes: levels that a policy demands, granted networks, builds that run nothing."""

import io
import os
import sys
import tarfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from dataplane.agent import sandboxes
from dataplane.agent.config import AgentConfig, from_environment
from dataplane.agent.loop import Agent
from dataplane.agent.python_environments import BuildFailed, Environments
from dataplane.agent.sandboxes import Sandboxes, names_are_asked_here, user_of
from dataplane.sandbox import landlock
from tests.dataplane.agent.test_supervision import goal, reached, seen
from tests.support.folders import short_folder

BACKEND = """
import os
from pathlib import Path

def build_wheel(folder, config_settings=None, metadata_directory=None):
    raise RuntimeError(f"it ran, {os.environ.get('MLORCH_CONTROL_TOKEN')}, {Path(SECRET).exists()}")

prepare_metadata_for_build_wheel = get_requires_for_build_wheel = build_wheel
"""
PYPROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


@pytest.fixture
def config() -> AsyncIterator[AgentConfig]:
    with short_folder() as folder:
        yield AgentConfig("a1", "here", "http://127.0.0.1:1", "token", folder, 0.1, True, os.environ["PATH"])


@pytest.mark.parametrize(
    ("best", "demanded"), [("none", "partly"), ("none", "full"), ("partly", "full")], ids=lambda level: level
)
async def test_policy_demands_more_than_there_is__replica_fails_and_says_both(
    config: AgentConfig, best: str, demanded: str
) -> None:
    agent = Agent(replace(config, sandbox=best))
    agent.reconcile([goal(agent, sandbox_level_min=demanded)])
    await reached(agent, "failed")
    said = seen(agent)
    await agent.close()

    assert f"demands a sandbox level of '{demanded}'; this machine gives {best}" in said["message"]
    assert said["restarts"] == 0


@pytest.mark.parametrize("level", ["none", "partly", "full"])
async def test_level__found_by_trying__told_of_agent_and_replica(config: AgentConfig, level: str) -> None:
    agent = Agent(replace(config, sandbox=level))
    agent.adopt()
    agent.reconcile([goal(agent, sandbox_level_min=level)])
    await reached(agent, "ready")
    report = agent.report()
    await agent.close()

    assert report.sandbox.partition(":")[0] == level
    assert report.replicas[0].sandbox == report.sandbox


async def test_level__data_directory_lies_in_what_workers_read__is_not_partly(config: AgentConfig) -> None:
    sandboxes = Sandboxes(replace(config, data_dir=Path("/usr/lib/mlorch"), sandbox="partly"))

    assert await sandboxes.look() == "none: the data directory lies in /usr, which workers must read"


async def test_grant__kernel_that_cannot_tell_ports_apart__is_refused(
    config: AgentConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landlock, "version", lambda: landlock.SINCE_NETWORK - 1)
    agent = Agent(config)
    agent.reconcile([goal(agent, network=True)])
    await reached(agent, "failed")
    said = seen(agent)["message"]
    await agent.close()

    assert said == "The network cannot be granted: this kernel cannot keep a worker from loopback's services."


def test_user_of__each_name_its_own__beyond_all_others() -> None:
    users = {user_of(f"r-{number}") for number in range(1000)}

    assert len(users) == 1000
    assert min(users) >= 1_800_000_000
    assert max(users) < 2**31
    assert user_of("r-1") == user_of("r-1")


@pytest.mark.parametrize("value", ["", "some", "Full"])
def test_configuration__level_that_is_none__says_which_there_are(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("MLORCH_CONTROL_TOKEN", "t")
    monkeypatch.setenv("MLORCH_AGENT_SANDBOX", value)

    with pytest.raises(ValueError, match="none, partly, full"):
        from_environment()


def source_distribution(folder: Path, secret: Path) -> None:
    """A package that is there as source only, and runs its code when it is built."""
    with tarfile.open(folder / "hostilepackage-1.0.tar.gz", "w:gz") as archive:
        for name, text in (
            ("pyproject.toml", PYPROJECT),
            ("backend.py", f"SECRET = {str(secret)!r}{BACKEND}"),
            ("PKG-INFO", "Metadata-Version: 2.1\nName: hostilepackage\nVersion: 1.0\n"),
        ):
            entry = tarfile.TarInfo(f"hostilepackage-1.0/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))


@pytest.mark.slow
@pytest.mark.parametrize("is_named", [False, True], ids=["wheels only", "a named exception"])
async def test_build__source_distribution__runs_only_when_it_is_named_and_then_finds_nothing(
    config: AgentConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_named: bool
) -> None:
    secret = config.data_dir / "secrets.json"
    secret.write_text("{}")
    source_distribution(tmp_path, secret)
    monkeypatch.setenv("MLORCH_CONTROL_TOKEN", "canary-secret")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    config = replace(config, source_builds=("hostilepackage",) if is_named else ())
    environments = Environments(config, Sandboxes(config))
    with pytest.raises(BuildFailed):
        await environments.python_for(["hostilepackage==1.0"], "3.11")
    (build,) = environments.builds.values()

    assert "canary-secret" not in build.log
    assert ("it ran, None, False" in build.log) == is_named
    assert ("binary" in build.log or "wheel" in build.log) or is_named


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives workers users of their own; else there is none to lack")
@pytest.mark.parametrize(("mode", "level"), [(0o750, "full"), (0o700, "partly: no user of its own")])
async def test_artifacts__only_their_owner_may_read_them__are_read_all_the_same_and_the_level_says_so(
    config: AgentConfig, mode: int, level: str
) -> None:
    agent = Agent(config)
    agent.adopt()
    artifacts = config.data_dir / "artifacts" / "sha256-x"
    artifacts.mkdir(parents=True)
    artifacts.chmod(mode)
    agent.reconcile([goal(agent, artifacts=str(artifacts))])
    await reached(agent, "ready")
    told, user = agent.report().replicas[0].sandbox, psutil.Process(seen(agent)["pid"]).uids().real
    await agent.close()

    assert told.startswith(level)
    assert (user == user_of("r-1")) == (level == "full")


@pytest.mark.parametrize(
    ("text", "is_here"),
    [
        ("nameserver 127.0.0.53\noptions edns0\n", True),
        ("nameserver 192.0.2.1\nnameserver ::1\n", True),
        ("nameserver fe80::1%eth0\nnameserver 192.0.2.1\n", False),
        ("# nameserver 127.0.0.1\nsearch example\nnameserver\nnameserver x\n", False),
    ],
)
def test_names__asked_of_a_server_of_this_machine__is_told_from_its_settings(
    tmp_path: Path, text: str, is_here: bool
) -> None:
    (tmp_path / "resolv.conf").write_text(text)
    assert names_are_asked_here(tmp_path / "resolv.conf") == is_here
    assert not names_are_asked_here(tmp_path / "none")


@pytest.mark.parametrize(("is_here", "ports"), [(True, [53]), (False, [])])
def test_granted_ports__name_server_on_this_machine__stays_open_only_where_it_is_the_machines_own(
    config: AgentConfig, monkeypatch: pytest.MonkeyPatch, is_here: bool, ports: list[int]
) -> None:
    monkeypatch.setattr(sandboxes, "listening_ports", lambda: {53, 443})
    monkeypatch.setattr(sandboxes, "names_are_asked_here", lambda: is_here)
    spec = Sandboxes(replace(config, network_ports=(53, 443))).for_worker(
        goal(Agent(config), network=True), Path(sys.executable), config.sockets / "r-1.home"
    )
    assert spec.ports == ports
    assert not spec.datagrams
