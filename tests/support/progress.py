"""A pytest plugin (`-p tests.support.progress --progress FOLDER`): how far a run is, and how long it still takes.

FOLDER has `expected.json`: the leg's name, seconds of tests that are known, and seconds of any other. In the end
`result.json` says how long each test took, and which failed. A terminal has one line that changes; a log gets a line
now and then.
"""

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any, TextIO

import pytest

TERMINAL_EVERY_S = 0.5
LOG_EVERY_S = 30.0
# So much has to be done before it says something about the machine of today.
PACE_AFTER_S = 10.0
CLEAR_LINE = "\r\x1b[K"


def span(seconds: float) -> str:
    """A time as a person says it."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:02.0f} s"


class Progress:
    """What of a leg is done.

    `expected` has seconds by test, `otherwise_s` is for any other; `workers` tests run at a time.
    """

    def __init__(
        self,
        leg: str,
        expected: dict[str, float],
        otherwise_s: float,
        workers: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.took: dict[str, float] = {}
        self.failed: list[str] = []
        self._leg, self._expected, self._otherwise_s, self._workers = leg, expected, otherwise_s, workers
        self._clock = clock
        self._began = self._collected_at = clock()
        self._left: dict[str, float] = {}
        self._total = 0
        self._done_s = 0.0

    def collected(self, tests: Iterable[str]) -> bool:
        """Know what there is to do. Return whether that is news: each worker says the same."""
        if self._total:
            return False
        self._left = {test: self._expected.get(test, self._otherwise_s) for test in tests}
        self._total, self._collected_at = len(self._left), self._clock()
        return True

    def reported(self, test: str, seconds: float, *, is_failed: bool, is_over: bool) -> bool:
        """Add a part of a test: setup, call or teardown. Return whether it is the first that failed."""
        self.took[test] = self.took.get(test, 0.0) + seconds
        if is_over:
            self._done_s += self._left.pop(test, 0.0)
        is_news = is_failed and test not in self.failed
        self.failed += [test] if is_news else []
        return is_news

    @property
    def left_s(self) -> float:
        """The seconds that are left, at the pace of this run."""
        passed = (self._clock() - self._collected_at) * self._workers
        pace = passed / self._done_s if self._done_s > PACE_AFTER_S else 1.0
        return sum(self._left.values()) * pace / self._workers

    def sentence(self) -> str:
        passed = span(self._clock() - self._began)
        if not self._total:
            return f"{self._leg}: collecting the tests, {passed}"
        done = self._total - len(self._left)
        failed = f", {len(self.failed)} failed" if self.failed else ""
        left = f"about {span(self.left_s)} left" if self._left else "all done"
        return f"{self._leg}: {done} of {self._total} tests{failed} in {passed}, {left}"


class Teller:
    """Tells a progress to a terminal or into a log, from a thread of its own: one test may take minutes."""

    def __init__(self, progress: Progress, out: TextIO, *, is_terminal: bool) -> None:
        self._progress, self._out, self._is_terminal = progress, out, is_terminal
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Say it a last time."""
        self._ended.set()
        self._thread.join()
        self.say(self._progress.sentence())

    def say(self, text: str) -> None:
        """Write a line that stays."""
        with self._lock:
            self._out.write(f"{CLEAR_LINE if self._is_terminal else ''}{text}\n")
            self._out.flush()

    def _run(self) -> None:
        while not self._ended.wait(TERMINAL_EVERY_S if self._is_terminal else LOG_EVERY_S):
            self.tell()

    def tell(self) -> None:
        """Say how far it is: on a terminal in the place of what was said before."""
        if not self._is_terminal:
            self.say(self._progress.sentence())
            return
        with self._lock:
            width = shutil.get_terminal_size().columns - 1
            self._out.write(CLEAR_LINE + self._progress.sentence()[:width])
            self._out.flush()


class Plugin:
    """Hears of every test in the process that hands them out."""

    def __init__(self, folder: Path, workers: int) -> None:
        known = json.loads((folder / "expected.json").read_text())
        self._result = folder / "result.json"
        self._progress = Progress(known["leg"], known["tests"], known["otherwise_s"], workers)
        # pytest points 1 elsewhere while a test runs.
        out = os.fdopen(os.dup(1), "w")
        self._teller = Teller(self._progress, out, is_terminal=out.isatty())
        self._teller.start()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        self._collected(ids)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._collected([item.nodeid for item in session.items])

    def _collected(self, tests: list[str]) -> None:
        if self._progress.collected(tests):
            self._teller.tell()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        is_over = report.when == "teardown"
        if self._progress.reported(report.nodeid, report.duration, is_failed=report.failed, is_over=is_over):
            self._teller.say(f"FAILED {report.nodeid}")

    @pytest.hookimpl(wrapper=True)
    def pytest_report_teststatus(self, config: pytest.Config) -> Generator[None, Any, Any]:
        """Count a test, and write no letter: the line of progress is there."""
        told = yield
        return (told[0], "", "") if config.get_verbosity() <= 0 else told

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        self._teller.stop()
        self._result.write_text(json.dumps({"tests": self._progress.took, "failed": self._progress.failed}))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--progress", help="the folder with what is expected")


def pytest_configure(config: pytest.Config) -> None:
    folder = config.getoption("--progress")
    if folder and not hasattr(config, "workerinput"):
        workers = config.getoption("numprocesses", None) or 1
        config.pluginmanager.register(Plugin(Path(folder), int(workers)))
