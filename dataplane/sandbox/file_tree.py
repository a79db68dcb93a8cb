"""The file tree of a sandbox: a root directory of its own in memory, with what may be read mounted where it was."""

import os
from pathlib import Path

from dataplane.sandbox import kernel
from dataplane.wire.sandbox import SandboxSpec

# What programs and libraries of the system need; nothing of them is secret.
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/sys/devices/system/cpu")
SETTINGS = (
    "/etc/alternatives", "/etc/fonts", "/etc/group", "/etc/hosts", "/etc/ld.so.cache", "/etc/ld.so.conf",
    "/etc/ld.so.conf.d", "/etc/localtime", "/etc/mime.types", "/etc/nsswitch.conf", "/etc/passwd",
    "/etc/pki/ca-trust", "/etc/pki/tls/certs", "/etc/resolv.conf", "/etc/ssl/certs", "/etc/ssl/openssl.cnf",
    "/etc/timezone",
)  # fmt: skip
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
LINKS = {"/dev/fd": "/proc/self/fd", "/dev/stdin": "fd/0", "/dev/stdout": "fd/1", "/dev/stderr": "fd/2"}
TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - names inside of the tree
TREE_OPTIONS = "mode=755,size=16m"
NO_DEVICES = kernel.MS_NOSUID | kernel.MS_NODEV


def is_beneath(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def outermost(paths: "list[str]") -> "list[str]":
    """The paths that lie in no other one of them."""
    return [path for path in sorted(set(paths)) if not any(path != one and is_beneath(path, one) for one in paths)]


class FileTree:
    """Builds the tree over the sandbox's home. Needs a mount namespace and a process id namespace of its own."""

    def __init__(self, spec: SandboxSpec) -> None:
        self._spec = spec
        self._root = spec.home

    def enter(self) -> None:
        """Make the tree and live in it; what lies outside has no name any more."""
        kernel.mount("", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
        shown = {path: os.open(path, os.O_PATH) for path in set(self._shown()) if os.path.exists(path)}
        kernel.mount("tmpfs", self._root, "tmpfs", NO_DEVICES, TREE_OPTIONS)
        self._link()
        outside = [path for path in shown if not self._is_hidden(path)]
        self._bind_all({path: shown[path] for path in outermost(outside)})
        covers = self._cover()
        self._bind_all({path: source for path, source in shown.items() if path not in outside})
        for descriptor in shown.values():
            os.close(descriptor)
        self._home()
        for path, target in LINKS.items():
            os.symlink(target, self._place(path))
        proc = self._place("/proc")
        os.makedirs(proc, exist_ok=True)
        kernel.mount("proc", proc, "proc", NO_DEVICES | kernel.MS_NOEXEC | kernel.MS_RDONLY)
        for place in (*covers, self._root):
            kernel.mount("", place, "", kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | NO_DEVICES)
        kernel.pivot_root(self._root)

    def _shown(self) -> "list[str]":
        spec = self._spec
        system = [path for path in SYSTEM if not os.path.islink(path)]
        # Also where a link leads: the folder around it may be shown as well, with the link in it.
        readable = [place for path in spec.readable for place in (path, os.path.realpath(path))]
        return [*system, *SETTINGS, *DEVICES, *readable, *spec.writable]

    def _place(self, path: str) -> str:
        return self._root + path

    def _is_hidden(self, path: str) -> bool:
        return any(is_beneath(path, hidden) for hidden in self._spec.hidden)

    def _link(self) -> None:
        """Repeat the system's own links: `/bin` is a part of `/usr` on most machines."""
        for path in SYSTEM:
            if os.path.islink(path):
                os.symlink(os.readlink(path), self._place(path))

    def _bind_all(self, shown: "dict[str, int]") -> None:
        for path, source in sorted(shown.items()):
            self._bind(source, path)
            if path not in self._spec.writable and path not in DEVICES:
                kernel.make_read_only(self._place(path))

    def _bind(self, source: int, path: str) -> None:
        target, held = Path(self._place(path)), f"/proc/self/fd/{source}"
        if os.path.isdir(held):
            target.mkdir(parents=True, exist_ok=True)
        elif not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
        kernel.mount(held, str(target), "", kernel.MS_BIND | kernel.MS_REC)

    def _cover(self) -> "list[str]":
        """Put nothing over what is hidden and came in with something around it."""
        places = [self._place(path) for path in self._spec.hidden if os.path.isdir(self._place(path))]
        for place in places:
            kernel.mount("tmpfs", place, "tmpfs", NO_DEVICES, TREE_OPTIONS)
        return places

    def _home(self) -> None:
        """The one place to write: bounded, in memory, gone with the process; temporary files go there too."""
        home = self._place(self._spec.home)
        os.makedirs(home, exist_ok=True)
        user = self._spec.user or os.getuid()
        kernel.mount("tmpfs", home, "tmpfs", NO_DEVICES, f"mode=700,size={self._spec.home_bytes},uid={user}")
        for path in TEMPORARY:
            os.makedirs(os.path.dirname(self._place(path)), exist_ok=True)
            if not os.path.lexists(self._place(path)):
                os.symlink(self._spec.home, self._place(path))
