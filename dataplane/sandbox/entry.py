"""The way into a sandbox: the last act of a process of ours before a model's code runs in it."""

import contextlib
import errno
import os
import resource
import socket
from collections.abc import Callable

from dataplane.sandbox import kernel, landlock, seccomp
from dataplane.sandbox.file_tree import DEVICES, SETTINGS, SYSTEM, FileTree
from dataplane.wire.sandbox import SandboxSpec

OPEN_FILES_MAX = 1024
NICE = 2  # mlorch's own processes come first
# What a process may ask of itself and of the machine where it is not alone in its view of processes.
OF_PROC = ("self", "cpuinfo", "meminfo", "stat", "version", "loadavg", "filesystems", "sys")
STREAMS = (socket.AF_INET, socket.AF_INET6)
DATAGRAMS = (*STREAMS, getattr(socket, "AF_NETLINK", 16))
NAMES_BY_STREAM = {"RES_OPTIONS": "use-vc"}  # the C library then asks for names over TCP
NAMESPACES = kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS


def enter(spec: SandboxSpec, in_parent: Callable[[int], None]) -> None:
    """Apply a sandbox to this process, which has one thread. Raises OSError where the machine refuses; then it must
    end.

    Returns in the process that is inside, which may be a child: `in_parent` is called with its process id in every
    process that stays outside, and does not return.
    """
    os.umask(0o022)
    if spec.level == "full":
        _leave_namespaces(spec, in_parent)
        FileTree(spec).enter()
    else:
        os.makedirs(spec.home, mode=0o700, exist_ok=True)
    with contextlib.suppress(PermissionError):  # of whoever leads a session already
        os.setsid()
    os.chdir(spec.home)
    # Before Landlock's rules are made: each process is allowed its own folder in /proc.
    child = os.fork() if spec.has_init else 0
    _limit(spec)
    if spec.level != "none":
        _become(spec)
        _allow(spec)
        if spec.network and not spec.datagrams:
            os.environ.update(NAMES_BY_STREAM)
        families = (DATAGRAMS if spec.datagrams else STREAMS) if spec.network else ()
        is_among_others = spec.level != "full" and not spec.may_fork
        program = seccomp.program(
            families=families,
            may_fork=spec.may_fork,
            is_among_others=is_among_others,
            has_datagrams=spec.datagrams,
        )
        seccomp.enforce(program)
    if child:
        _care(child)


def _leave_namespaces(spec: SandboxSpec, in_parent: Callable[[int], None]) -> None:
    """Be alone: with the rights of root, or as the owner of a user namespace."""
    flags = NAMESPACES | (0 if spec.network else kernel.CLONE_NEWNET)
    try:
        kernel.unshare(flags)
    except PermissionError:
        kernel.map_own_user()
        kernel.unshare(flags)
    if inside := os.fork():
        in_parent(inside)
        os._exit(1)


def _limit(spec: SandboxSpec) -> None:
    """No core dumps, few files, bounds on data and files; where the user is its own, on threads."""
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_NOFILE: spec.open_files}
    if spec.data_bytes:
        limits[resource.RLIMIT_DATA] = spec.data_bytes
    if spec.level != "none":
        limits[resource.RLIMIT_FSIZE] = spec.file_bytes
    if spec.level == "full":
        limits[resource.RLIMIT_NPROC] = spec.tasks
    for name, value in limits.items():
        _, most = resource.getrlimit(name)
        bound = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(name, (bound, bound))
    if spec.level != "none" and not spec.may_fork:
        os.nice(NICE)


def _become(spec: SandboxSpec) -> None:
    """Become the sandbox's own user where there is one, and nobody special in any case."""
    kernel.bound_capabilities()
    if spec.user:
        os.setgroups(spec.groups)
        os.setresgid(spec.user, spec.user, spec.user)
        os.setresuid(spec.user, spec.user, spec.user)
    kernel.clear_capabilities()


def _allow(spec: SandboxSpec) -> None:
    """Let Landlock refuse all files but the sandbox's own, signals to others, and ports that are not granted."""
    rules = landlock.Ruleset(spec.ports if spec.network else ())
    if spec.level == "full":
        rules.allow("/", landlock.READ)
    else:
        for path in (*SYSTEM, *SETTINGS, *spec.readable):
            rules.allow(path, landlock.READ)
        for name in OF_PROC:
            rules.allow(f"/proc/{name}", landlock.READ)
        # The kernel forgets whom the rule was about when nobody holds the folder open.
        os.set_inheritable(os.open("/proc/self", os.O_PATH), True)
    for device in DEVICES:
        rules.allow(device, landlock.READ | landlock.WRITE_FILE)
    for path in (spec.home, *spec.writable):
        rules.allow(path)
    rules.enforce()


def _care(child: int) -> None:
    """Be the first process of the namespace: it ends when all have ended, as the child did."""
    code = 1
    os.closerange(0, OPEN_FILES_MAX)
    while True:
        try:
            ended, status = os.wait()
        except ChildProcessError:
            os._exit(code)
        except OSError as error:
            if error.errno != errno.EINTR:
                raise
            continue
        code = os.waitstatus_to_exitcode(status) & 0xFF if ended == child else code
