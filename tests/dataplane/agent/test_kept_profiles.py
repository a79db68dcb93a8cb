"""What a version's worker decided is decided once: kept by the agent, and handed to every later start."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import cloudpickle
import mlflow
import msgspec
import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature

from dataplane.agent import kept_profiles, replica_runner
from dataplane.agent.config import AgentConfig
from dataplane.agent.kept_profiles import KeptProfiles
from dataplane.agent.loop import Agent
from dataplane.wire import shapes
from dataplane.wire.agent_sync import ReplicaGoal, ReplicaObservation
from dataplane.wire.digest import digest
from dataplane.wire.frames import AnswerHeader, RequestHeader, encode_frame, read_frame
from dataplane.wire.worker_profile import WorkerProfile
from tests.dataplane.worker.conftest import cancer_model  # noqa: F401 - a fixture
from tests.support.folders import short_folder
from tests.support.waiting import auntil

PROFILE = WorkerProfile(native="array", forms=["inputs"], reason="joins requests: known", joins=True)


def goal(artifacts: Path, replica: str = "r-1", **changes: Any) -> ReplicaGoal:
    fields: dict[str, Any] = {"id": replica, "generation": 1, "model": "m", "version": "1", "digest": "sha256:x"}
    return ReplicaGoal(**(fields | {"artifacts": str(artifacts), "drain_s": 5, "max_restarts": 1} | changes))


def test_keep__read_again__and_by_another_agent_process(tmp_path: Path) -> None:
    KeptProfiles(tmp_path / "profiles").keep("k", PROFILE)

    assert KeptProfiles(tmp_path / "profiles").read("k") == PROFILE
    assert KeptProfiles(tmp_path / "profiles").read("other") is None


def test_read__torn_file__nothing_is_known(tmp_path: Path) -> None:
    (tmp_path / "k.json").write_text('{"native": 7')

    assert KeptProfiles(tmp_path).read("k") is None


def test_keep__many__the_oldest_are_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_profiles, "KEPT_MAX", 2)
    kept = KeptProfiles(tmp_path)
    for number in range(3):
        kept.keep(f"k{number}", PROFILE)
        os.utime(tmp_path / f"k{number}.json", (number, number))
    kept.keep("k3", PROFILE)

    assert sorted(path.stem for path in tmp_path.glob("*.json")) == ["k2", "k3"]


def test_key__digest_declaration_packages_or_code_differ__is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = tmp_path / "env" / "lib" / "python3.11" / "site-packages"
    (packages / "numpy-2.0.dist-info").mkdir(parents=True)
    python = tmp_path / "env" / "bin" / "python"

    def key(python: Path = python, **changes: Any) -> str:
        return KeptProfiles(tmp_path).key_of(goal(tmp_path, **changes), python)

    keys = [key(), key(digest="sha256:y"), key(rows_independent=True), key(Path(sys.executable))]
    same = key(id="r-2", memory_limit_mb=64)
    (packages / "numpy-2.0.dist-info").rename(packages / "numpy-2.1.dist-info")
    keys.append(key())
    monkeypatch.setattr(kept_profiles, "DATA_PLANE", tmp_path)
    keys.append(key())

    assert len(set(keys)) == len(keys)
    assert same == keys[0]


async def test_deciding__two_at_once__the_second_gets_what_the_first_decided(tmp_path: Path) -> None:
    kept, began = KeptProfiles(tmp_path), asyncio.Event()

    async def first() -> None:
        async with kept.deciding("k") as known:
            assert known is None
            began.set()
            await asyncio.sleep(0)
            kept.keep("k", PROFILE)

    async def second() -> WorkerProfile | None:
        await began.wait()
        async with kept.deciding("k") as known:
            return known

    _, seen = await asyncio.gather(first(), second())

    assert seen == PROFILE


@pytest.fixture
async def agent() -> AsyncIterator[Agent]:
    with short_folder() as folder:
        agent = Agent(AgentConfig("a1", "here", "http://127.0.0.1:1", "token", folder, 0.1, True, os.environ["PATH"]))
        agent.adopt()
        yield agent
        await agent.close()


def row(agent: Agent, replica: str) -> ReplicaObservation:
    return next(row for row in agent.report().replicas if row.id == replica)


async def until_ready(agent: Agent, *replicas: str) -> None:
    await auntil(
        lambda: all(
            row(agent, replica).state in ("ready", "failed") and row(agent, replica).profile for replica in replicas
        ),
        "all are ready",
        seen=agent.report,
    )
    assert {row(agent, replica).state for replica in replicas} == {"ready"}, agent.report()


def warmed(agent: Agent, replica: str) -> dict[str, Any]:
    """What the replica's worker said when it was loaded."""
    lines = (agent.config.logs / f"{replica}.log").read_text().splitlines()
    said = [json.loads(line) for line in lines if line.startswith('{"event": "warmed"')]
    return {str(name): value for name, value in said[-1].items()}


