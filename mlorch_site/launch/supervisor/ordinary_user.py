"""Started as root, everything that does not need root runs as an ordinary user; the data directory is shared with it.

Only the supervisor and the agent stay root. The data directory is root's and sticky, so that the ordinary user makes
files of its own in it and cannot put anything in the place of root's.
"""

import compileall
import contextlib
import os
import pwd
import site
import stat
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlorch_site.launch.supervisor.options import ROOT, Options
from mlorch_site.launch.supervisor.running import LOCK_FILE
from mlorch_site.launch.supervisor.secrets_file import FILE_NAME as SECRETS_FILE

VARIABLE = "MLORCH_RUN_AS"
DEFAULT_UID = 1_799_000_000  # beyond what systems give to anybody, beside those of the workers
HOME, ARTIFACTS, RUN, LOGS, TEMPORARY = "home", "artifacts", "run", "logs", "tmp"
MARK_FILE = ".run-as"  # whose the rest of the data directory is
OF_ROOT = {LOGS, RUN, "environments", "profiles", LOCK_FILE, SECRETS_FILE, MARK_FILE}
OF_ROOT_WHILE_RUNNING = {"agent", "workers", "processes.json"}
SHARED_MODE = stat.S_ISVTX | stat.S_IRWXU | stat.S_IRWXG
PASSED_MODE = stat.S_IRWXU | stat.S_IXGRP
OTHERS_READ = stat.S_IRGRP | stat.S_IROTH
OTHERS_ENTER = OTHERS_READ | stat.S_IXGRP | stat.S_IXOTH
TRY_TIMEOUT_S = 20.0
PACKAGES = ("mlorch_site", "registry", "monitoring", "deployments", "dataplane")
FIRST_FREE_PORT = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
# What an installation may have put elsewhere, and what is done with it there.
ELSEWHERE = {
    "MLORCH_AUDIT_KEY_FILE": os.R_OK,
    "MLORCH_AUDIT_CHECKPOINT_DIR": os.W_OK,
    "MLORCH_AUDIT_COPY_DIR": os.W_OK,
    "SSL_CERT_FILE": os.R_OK,
    "TMPDIR": os.W_OK,
}
TRIAL = """
import os, sys
for word in sys.argv[1:]:
    how, _, path = word.partition(":")
    if not os.access(path, int(how)):
        sys.exit(path)
import django, msgspec, mlorch_site
"""


