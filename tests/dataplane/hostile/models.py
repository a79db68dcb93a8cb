"""A hostile model on disk: MLflow's own format with a loader of its own, which runs the attempt."""

import json
from dataclasses import dataclass
from pathlib import Path

MLMODEL = """\
flavors:
  python_function:
    code: code
    loader_module: {module}
    python_version: 3.11.7
    streamable: true
mlflow_version: 3.17.2
model_uuid: 00000000000000000000000000000000
"""
MODULE = """\
import array, ctypes, errno, fcntl, glob, os, signal, socket, sqlite3, struct, subprocess, sys, threading, time
from pathlib import Path

WORLD = {world!r}
LIBC = ctypes.CDLL(None, use_errno=True)


def call(name, *arguments):
    if getattr(LIBC, name)(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, name + ": " + os.strerror(number))


def sockets():
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink("/proc/self/fd/" + name).startswith("socket:"):
                yield int(name)
        except OSError:
            pass


def load():
{load}


def attempt():
{attempt}


class Model:
    def predict(self, data, params=None):
        return [str(attempt())]

    def predict_stream(self, data, params=None):
        while True:
            yield "more"


def _load_pyfunc(path):
    load()
    return Model()
"""


@dataclass(frozen=True)
class Attempt:
    """What one model tries when it is asked, or with `load` already when it is loaded; `sentence` is a pattern of what
    is said of it.

    `memory_mb` and `start_timeout_s` are the limits it runs with.
    """

    name: str
    attempt: str
    sentence: str
    load: str = "pass"
    memory_mb: int = 2048
    start_timeout_s: int = 30


def saved(tried: Attempt, folder: Path, world: dict[str, object]) -> Path:
    """Write the model of an attempt; the world is what it knows of where it is."""

    def indented(code: str) -> str:
        return "\n".join(f"    {line}" for line in code.strip().splitlines())

    module = f"hostile_{tried.name}"
    artifacts = folder / tried.name
    (artifacts / "code").mkdir(parents=True)
    (artifacts / "MLmodel").write_text(MLMODEL.format(module=module))
    text = MODULE.format(
        world=json.loads(json.dumps({**world, "own": str(artifacts)})),
        load=indented(tried.load),
        attempt=indented(tried.attempt),
    )
    (artifacts / "code" / f"{module}.py").write_text(text)
    return artifacts