@pytest.mark.slow
async def test_start__two_replicas_and_a_later_one__decided_once_and_all_agree(
    agent: Agent,
    cancer_model: Path,  # noqa: F811
) -> None:
    same = {"digest": digest(cancer_model), "python": "3.11"}
    agent.reconcile([goal(cancer_model, name, **same) for name in ("r-1", "r-2")])
    await until_ready(agent, "r-1", "r-2")
    (file,) = agent.config.profiles.glob("*.json")
    decided = shapes.read(WorkerProfile, file.read_bytes())
    # What nobody would decide: it is told only by who was handed it.
    told = msgspec.structs.replace(decided, forms=["inputs"], given_up={"oip_matrix": "as it was decided"})
    file.write_bytes(shapes.write(told))
    agent.reconcile([goal(cancer_model, name, **same) for name in ("r-1", "r-2", "r-3")])
    await until_ready(agent, "r-3")

    assert row(agent, "r-1").profile == row(agent, "r-2").profile == decided
    assert (decided.native, decided.joins, len(decided.forms)) == ("array", True, 6)
    assert row(agent, "r-3").profile == told
    assert warmed(agent, "r-3")["forms"] == ["inputs"]


class LeaksLate(mlflow.pyfunc.PythonModel):
    """Answers each row for itself, until it was asked for many at once."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        self.leaks = getattr(self, "leaks", False) or len(model_input) > 60
        return model_input["x"].to_numpy() + (model_input["x"].sum() if self.leaks else 0.0)


async def ask_together(agent: Agent, *values: list[float]) -> list[Any]:
    """The answers to requests that a gateway has gathered in one frame."""
    address = row(agent, "r-1").address.removeprefix("unix:")
    reader, writer = await asyncio.open_unix_connection(address)
    bodies = [json.dumps({"inputs": {"x": rows}}).encode() for rows in values]
    header = RequestHeader("invocations", 1, "application/json", sizes=[len(body) for body in bodies])
    writer.write(encode_frame(header, b"".join(bodies)))
    answer, body = await read_frame(reader, AnswerHeader)
    writer.close()
    answers = []
    for told in answer.answers or []:
        answers.append(json.loads(body[: told.size])["predictions"])
        body = body[told.size :]
    return answers


@pytest.mark.slow
async def test_serve__declared_model_mixes_rows_after_all__replay_ends_it_tells_the_agent_and_it_stays_so(
    agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_runner, "PING_EVERY_S", 0.1)
    monkeypatch.setattr(replica_runner, "WATCH_S", 0.1)
    example = pd.DataFrame({"x": [1.0, 2.5, 7.0]})
    signature = infer_signature(example, np.array([1.0]))
    options = {"signature": signature, "input_example": example, "pip_requirements": ["mlflow"]}
    # The worker sees no test: what it needs of this file goes with the model.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        mlflow.pyfunc.save_model(tmp_path / "model", python_model=LeaksLate(), **options)
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    declared = {"digest": digest(tmp_path / "model"), "python": "3.11", "rows_independent": True}
    agent.reconcile([goal(tmp_path / "model", **declared)])
    await until_ready(agent, "r-1")
    before = row(agent, "r-1").profile
    await ask_together(agent, [1.0] * 100, [1.0])
    mixed = await ask_together(agent, [1.0], [2.0])

    def alarm() -> str:
        profile = row(agent, "r-1").profile
        return profile.alarm if profile else ""

    await auntil(lambda: bool(alarm()), "the replay has told what it found", seen=agent.report)
    apart = await ask_together(agent, [1.0], [2.0])
    agent.reconcile([])
    await auntil(lambda: not agent.report().replicas, "the replica is gone")
    agent.reconcile([goal(tmp_path / "model", **declared)])
    await until_ready(agent, "r-1")
    again = row(agent, "r-1").profile

    assert before is not None
    assert before.joins
    assert (mixed, apart) == ([[4.0], [5.0]], [[2.0], [4.0]])
    assert again is not None
    assert (again.joins, again.objection, again.alarm) == (
        False,
        "a request was answered otherwise together with others than alone",
        "",
    )


@pytest.mark.slow
async def test_start__kept_profiles_do_not_hold_any_more__decided_anew_and_kept(
    agent: Agent,
    cancer_model: Path,  # noqa: F811
) -> None:
    wanted = goal(cancer_model, digest=digest(cancer_model), python="3.11")
    key = KeptProfiles(agent.config.profiles).key_of(wanted, Path(sys.executable))
    KeptProfiles(agent.config.profiles).keep(key, WorkerProfile(native="gone", forms=["inputs"], alarm="it was wrong"))
    agent.reconcile([wanted])
    await until_ready(agent, "r-1")
    profile = row(agent, "r-1").profile

    assert profile is not None
    assert (profile.native, len(profile.forms)) == ("array", 6)
    assert (profile.joins, profile.objection, profile.alarm) == (False, "it was wrong", "")
    assert KeptProfiles(agent.config.profiles).read(key) == profile
