"""A version whose requirements differ from ours runs in an environment of its own, really built and really
answering.
"""

import asyncio
import importlib.metadata
import json
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from dataplane.agent.config import AgentConfig
from dataplane.agent.loop import Agent
from dataplane.agent.sandboxes import USERS_BEGIN
from dataplane.wire.agent_sync import ReplicaGoal, ReplicaObservation
from dataplane.wire.digest import digest
from dataplane.wire.frames import AnswerHeader, RequestHeader, encode_frame, read_frame
from tests.dataplane.worker.conftest import cancer_model  # noqa: F401 - the same saved model
from tests.support.folders import short_folder
from tests.support.waiting import PATIENCE_S, auntil

pytestmark = pytest.mark.slow

OTHER_CLOUDPICKLE = "3.1.1"


def requirements() -> list[str]:
    """What the saved model needs, with one package at another version than ours."""
    assert importlib.metadata.version("cloudpickle") != OTHER_CLOUDPICKLE
    own = [
        f"{name}=={importlib.metadata.version(name)}" for name in ("mlflow", "scikit-learn", "skops", "pandas", "numpy")
    ]
    return [*own, f"cloudpickle=={OTHER_CLOUDPICKLE}"]


async def ask(address: str, body: bytes) -> tuple[dict[str, Any], bytes]:
    reader, writer = await asyncio.open_unix_connection(address.removeprefix("unix:"))
    writer.write(encode_frame(RequestHeader("invocations", 1, content_type="application/json"), body))
    try:
        return await read_frame(reader, AnswerHeader)
    finally:
        writer.close()


async def reached(agent: Agent, states: set[str], seen_states: set[str]) -> ReplicaObservation:
    """The replica once it is in one of `states`; those that were seen on the way are added."""

    def is_there() -> bool:
        seen_states.add(agent.report().replicas[0].state)
        return bool(seen_states & states)

    await auntil(is_there, f"the replica is one of {states}", within_s=4 * PATIENCE_S, seen=agent.report)
    return agent.report().replicas[0]


@pytest.mark.parametrize("level", ["full", "partly"])
async def test_other_requirements__environment_is_built_once_and_serves(
    cancer_model: Path,  # noqa: F811
    level: str,
) -> None:
    example = (cancer_model / "serving_input_example.json").read_bytes()
    with short_folder() as folder:
        own = ("a1", "here", "http://127.0.0.1:1", "token", folder, 0.1, True, os.environ["PATH"])
        agent = Agent(AgentConfig(*own, sandbox=level))
        agent.adopt()
        goal = ReplicaGoal(
            id="r-1",
            generation=1,
            model="m",
            version="1",
            digest=digest(cancer_model),
            artifacts=str(cancer_model),
            requirements=requirements(),
            python="3.11",
            start_timeout_s=120,
        )
        seen_states = set()
        agent.reconcile([goal])
        replica = await reached(agent, {"ready", "failed"}, seen_states)
        assert replica.state == "ready", replica.message
        header, body = await ask(replica.address, example)
        (template,) = agent.template_pids
        in_template = sorted(path.name for path in Path(f"/proc/{template}/root{folder}").iterdir())
        user = psutil.Process(template).uids().real
        parent = psutil.Process(replica.pid).ppid()
        (build,) = agent.report().environments
        os.kill(template, signal.SIGKILL)
        await auntil(lambda: not agent.template_pids, "the template is gone")
        again, _ = await ask(replica.address, example)
        await agent.close()

        assert (header.status, len(json.loads(body)["predictions"])) == (200, 2)
        assert again.status == 200  # the worker outlives its template
        assert "building" in seen_states
        assert build.state == "ready"
        assert parent == template  # which loads packages that the version chose, and lives in a sandbox itself
        assert replica.sandbox.startswith(level)
        assert level == "partly" or in_template == ["environments", "run"]
        assert level == "partly" or os.getuid() or user >= USERS_BEGIN
        assert "cloudpickle" in build.log_tail
        site = next((folder / "environments").glob("*/lib/python*/site-packages"))
        assert (site / f"cloudpickle-{OTHER_CLOUDPICKLE}.dist-info").is_dir()
        assert not (site / "django").exists()


async def test_requirement_that_does_not_exist__replica_fails_with_the_installers_words() -> None:
    with short_folder() as folder:
        agent = Agent(AgentConfig("a1", "here", "http://127.0.0.1:1", "token", folder, 0.1, True, os.environ["PATH"]))
        agent.adopt()
        goal = ReplicaGoal("r-1", 1, "m", "1", "sha256:x", str(folder), ["mlflow==0.0.0.1"], "3.11")
        agent.reconcile([goal])
        replica = await reached(agent, {"failed"}, set())
        await agent.close()

        assert "could not be built" in replica.message
        assert list((folder / "environments").glob("[!.]*")) == []
