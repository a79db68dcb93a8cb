"""The corpus: what hostile models try, and what is said of it."""

from tests.dataplane.hostile.models import Attempt

GONE = "FileNotFoundError|PermissionError|NotADirectoryError"
REFUSED = "PermissionError"
READ_ONLY = "Read-only file system|Permission denied|not permitted"
LOST = "ProcessLookupError|PermissionError"
FULL = "File too large|No space left|Permission denied"
HEAVY = "of memory, more than its limit"
SHARED_BOMB = """
import mmap
kept = []
while True:
    kept.append(mmap.mmap(-1, 2**26))
    kept[-1].write(b'x' * 2**26)
"""

FILES = [
    Attempt("secrets", "return open(WORLD['secret']).read()", GONE),
    Attempt(
        "database",
        "return sqlite3.connect(WORLD['database']).execute('select 1 from secrets').fetchall()",
        "OperationalError: unable to open",
    ),
    Attempt("database_write", "open(WORLD['database'], 'r+b').write(b'x')", GONE),
    Attempt("data_directory", "return [os.listdir(WORLD['data']), open(WORLD['data'] + '/secrets.json').read()]", GONE),
    Attempt("other_version", "return open(WORLD['other']).read()", GONE),
    Attempt("other_home", "return os.listdir(WORLD['other_home']) + [open(WORLD['other_home'] + '/x').read()]", GONE),
    Attempt("shadow", "return open('/etc/shadow').read()", GONE),
    Attempt("root_home", "return os.listdir('/root') and open('/root/.bashrc').read()", GONE),
    Attempt("symlink_in_home", "os.symlink(WORLD['secret'], 'link'); return open('link').read()", GONE),
    Attempt("climbing", "return open('/proc/self/root/../..' + WORLD['secret']).read()", GONE),
    Attempt(
        "working_directory_of_the_agent", "return open(f\"/proc/{WORLD['agent']}/cwd/pyproject.toml\").read()", GONE
    ),
    Attempt("own_artifacts_chmod", "os.chmod(WORLD['own'] + '/MLmodel', 0o666)", READ_ONLY),
    Attempt("own_artifacts_write", "open(WORLD['own'] + '/MLmodel', 'a').write('x')", READ_ONLY),
    Attempt("code_of_the_worker", "import dataplane.worker.server as s; open(s.__file__, 'a').write('x')", READ_ONLY),
    Attempt("packages", "import mlflow; open(mlflow.__file__, 'a').write('x')", READ_ONLY),
    Attempt("core_pattern", "open('/proc/sys/kernel/core_pattern', 'w').write('|/bin/sh')", READ_ONLY),
]

