"""The garbage collector of the web process leaves alone what importing made."""

import subprocess
import sys
from pathlib import Path

from mlorch_site.lib.collector import YOUNG_MAX

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = "import mlorch_site.asgi, gc; print(gc.get_threshold()[0], gc.get_freeze_count())"


def test_web_process__once_imported__looks_through_what_comes_and_not_through_itself(tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env={"MLORCH_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    threshold, frozen = map(int, done.stdout.split()[-2:])

    assert threshold == YOUNG_MAX
    assert frozen > 100_000
