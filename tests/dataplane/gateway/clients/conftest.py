"""One gateway before real workers for all tests of this folder, and KServe's environment."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.dataplane.gateway.clients.world import Gateway, running
from tests.support.folders import short_folder

KSERVE = "kserve==0.21.0"
INSTALL_TIMEOUT_S = 300


@pytest.fixture(scope="session")
def gateway() -> Iterator[Gateway]:
    with short_folder() as folder, running(folder) as started:
        yield started


@pytest.fixture(scope="session")
def kserve_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Python of an environment with KServe's clients, which cannot live beside our versions of pandas and
    protobuf.
    """
    folder = tmp_path_factory.mktemp("kserve") / "venv"
    python = folder / "bin" / "python"
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        missing("uv")
    commands = [
        [uv, "venv", "-q", "--python", sys.executable, str(folder)],
        [uv, "pip", "install", "-q", "--python", str(python), KSERVE],
    ]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
        if done.returncode:
            missing(f"{KSERVE} ({done.stderr.strip()[-300:]})")
    return str(python)