@dataclass(frozen=True)
class OrdinaryUser:
    """Who runs what does not need root: `uid` 0 is whoever started it. `sentence` says how it is, for people;
    `is_warning` when everything is root that need not be.
    """

    uid: int = 0
    gid: int = 0
    sentence: str = ""
    is_warning: bool = False

    def of_process(self) -> dict[str, Any]:
        """What makes a process that is started this user's."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.uid else {}

    def variables(self, data_dir: Path) -> dict[str, str]:
        """What a process of this user is told of itself."""
        return {"HOME": str(data_dir / HOME), "USER": "mlorch", "LOGNAME": "mlorch"} if self.uid else {}


NOBODY_ELSE = OrdinaryUser()


class CannotBe(Exception):
    """Nobody else than root can run it here; the text says why."""


def ordinary_user(options: Options) -> OrdinaryUser:
    """The user of this start, with the data directory made ready. The caller has its lock, and nothing runs in it.

    The compiled form of modules, which it could not write, is made readable for it. Where it cannot be, everything runs
    as root, and the sentence says why. Exits when MLORCH_RUN_AS names nobody.
    """
    if os.geteuid() != 0:
        return NOBODY_ELSE
    uid, gid = _wanted(os.environ.get(VARIABLE, ""))
    if uid == 0:
        (options.data_dir / MARK_FILE).unlink(missing_ok=True)
        return OrdinaryUser(sentence=f"Everything runs as root, because {VARIABLE} says so", is_warning=True)
    try:
        _try(options, uid, gid)
        for package in PACKAGES:
            compileall.compile_dir(ROOT / package, quiet=2)
        if _read(options.data_dir / MARK_FILE) != _owned(uid, gid):
            open_bytecode([*(ROOT / package for package in PACKAGES), *map(Path, site.getsitepackages())])
        else:
            open_bytecode(ROOT / package for package in PACKAGES)
    except (CannotBe, OSError, RecursionError, subprocess.SubprocessError) as error:
        with contextlib.suppress(OSError):
            (options.data_dir / MARK_FILE).unlink(missing_ok=True)
        return _root_because(uid, error)
    return _shared(options.data_dir, uid, gid)


def _root_because(uid: int, error: Exception) -> OrdinaryUser:
    return OrdinaryUser(sentence=f"Everything runs as root, not as user {uid}: {error}", is_warning=True)


def _shared(data_dir: Path, uid: int, gid: int) -> OrdinaryUser:
    """Share the data directory. One that this user had before and that is not as it was left is no reason to run as
    root what it may have put there: then exits with a sentence.
    """
    had = _read(data_dir / MARK_FILE) == _owned(uid, gid)
    try:
        share(data_dir, uid, gid)
    except (OSError, RecursionError) as error:
        if had:
            sys.exit(
                f"mlorch does not start: something in {data_dir} is not as it was made ({error}). Look who changed it "
                f"and mend it; {VARIABLE}=root runs everything as root all the same."
            )
        return _root_because(uid, error)
    return OrdinaryUser(uid, gid, f"Only the supervisor and the agent run as root; everything else as user {uid}")


def _wanted(name: str) -> tuple[int, int]:
    """User and group id by what was configured: a name, a number, or nothing."""
    if not name:
        return DEFAULT_UID, DEFAULT_UID
    try:
        person = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except KeyError:
        if name.isdecimal():
            return int(name), int(name)
        sys.exit(f"{VARIABLE} names no user of this machine: {name!r}. Give a name, a number, or root.")
    return person.pw_uid, person.pw_gid


def _try(options: Options, uid: int, gid: int) -> None:
    """Be that user for a moment and look whether all that it needs is within its reach. Raises CannotBe."""
    owner = options.data_dir.stat().st_uid
    if owner not in (0, uid):
        raise CannotBe(f"the data directory belongs to user {owner}; set {VARIABLE}={owner} to run as that user")
    first = _first_free_port()
    if low := [port for port, _ in options.ports().values() if port < first]:
        raise CannotBe(f"only root may listen on port {low[0]}; choose ports from {first} on")
    command = [sys.executable, "-c", TRIAL, *_needed(options)]
    own = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, user=uid, group=gid, extra_groups=[], cwd="/", env=own, capture_output=True, text=True,
            timeout=TRY_TIMEOUT_S, check=False,
        )  # fmt: skip
    except PermissionError:
        raise CannotBe(f"it cannot start {sys.executable}{_closed(sys.executable)}") from None
    if done.returncode:
        what = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        raise CannotBe(f"{what} is out of its reach{_closed(what)}" if what.startswith("/") else what)


def _first_free_port() -> int:
    try:
        return int(FIRST_FREE_PORT.read_text())
    except (OSError, ValueError):
        return 1024


def _needed(options: Options) -> Iterator[str]:
    """What the user must reach, each with how."""
    yield f"{os.X_OK}:{options.data_dir.parent}"
    yield f"{os.R_OK}:{ROOT / 'manage.py'}"
    yield f"{os.W_OK}:{tempfile.gettempdir()}"
    for name, how in ELSEWHERE.items():
        path = os.environ.get(name)
        if path and not Path(path).resolve().is_relative_to(options.data_dir):
            yield f"{how}:{path}"
    database = os.environ.get("DATABASE_URL", "")
    if database.startswith("sqlite:///"):
        yield f"{os.W_OK}:/{database.removeprefix('sqlite:///').lstrip('/')}"


def _closed(path: str) -> str:
    """Which folder on the way to a path is closed to others, as the end of a sentence."""
    for folder in reversed(Path(os.path.realpath(path)).parents):
        if not folder.stat().st_mode & stat.S_IXOTH:
            return f", because {folder} is closed to others; install mlorch and its Python outside of it"
    return ""


def share(data_dir: Path, uid: int, gid: int) -> None:
    """Give the ordinary user what is its own in the data directory, and keep what is root's. Twice is harmless.

    Links are not followed, and files with a second name somewhere are left as they are. Raises OSError.
    """
    mark, owned = data_dir / MARK_FILE, _owned(uid, gid)
    # All of root's are made here, before anybody else could put something of that name there.
    shared, private = (data_dir, data_dir / RUN), (LOGS, "environments", "profiles", f"{RUN}/agent")
    folders = dict.fromkeys(shared, SHARED_MODE) | {data_dir / name: stat.S_IRWXU for name in private}
    for folder, mode in (folders | {data_dir / RUN / "workers": PASSED_MODE}).items():
        folder.mkdir(exist_ok=True)
        _set(folder, 0, gid, mode)
    if _read(mark) != owned:
        mark.unlink(missing_ok=True)
        give(data_dir, uid, gid, but=OF_ROOT)
        give(data_dir / RUN, uid, gid, but=OF_ROOT_WHILE_RUNNING)
    # Workers that are root without its rights read the artifacts by their group.
    for name, mode in {HOME: stat.S_IRWXU, ARTIFACTS: PASSED_MODE}.items():
        (data_dir / name).mkdir(exist_ok=True)
        _set(data_dir / name, uid, gid, mode)
    mark.write_text(owned)


def _owned(uid: int, gid: int) -> str:
    return f"{uid}:{gid}"


def open_bytecode(folders: Iterable[Path]) -> None:
    """Let others read the compiled modules under folders: those that root wrote while it ran everything are for it
    alone, and whoever cannot read one compiles it anew at every start.
    """
    for folder in folders:
        for place, _, names in os.walk(folder):
            if Path(place).name != "__pycache__":
                continue
            for path in [Path(place), *(Path(place) / name for name in names)]:
                mode = path.lstat().st_mode
                readable = mode | (OTHERS_ENTER if stat.S_ISDIR(mode) else OTHERS_READ)
                if readable != mode and not stat.S_ISLNK(mode):
                    path.chmod(stat.S_IMODE(readable))


def share_run_dir(folder: Path, user: OrdinaryUser) -> None:
    """Let the ordinary user make files in the folder of sockets, with one for temporary files of its own."""
    _set(folder, 0, user.gid, SHARED_MODE)
    _set(folder / TEMPORARY, user.uid, user.gid, stat.S_IRWXU)


def _read(path: Path) -> str:
    try:
        return "" if path.is_symlink() else path.read_text()
    except OSError:
        return ""


def _set(folder: Path, uid: int, gid: int, mode: int) -> None:
    """Set owner and mode of a folder, and of nothing that a link in its place leads to. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchown(descriptor, uid, gid)
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def owner_of(data_dir: Path) -> tuple[int, int] | None:
    """As root, the user and group whose files lie in a data directory that is shared with them; else None."""
    mark = data_dir / MARK_FILE
    if os.geteuid() != 0 or not (owned := _read(mark)) or mark.stat().st_uid != 0:
        return None
    uid, gid = map(int, owned.split(":"))
    return uid, gid


