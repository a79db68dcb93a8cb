"""What workers left behind goes after a time; what is in use, and what is not the agent's, stays."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dataplane.agent import leftovers, python_environments
from dataplane.agent.config import AgentConfig
from dataplane.agent.loop import Agent
from dataplane.agent.python_environments import BUILD_LEFT_S, ENVIRONMENTS_KEPT_S, Environments, key_of
from dataplane.agent.sandboxes import Sandboxes
from dataplane.wire.agent_sync import ReplicaGoal
from tests.support.folders import short_folder

USED, UNUSED = key_of(["numpy==1.0"], "3.11"), key_of(["numpy==2.0"], "3.11")
GOAL = ReplicaGoal(
    id="r-1",
    generation=1,
    model="m",
    version="1",
    digest="sha256:x",
    artifacts="/nowhere",
    requirements=["numpy==1.0"],
    python="3.11.7",
)


@pytest.fixture
def config() -> Iterator[AgentConfig]:
    with short_folder() as folder:
        yield AgentConfig("a1", "here", "http://127.0.0.1:1", "token", folder, 0.1, True, os.environ["PATH"])


def made(folder: Path, *names: str, age_s: float) -> None:
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "content").touch()
        at = time.time() - age_s
        os.utime(folder / name, (at, at))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def put_away(config: AgentConfig, used: set[str]) -> list[Path]:
    gone = Environments(config, Sandboxes(config)).put_away(used, time.time())
    leftovers.delete(gone)
    return gone


def test_environments__unused_for_long__go_and_those_in_use_stay(config: AgentConfig) -> None:
    made(config.environments, USED, UNUSED, age_s=ENVIRONMENTS_KEPT_S + 60)
    put_away(config, leftovers.environments_of([GOAL]))
    assert names(config.environments) == {USED}
    put_away(config, set())
    assert names(config.environments) == {USED}, "its last use is now, so that its time begins anew"


def test_environments__what_builds_left__goes_and_what_is_unknown_stays(config: AgentConfig, tmp_path: Path) -> None:
    made(config.environments, f".{USED}.123", f".{USED}.home", age_s=BUILD_LEFT_S + 60)
    made(config.environments, f".{UNUSED}.124", age_s=60)
    made(config.environments, "notes", age_s=10 * ENVIRONMENTS_KEPT_S)
    made(tmp_path, "outside", age_s=0)
    (config.environments / UNUSED).symlink_to(tmp_path / "outside")
    put_away(config, set())
    assert names(config.environments) == {f".{UNUSED}.124", "notes", UNUSED}
    assert (tmp_path / "outside" / "content").exists()


@pytest.mark.parametrize(("age_s", "left"), [(ENVIRONMENTS_KEPT_S + 60, set()), (60, {".cache"})])
def test_wheels__kept_for_builds__go_when_nothing_was_built_for_long(
    config: AgentConfig, age_s: float, left: set[str]
) -> None:
    made(config.environments, ".cache", age_s=age_s)
    put_away(config, set())
    assert names(config.environments) == left


def test_environments__agent_died_while_it_deleted__goes_the_next_time(config: AgentConfig) -> None:
    made(config.environments, UNUSED, age_s=ENVIRONMENTS_KEPT_S + 60)
    Environments(config, Sandboxes(config)).put_away(set(), time.time())
    assert names(config.environments) == {f".trash-{UNUSED}"}
    put_away(config, set())
    assert names(config.environments) == set()


async def test_environment__used__is_as_new(config: AgentConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_environments, "satisfied_here", lambda lines: False)
    made(config.environments, f"{USED}/bin", age_s=0)
    (config.environments / USED / "bin" / "python").touch()
    os.utime(config.environments / USED, (0, 0))
    await Environments(config, Sandboxes(config)).python_for(GOAL.requirements, GOAL.python)
    assert put_away(config, set()) == []


async def test_agent__tidies__old_logs_and_environments_go(config: AgentConfig) -> None:
    config.logs.mkdir(parents=True)
    for name, age_s in (("r-old.log", leftovers.LOGS_KEPT_S + 60), ("r-old.log.1", 1e9), ("r-new.log", 60)):
        (config.logs / name).touch()
        os.utime(config.logs / name, (time.time() - age_s,) * 2)
    made(config.environments, UNUSED, age_s=ENVIRONMENTS_KEPT_S + 60)
    await Agent(config).tidy()
    assert names(config.logs) == {"r-new.log"}
    assert names(config.environments) == set()


def test_logs__of_a_running_worker_that_says_nothing__stay(tmp_path: Path) -> None:
    (tmp_path / "r-1.log").touch()
    os.utime(tmp_path / "r-1.log", (0, 0))
    leftovers.delete_logs(tmp_path, {"r-1"}, time.time())
    assert names(tmp_path) == {"r-1.log"}


async def test_agent__nothing_to_adopt__homes_of_earlier_workers_go(config: AgentConfig) -> None:
    made(config.sockets, "r-1.home", "t-abc.home", age_s=0)
    Agent(replace(config)).adopt()
    assert names(config.sockets) == set()
