"""The calls to the Linux kernel that Python has no name for. Each raises OSError with what it was for."""

import ctypes
import errno
import os
import platform
import struct
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
AT_FDCWD, AT_RECURSIVE = -100, 0x8000

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 4, 22, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 36, 38, 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
SECCOMP_MODE_FILTER = 2
CAPABILITIES = 64  # more than there are: the kernel says at which one they end
_CAPABILITY_VERSION = 0x20080522

# The same number on every architecture since 424; the older ones by machine.
_LATER = {"mount_setattr": 442, "landlock_create_ruleset": 444, "landlock_add_rule": 445, "landlock_restrict_self": 446}
_EARLIER = {
    "x86_64": {"pivot_root": 155, "capset": 126},
    "aarch64": {"pivot_root": 41, "capset": 91},
}
NUMBERS = _LATER | _EARLIER.get(platform.machine(), {})


def checked(result: int, what: str) -> int:
    """The result of a call. Raises OSError when it failed."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def call(name: str, *arguments: object) -> int:
    """A system call by its name. Raises OSError, also where this machine has no such call."""
    if name not in NUMBERS:
        raise OSError(errno.ENOSYS, f"{name}: not known on {platform.machine()}")
    return checked(LIBC.syscall(ctypes.c_long(NUMBERS[name]), *arguments), name)


def unshare(flags: int) -> None:
    """Leave namespaces behind for new ones."""
    checked(LIBC.unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Mount something."""
    arguments = (source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(flags))
    checked(LIBC.mount(*arguments, options.encode() or None), f"mount {target}")


def unmount(target: str) -> None:
    """Take a mount away, with everything beneath it."""
    checked(LIBC.umount2(target.encode(), MNT_DETACH), f"umount {target}")


def make_read_only(path: str) -> None:
    """Make a mount, and all mounts beneath it, read-only and without devices and setuid programs."""
    attributes = struct.pack("QQQQ", MS_RDONLY | MS_NOSUID | MS_NODEV, 0, 0, 0)
    call("mount_setattr", AT_FDCWD, path.encode(), AT_RECURSIVE, attributes, ctypes.c_size_t(len(attributes)))


def pivot_root(root: str) -> None:
    """Make `root` the root directory and leave the old one behind."""
    os.chdir(root)
    call("pivot_root", b".", b".")
    unmount(".")
    os.chdir("/")


def prctl(option: int, argument: int = 0, second: int = 0) -> None:
    """Set something of this process."""
    arguments = [ctypes.c_ulong(value) for value in (argument, second, 0, 0)]
    checked(LIBC.prctl(ctypes.c_int(option), *arguments), f"prctl {option}")


def bound_capabilities() -> None:
    """Let no program that is executed later bring a capability back; an ordinary user has none to bound."""
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    for number in range(CAPABILITIES):
        try:
            prctl(PR_CAPBSET_DROP, number)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EPERM):
                raise
            return


def clear_capabilities() -> None:
    """Give up every capability of this process."""
    call("capset", struct.pack("Ii", _CAPABILITY_VERSION, 0), bytes(24))


def map_own_user() -> None:
    """Be in a new user namespace who one was outside: without this one would be nobody."""
    user, group = os.getuid(), os.getgid()
    unshare(CLONE_NEWUSER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        Path(f"/proc/self/{name}").write_text(text)