def become_owner(data_dir: Path) -> None:
    """As root, become the user whose files lie in a data directory that is shared with it; else stay who one is."""
    owner = owner_of(data_dir)
    if owner is None:
        return
    uid, gid = owner
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    os.environ["HOME"] = str(data_dir / HOME)
    os.umask(0o077)


def give(folder: Path, uid: int, gid: int, but: Collection[str] = ()) -> None:
    """Make what lies in a folder somebody's, without the names in `but`. Follows no link and leaves the file system
    only with an error.
    """
    device = folder.lstat().st_dev
    for place, folders, names, descriptor in os.fwalk(folder, follow_symlinks=False):
        if Path(place) == folder:
            folders[:] = [name for name in folders if name not in but]
            names = [name for name in names if name not in but]
        for name in list(folders):
            if os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_dev != device:
                folders.remove(name)
        for name in [*folders, *names]:
            _give_one(name, descriptor, uid, gid)


def _give_one(name: str, descriptor: int, uid: int, gid: int) -> None:
    found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    has_one_name = stat.S_ISDIR(found.st_mode) or found.st_nlink == 1
    if has_one_name and (found.st_uid, found.st_gid) != (uid, gid):
        os.chown(name, uid, gid, dir_fd=descriptor, follow_symlinks=False)
