"""The scripts as modules: some of them are programs without an ending, and they import each other from their own
directory.
"""

import importlib.util
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def script(monkeypatch):
    """A function that loads a script by name."""
    monkeypatch.syspath_prepend(str(SCRIPTS))

    def load(name: str) -> ModuleType:
        path = SCRIPTS / name if (SCRIPTS / name).exists() else SCRIPTS / f"{name}.py"
        module_name = f"script_{name}"
        spec = importlib.util.spec_from_loader(module_name, SourceFileLoader(module_name, str(path)))
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, module_name, module)
        spec.loader.exec_module(module)
        return module

    return load
