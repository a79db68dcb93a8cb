"""System programs that tests need: there already, installed by apt when we are root on Debian, or asked for in a
sentence.
"""

import ctypes.util
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

import postgres
from environment import say

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class Component:
    """A program, the Debian package that has it, and how to find out whether it is there."""

    name: str
    package: str
    is_there: Callable[[], bool]


POSTGRESQL = Component("PostgreSQL", "postgresql", lambda: postgres.program("initdb") is not None)
PROMTOOL = Component("promtool", "prometheus", lambda: shutil.which("promtool") is not None)
PANGO = Component("Pango", "libpangoft2-1.0-0", lambda: ctypes.util.find_library("pangoft2-1.0") is not None)
PROMETHEUS = Component("Prometheus", "prometheus", lambda: shutil.which("prometheus") is not None)
CHROMIUM = Component("Chromium", "chromium", lambda: any(shutil.which(name) for name in BROWSERS))


def ensure(component: Component) -> str:
    """An empty text when the component is there or could be installed, else what is missing and the command that
    helps.
    """
    if component.is_there():
        return ""
    if os.geteuid() == 0 and shutil.which("apt-get"):
        say(f"installing {component.name} …")
        # Run level 1: the package's own server is not started; we only want the programs.
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", component.package]):
            done = subprocess.run(["apt-get", *command], env=env, capture_output=True, text=True, check=False)
            if done.returncode:
                say(done.stderr.strip()[-500:])
        if component.is_there():
            return ""
    return f"{component.name} is missing: sudo apt-get install {component.package}"
