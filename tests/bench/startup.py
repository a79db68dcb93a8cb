"""How long `scripts/up` takes until the site can be used, on an empty and on a used data directory, and what each
process then holds.
"""

import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

from tests.bench.report import Row, hand_over
from tests.support.product import running

FIRST_BUDGET_S = 60
LATER_BUDGET_S = 10
LATER_RUNS = 3
WEB_BUDGET_MB = 150
NAMES = ("web", "gateway", "agent", "control", "work", "beat")


def _memory_mb(pid: int) -> float:
    """What a process and its descendants hold, shared pages counted once each."""
    total = 0.0
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        with suppress(psutil.Error):
            total += process.memory_full_info().pss / 1e6
    return total


def start(data_dir: Path) -> tuple[float, dict[str, float]]:
    """Seconds until usable, and megabytes by process name."""
    began = time.monotonic()
    with running(data_dir, "--no-demo") as product:
        took = time.monotonic() - began
        return took, {name: _memory_mb(product.process_named(name)["pid"]) for name in NAMES}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        first, _ = start(Path(folder))
        later = [start(Path(folder)) for _ in range(LATER_RUNS)]
    rows = [
        Row("first start, packages installed", first, "s", FIRST_BUDGET_S),
        Row(f"later start, slowest of {LATER_RUNS}", max(seconds for seconds, _ in later), "s", LATER_BUDGET_S),
    ]
    memory = later[-1][1]
    rows += [Row(f"{name}: memory", memory[name], "MB", WEB_BUDGET_MB if name == "web" else None) for name in NAMES]
    hand_over(rows)


if __name__ == "__main__":
    main()
