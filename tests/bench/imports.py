"""What the import of the web process and of the gateway takes: time (the best of some runs) and memory."""

import os
import subprocess
import sys
import tempfile

from tests.bench.report import Row, hand_over

RUNS = 5
SUBJECTS = {"web": "mlorch_site.asgi", "gateway": "dataplane.gateway.__main__"}
BUDGET_S = 1.5
BUDGET_MB = 150
PROGRAM = """
import time
began = time.perf_counter()
import {module}
took = time.perf_counter() - began
import psutil
print(took, psutil.Process().memory_info().rss / 1e6)
"""


def measure(module: str) -> tuple[float, float]:
    """Seconds and megabytes of one import in a fresh interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        env = {"PATH": os.environ["PATH"], "MLORCH_DATA_DIR": folder}
        command = [sys.executable, "-W", "ignore", "-c", PROGRAM.format(module=module)]
        said = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.split()
    return float(said[0]), float(said[1])


def main() -> None:
    rows = []
    for name, module in SUBJECTS.items():
        measured = [measure(module) for _ in range(RUNS)]
        budget_s, budget_mb = (BUDGET_S, BUDGET_MB) if name == "web" else (None, None)
        rows.append(Row(f"{name}: import", min(seconds for seconds, _ in measured), "s", budget_s))
        rows.append(Row(f"{name}: memory after import", max(size for _, size in measured), "MB", budget_mb))
    hand_over(rows)


if __name__ == "__main__":
    main()
