"""Seccomp: which system calls a process may make, as a small program that the kernel runs at each of them."""

import ctypes
import errno
import platform
import socket
import struct
from collections.abc import Iterable, Sequence

from dataplane.sandbox import kernel

_LOAD, _ALU_AND, _JUMP_EQUAL, _JUMP_ANY_BIT, _JUMP_AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x45, 0x35, 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _SECOND_ARGUMENT, _THIRD_ARGUMENT, _FOURTH_ARGUMENT = 0, 4, 16, 24, 32, 40
_X32 = 0x40000000  # another table of numbers, for programs that nobody has
_CLONE_THREAD = 0x00010000
_SOCKET_TYPE = 0xF
_MSG_FASTOPEN = 0x20000000
# By the family's own choice, TCP: Landlock's rules for ports know no other protocol that becomes TCP.
_STREAMS = (0, socket.IPPROTO_TCP)
_STREAMS_AND_DATAGRAMS = (*_STREAMS, socket.IPPROTO_UDP)
_MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# What no model needs and what gave attackers the kernel, other processes, or the machine. (x86_64, aarch64)
REFUSED = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438), "process_madvise": (440, 440),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "unshare": (272, 97), "setns": (308, 268), "open_by_handle_at": (304, 265),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142),
    "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171), "clock_adjtime": (305, 266),
    "sethostname": (170, 161), "setdomainname": (171, 162), "syslog": (103, 116), "iopl": (172, 0), "ioperm": (173, 0),
    # Memory that is nobody's, and mailboxes that outlive a process.
    "memfd_create": (319, 279), "memfd_secret": (447, 447),
    "shmget": (29, 194), "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180),
}  # fmt: skip
# What Landlock does not watch: whose a file is and who may read it, by its name, wherever it lies.
CHANGES_OF_FILES = {
    "chmod": (90, 0), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, 0), "lchown": (94, 0), "fchownat": (260, 54),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "removexattr": (197, 14), "lremovexattr": (198, 15),
    "setxattrat": (463, 463), "removexattrat": (466, 466), "file_setattr": (469, 469),
    "utime": (132, 0), "utimes": (235, 0), "futimesat": (261, 0),
}  # fmt: skip
# What one process may do to another one of its user, of which the first argument is; to itself (0) it may.
CHANGES_OF_OTHERS = {
    "prlimit64": (302, 261), "sched_setparam": (142, 118), "sched_setscheduler": (144, 119),
    "sched_setaffinity": (203, 122), "sched_setattr": (314, 274),
}  # fmt: skip
# ... and to all of them at once.
PRIORITIES = {"setpriority": (141, 140), "ioprio_set": (251, 30)}
_SOCKET, _SOCKETPAIR, _CLONE = (41, 198), (53, 199), (56, 220)
_SENDS = {_THIRD_ARGUMENT: ((46, 211),), _FOURTH_ARGUMENT: ((44, 206), (307, 269))}  # sendmsg; sendto, sendmmsg
_CLONE3 = 435
_FORK, _VFORK = (57, 0), (58, 0)


def _number(places: tuple[int, int]) -> int:
    return places[0 if platform.machine() == "x86_64" else 1]


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)


def _error(number: int) -> bytes:
    return _instruction(_RETURN, _ERROR | number)


def _when(number: int, *body: bytes) -> bytes:
    """What is done at one system call; the body ends with a return."""
    return _instruction(_JUMP_EQUAL, number, 0, len(body)) + b"".join(body)


def _sockets(families: list[int], *, has_datagrams: bool) -> bytes:
    """Sockets of these families only, and of streams unless datagrams are wanted: no rule watches where those go. A
    pair is connected for good, so that it reaches nobody else.
    """
    refused, allowed = _error(errno.EACCES), _instruction(_RETURN, _ALLOW)
    is_family = (_instruction(_LOAD, _FIRST_ARGUMENT), *_one_of(families), refused)
    protocols = _STREAMS_AND_DATAGRAMS if has_datagrams else _STREAMS
    is_protocol = (_instruction(_LOAD, _THIRD_ARGUMENT), *_one_of(protocols), refused)
    kind = (_instruction(_LOAD, _SECOND_ARGUMENT), _instruction(_ALU_AND, _SOCKET_TYPE))
    is_stream = (*kind, _instruction(_JUMP_EQUAL, int(socket.SOCK_STREAM), 1), refused)
    made = _when(_number(_SOCKET), *is_family, *(() if has_datagrams else is_stream), *is_protocol, allowed)
    return made + _when(_number(_SOCKETPAIR), *is_stream, allowed)


