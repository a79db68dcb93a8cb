"""Load by wrk from one core, and what the servers on the other used meanwhile."""

import json
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

SERVER_CORE, LOAD_CORE = "0", "1"
UNITS = 1000
SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
%(headers)s
local body = [==[%(body)s]==]
local count = 0
request = function()
  count = count + 1
  wrk.headers["X-Mlorch-Unit"] = "unit-" .. (count %% %(units)d)
  return wrk.format(nil, nil, nil, body)
end
done = function(summary, latency, requests)
  io.write(string.format('{"requests": %%d, "seconds": %%f, "p50_ms": %%f, "p99_ms": %%f, "failed": %%d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
"""


class Measured(NamedTuple):
    """One run of load: rate per second, latencies in ms, failures, and processor time of all server processes in µs per
    request.
    """

    connections: int
    rows: int
    rate: float
    p50_ms: float
    p99_ms: float
    failed: int
    cpu_us: float


def pinned(core: str, command: list[str]) -> list[str]:
    return ["taskset", "-c", core, *command]


def write_script(path: Path, body: str, headers: dict[str, str]) -> Path:
    """Write the script that makes wrk send `body` with changing units."""
    lines = [f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items()]
    path.write_text(SCRIPT % {"headers": "\n".join(lines), "body": body, "units": UNITS})
    return path


def cpu_seconds(roots: list[int]) -> float:
    """The processor time that process trees have used so far."""
    total = 0.0
    for process in family(roots):
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def memory_mb(roots: list[int]) -> tuple[float, float]:
    """Return (unique, resident) memory of process trees in MB."""
    unique = resident = 0.0
    for process in family(roots):
        with suppress(psutil.Error):
            told = process.memory_full_info()
            unique += told.uss / 1e6
            resident += told.rss / 1e6
    return unique, resident


def family(roots: list[int]) -> list[psutil.Process]:
    """Processes and all their descendants."""
    found: list[psutil.Process] = []
    for pid in roots:
        with suppress(psutil.Error):
            root = psutil.Process(pid)
            found += [root, *root.children(recursive=True)]
    return found


def wrk(url: str, script: Path, connections: int, seconds: int) -> dict[str, float]:
    """Load a URL; return what the script's last line tells."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(script), url]
    done = subprocess.run(pinned(LOAD_CORE, command), capture_output=True, text=True, check=True)
    told: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return told


def measure(url: str, script: Path, connections: int, rows: int, seconds: int, roots: list[int]) -> Measured:
    """Warm up for a second, then load and measure."""
    wrk(url, script, connections, 1)
    before = cpu_seconds(roots)
    told = wrk(url, script, connections, seconds)
    used = cpu_seconds(roots) - before
    rate = (told["requests"] - told["failed"]) / told["seconds"]
    cpu_us = used * 1e6 / max(1.0, told["requests"])
    return Measured(connections, rows, rate, told["p50_ms"], told["p99_ms"], int(told["failed"]), cpu_us)