PROCESSES = [
    Attempt("agents_environment", "return open(f\"/proc/{WORLD['agent']}/environ\").read()", GONE),
    Attempt(
        "every_environment",
        "found = [open(path).read() for path in glob.glob('/proc/[0-9]*/environ') if os.access(path, os.R_OK)]\n"
        "raise RuntimeError('nothing but ' + str(len(found)) + ' of my own') if len(found) < 2 else ValueError(found)",
        "nothing but [01] of my own",
    ),
    Attempt("ptrace", "call('ptrace', 16, WORLD['template'], 0, 0)", REFUSED),
    Attempt("memory_of_the_template", "open(f\"/proc/{WORLD['template']}/mem\", 'r+b').write(b'x')", GONE),
    Attempt("process_vm_writev", "call('process_vm_writev', WORLD['template'], None, 0, None, 0, 0)", REFUSED),
    Attempt("pidfd_of_the_template", "call('syscall', 438, os.pidfd_open(WORLD['template']), 3, 0)", LOST),
    Attempt("signal_to_the_agent", "os.kill(WORLD['agent'], 0)", LOST),
    Attempt(
        "killing_its_parent", "[os.kill(pid, 0) for pid in (WORLD['template'], WORLD['agent'], os.getppid())]", LOST
    ),
    Attempt("fork_bomb", "while True: os.fork()", "BlockingIOError"),
    Attempt(
        "subprocess",
        "return subprocess.run(['/bin/cat', WORLD['secret']], capture_output=True).stdout",
        "BlockingIOError|PermissionError",
    ),
    Attempt(
        "thread_bomb",
        "threading.stack_size(65536)\n"
        "for _ in range(100_000):\n    threading.Thread(target=time.sleep, args=(3,), daemon=True).start()",
        "can't start new thread|more than 1024 threads",
    ),
    Attempt(
        "limits_of_the_agent", "import resource; return resource.prlimit(WORLD['agent'], resource.RLIMIT_CORE)", LOST
    ),
    Attempt("priority_of_the_agent", "os.setpriority(os.PRIO_PROCESS, WORLD['agent'], 0)", LOST),
    Attempt("processor_of_the_template", "os.sched_setaffinity(WORLD['template'], {0, 1})", LOST),
    Attempt("setuid", "os.setuid(0) if os.getuid() else os.setgroups([0]); os.chown('/', 1, 1)", READ_ONLY),
    Attempt("mount", "call('mount', b'tmpfs', b'/tmp', b'tmpfs', 0, None)", REFUSED),
    Attempt("unshare", "call('unshare', 0x10000000)", REFUSED),
    Attempt("chroot", "os.chroot('.')", REFUSED),
    Attempt("io_uring", "call('syscall', 425, 8, ctypes.create_string_buffer(120))", REFUSED),
    Attempt("memory_of_nobody", "return os.memfd_create('x')", REFUSED),
]

NETWORK = [
    Attempt("broker_socket", "socket.socket(socket.AF_UNIX).connect(WORLD['broker'])", REFUSED),
    Attempt("other_workers_socket", "socket.socket(socket.AF_UNIX).connect(WORLD['other_socket'])", REFUSED),
    Attempt("abstract_socket", "socket.socket(socket.AF_UNIX).connect(WORLD['abstract'])", REFUSED),
    Attempt("pair_that_turns", "socket.socketpair(type=socket.SOCK_DGRAM)[0].connect(WORLD['broker'])", REFUSED),
    Attempt("loopback", "socket.create_connection(('127.0.0.1', WORLD['port']), 5)", REFUSED),
    Attempt("outside", "socket.create_connection(('192.0.2.1', 443), 5)", REFUSED),
    Attempt("udp", "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', WORLD['port']))", REFUSED),
    Attempt("names", "return socket.getaddrinfo('example.com', 443)", "gaierror|PermissionError"),
    Attempt("host_of_the_machine", "socket.socket(40, socket.SOCK_STREAM).connect((2, 1024))", REFUSED),
    Attempt("raw_packets", "socket.socket(17, socket.SOCK_RAW)", REFUSED),
]

ROOM = [
    Attempt(
        "memory_bomb", "kept = []\nwhile True:\n    kept.append(b'x' * 2**24)", f"MemoryError|{HEAVY}", memory_mb=256
    ),
    Attempt("shared_memory_bomb", SHARED_BOMB, HEAVY, memory_mb=512),
    Attempt(
        "disk_filler",
        "for place in range(10_000):\n    open(str(place), 'wb').write(b'x' * 2**25)",
        "No space left|wrote more than",
    ),
    Attempt("one_large_file", "file = open('x', 'wb')\nwhile True: file.write(b'x' * 2**22)", FULL),
    Attempt("shared_memory_files", "file = open('/dev/shm/x', 'wb')\nwhile True: file.write(b'x' * 2**22)", FULL),
    Attempt("log_flood", "while True: os.write(1, b'x' * 2**20)", "File too large|worker ended"),
    Attempt("open_files", "kept = []\nwhile True: kept.append(open('/dev/null'))", "Too many open files"),
]

ATTEMPTS = [*FILES, *PROCESSES, *NETWORK, *ROOM]