def _one_of(values: Sequence[int]) -> list[bytes]:
    """Jump over the instruction that follows, when what was loaded is one of the values."""
    return [_instruction(_JUMP_EQUAL, value, len(values) - place) for place, value in enumerate(values)]


def _no_connection_by_sending() -> bytes:
    """TCP Fast Open connects where no rule for connections looks."""
    flag = _instruction(_JUMP_ANY_BIT, _MSG_FASTOPEN, 0, 1)
    return b"".join(
        _when(_number(call), _instruction(_LOAD, place), flag, _error(errno.EACCES), _instruction(_RETURN, _ALLOW))
        for place, calls in _SENDS.items()
        for call in calls
    )


def _processes() -> bytes:
    """Threads are made, processes are not: what they would use is counted nowhere. As a limit says it: try later."""
    refused = _error(errno.EAGAIN)
    flags = (_instruction(_LOAD, _FIRST_ARGUMENT), _instruction(_JUMP_ANY_BIT, _CLONE_THREAD, 1))
    clone = _when(_number(_CLONE), *flags, refused, _instruction(_RETURN, _ALLOW))
    # Its flags lie in memory, where no filter looks; every library falls back to the older call.
    clone3 = _when(_CLONE3, _error(errno.ENOSYS))
    forks = [_when(_number(old), refused) for old in (_FORK, _VFORK) if _number(old)]
    return clone + clone3 + b"".join(forks)


def _to_itself() -> bytes:
    """Calls that name a process are for this one only."""
    load = _instruction(_LOAD, _FIRST_ARGUMENT)
    is_own = _instruction(_JUMP_EQUAL, 0, 1)
    body = (load, is_own, _error(errno.EPERM), _instruction(_RETURN, _ALLOW))
    return b"".join(_when(_number(call), *body) for call in CHANGES_OF_OTHERS.values())


def program(*, families: Iterable[int], may_fork: bool, is_among_others: bool, has_datagrams: bool = False) -> bytes:
    """The filter: the families of sockets that may be made, whether of datagrams too, whether processes may be, and
    whether the process sees other files and processes of its user, which it must leave as they are.
    """
    begin = _instruction(_LOAD, _ARCHITECTURE)
    begin += _instruction(_JUMP_EQUAL, _MACHINES[platform.machine()], 1) + _instruction(_RETURN, _KILL)
    begin += _instruction(_LOAD, _NUMBER)
    begin += _instruction(_JUMP_AT_LEAST, _X32, 0, 1) + _instruction(_RETURN, _KILL)
    calls = [*REFUSED.values(), *([*CHANGES_OF_FILES.values(), *PRIORITIES.values()] if is_among_others else [])]
    refused = b"".join(_when(_number(call), _error(errno.EPERM)) for call in calls if _number(call))
    forks = (b"" if may_fork else _processes()) + (_to_itself() if is_among_others else b"")
    sockets = _sockets(list(families), has_datagrams=has_datagrams) + _no_connection_by_sending()
    return begin + forks + sockets + refused + _instruction(_RETURN, _ALLOW)


def is_known() -> bool:
    """Whether this machine's system calls have numbers here."""
    return platform.machine() in _MACHINES


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def enforce(instructions: bytes) -> None:
    """Let the kernel run the program at each call of this thread and of all that come of it."""
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    whole = _Program(len(instructions) // 8, instructions)
    kernel.prctl(kernel.PR_SET_SECCOMP, kernel.SECCOMP_MODE_FILTER, ctypes.addressof(whole))
