"""Versions logged with older MLflow and an input example, in environments of their own: built with what they were built
with, started, asked.
"""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from dataplane.agent.config import AgentConfig
from dataplane.agent.loop import Agent
from dataplane.agent.python_environments import Environments
from dataplane.agent.sandboxes import Sandboxes
from dataplane.wire.agent_sync import ReplicaGoal
from dataplane.wire.digest import digest
from registry.artifact_facts import artifact_facts
from tests.dataplane.agent.test_isolated import ask, reached
from tests.support.folders import short_folder

pytestmark = pytest.mark.slow

VERSIONS = ["2.9.2", "2.14.3", "2.17.2"]
# Without an upper bound the newest setuptools comes, which has no pkg_resources any more.
BUILT_WITH = ["setuptools==69.5.1", "wheel"]
ROWS = [{"a": 1.0, "b": 0.5}, {"a": 2.0, "b": 1.5}, {"a": 3.0, "b": 9.0}]
MAKE = """
import sys
import mlflow.sklearn, pandas
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression
rows = pandas.DataFrame({"a": [1.0, 2.0, 3.0], "b": [0.5, 1.5, 9.0]})
model = LinearRegression().fit(rows, [1.0, 2.0, 3.0])
signature = infer_signature(rows, model.predict(rows))
mlflow.sklearn.save_model(model, sys.argv[1], signature=signature, input_example=rows)
"""


async def made_with(python: Path, folder: Path) -> Path:
    """A version that the MLflow of another environment has saved."""
    process = await asyncio.create_subprocess_exec(
        str(python), "-W", "ignore", "-c", MAKE, str(folder / "model"), stderr=asyncio.subprocess.PIPE, cwd=folder
    )
    _, said = await process.communicate()
    assert process.returncode == 0, said.decode()[-2000:]
    return folder / "model"


@pytest.mark.parametrize("version", VERSIONS)
async def test_logged_with_older_mlflow__starts_and_answers(version: str) -> None:
    lines = [f"mlflow=={version}", "scikit-learn==1.5.2"]
    with short_folder() as folder:
        agent = Agent(AgentConfig("a1", "here", "http://127.0.0.1:1", "token", folder, 0.1, True, os.environ["PATH"]))
        agent.adopt()
        python = await Environments(agent.config, Sandboxes(agent.config)).python_for(lines, "3.11", BUILT_WITH)
        artifacts = await made_with(python, folder)
        facts: dict[str, Any] = artifact_facts(artifacts)[0]
        goal = ReplicaGoal(
            "r-1",
            1,
            "m",
            "1",
            digest(artifacts),
            str(artifacts),
            requirements=lines,
            build_requirements=BUILT_WITH,
            python="3.11",
            start_timeout_s=120,
        )
        agent.reconcile([goal])
        replica = await reached(agent, {"ready", "failed"}, set())
        assert replica.state == "ready", replica.message
        header, body = await ask(replica.address, json.dumps({"dataframe_records": ROWS}).encode())
        profile = agent.report().replicas[0].profile
        await agent.close()

    assert "setuptools" in " ".join(facts["build_requirements"])
    assert (header.status, json.loads(body)["predictions"]) == (200, pytest.approx([1.0, 2.0, 3.0]))
    assert profile is not None
    assert (profile.native, profile.joins) == ("array", True), profile
