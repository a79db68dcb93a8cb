import io
import json
import os
import re
import subprocess
import sys
import tempfile

import psutil
import pytest

from tests.scripts.conftest import SCRIPTS
from tests.support.progress import Progress, Teller
from tests.support.waiting import patience

REPORT = """<testsuites><testsuite tests="10" failures="1" errors="2" skipped="3"/></testsuites>"""


def test_count__report_of_pytest__adds_up(script, tmp_path):
    module = script("test")
    (tmp_path / "report.xml").write_text(REPORT)
    outcome = module.Outcome("fast")
    module.count(tmp_path / "report.xml", outcome)
    assert (outcome.passed, outcome.failed, outcome.skipped) == (4, 3, 3)


def lacking(module, monkeypatch):
    """A leg that needs something which is not there."""
    monkeypatch.setattr(module.system, "ensure", lambda component: f"{component.name} is missing: how to get it")
    return module.run(module.LEGS["browser"], [])


def test_leg__component_is_missing_at_home__is_skipped_with_the_command(script, monkeypatch):
    module = script("test")
    monkeypatch.setattr(module, "IN_CI", False)
    outcome = lacking(module, monkeypatch)
    assert (outcome.passed, outcome.failed, outcome.skipped) == (0, 0, 1)
    assert outcome.sentence().endswith("Chromium is missing: how to get it")


def test_leg__component_is_missing_in_ci__fails(script, monkeypatch):
    module = script("test")
    monkeypatch.setattr(module, "IN_CI", True)
    assert lacking(module, monkeypatch).failed == 1


@pytest.fixture
def in_place_of_pytest(script, monkeypatch, tmp_path):
    """A function that gives the module with a shell script in the place of Python."""
    module = script("test")
    monkeypatch.setattr(module, "DURATIONS", tmp_path / "var" / "durations.json")

    def shell(text: str):
        python = tmp_path / "python"
        python.write_text(f"#!/bin/sh\n{text}\n")
        python.chmod(0o700)
        monkeypatch.setattr(module.environment, "PYTHON", python)
        return module

    return shell


def test_leg__takes_too_long__is_ended_and_has_failed(in_place_of_pytest, monkeypatch, tmp_path):
    module = in_place_of_pytest(f"echo $$ > {tmp_path}/pid; exec sleep 600")
    monkeypatch.setattr(module, "LEG_MAX_S", 0.5)
    outcome = module.run(module.LEGS["e2e"], [])
    assert outcome.failed == 1
    assert outcome.sentence().endswith("longer than 0.5 s")
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_leg__something_is_left_in_the_temporary_folder__has_failed_and_it_is_gone(in_place_of_pytest, tmp_path):
    module = in_place_of_pytest(f"mkdir $TMPDIR/pytest-of-me $TMPDIR/left; echo $TMPDIR > {tmp_path}/where")
    outcome = module.run(module.LEGS["e2e"], [])
    assert outcome.failed == 1
    assert outcome.sentence().endswith("; left in the temporary folder: left")
    assert not os.path.exists((tmp_path / "where").read_text().strip())


def test_leg__temporary_folder__leaves_room_for_the_path_of_a_socket(in_place_of_pytest, tmp_path):
    module = in_place_of_pytest(f"echo $TMPDIR > {tmp_path}/where")
    module.run(module.LEGS["e2e"], [])
    assert len((tmp_path / "where").read_text()) - len(tempfile.gettempdir()) < 20


def test_leg__shell_that_forbids_compiled_files__has_them_all_the_same(in_place_of_pytest, monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    module = in_place_of_pytest(f"echo ${{PYTHONDONTWRITEBYTECODE-kept}} > {tmp_path}/said")
    module.run(module.LEGS["e2e"], [])
    assert (tmp_path / "said").read_text().strip() == "kept"


TESTS = """
import pytest
pytestmark = pytest.mark.e2e
@pytest.mark.parametrize("word", ["one", "it's two"])
def test_word(word):
    assert word == "one"
def test_other():
    pass
def test_skipped():
    pytest.skip("not here")
"""
# Runs the script as it is, but for what it would install and where it keeps what it learns.
RUN = """
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
scripts, folder = sys.argv[1:]
sys.path.insert(0, scripts)
module = SourceFileLoader("script_test", f"{scripts}/test").load_module()
module.environment.ensure_python = module.environment.ensure_assets = lambda *_: None
module.DURATIONS = Path(folder) / "durations.json"
sys.argv[1:] = ["e2e", f"{folder}/test_some.py", "-q"]
sys.exit(module.main())
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory) -> list[str]:
    """What scripts/test says of four tests, of which one fails and one is skipped."""
    folder = tmp_path_factory.mktemp("some")
    (folder / "test_some.py").write_text(TESTS)
    command = [sys.executable, "-c", RUN, str(SCRIPTS), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=patience())
    assert done.returncode == 1, done.stderr
    return done.stdout.splitlines()


def test_run__in_a_log__whole_lines_with_counts_and_times(said):
    assert [line for line in said if re.fullmatch(r"e2e: 0 of 4 tests in \d+ s, about (\d+ min )?\d+ s left", line)]
    assert [line for line in said if re.fullmatch(r"e2e: 4 of 4 tests, 1 failed in \d+ s, all done", line)]
    assert not [line for line in said if "\r" in line or "\x1b" in line]
    assert said[-1] == "2 passed, 1 failed, 1 skipped"


def test_run__one_has_failed__said_at_once_and_the_command_that_runs_it_alone_in_the_end(said):
    name = next(line for line in said if line.startswith("FAILED ")).removeprefix("FAILED ")
    assert name.endswith("test_some.py::test_word[it's two]")
    quoted = name.replace("'", "'\"'\"'")
    assert said[-3:-1] == [f"  scripts/test e2e '{quoted}'", ""]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_progress__nothing_known__the_legs_average_counts():
    clock = Clock()
    progress = Progress("fast", {}, 2.0, workers=2, clock=clock)
    assert progress.sentence() == "fast: collecting the tests, 0 s"
    assert progress.collected(["a", "b", "c", "d"])
    assert not progress.collected(["a", "b", "c", "d"])
    assert progress.sentence() == "fast: 0 of 4 tests in 0 s, about 4 s left"


def test_progress__known_durations__say_what_is_left_at_todays_pace():
    clock = Clock()
    progress = Progress("fast", {"long": 100.0, "short": 20.0, "gone": 900.0}, 2.0, workers=1, clock=clock)
    clock.now = 5.0
    progress.collected(["long", "short", "new"])
    assert progress.left_s == 122.0
    clock.now = 45.0
    progress.reported("short", 40.0, is_failed=False, is_over=True)
    assert progress.left_s == 204.0, "this run is half as quick as the last one"
    assert progress.sentence() == "fast: 1 of 3 tests in 45 s, about 3 min 24 s left"


def test_progress__fails_twice__is_news_once_and_its_parts_are_added():
    progress = Progress("fast", {}, 1.0)
    progress.collected(["a"])
    assert progress.reported("a", 0.5, is_failed=True, is_over=False)
    assert not progress.reported("a", 0.25, is_failed=True, is_over=True)
    assert progress.took == {"a": 0.75}
    assert progress.sentence() == "fast: 1 of 1 tests, 1 failed in 0 s, all done"


@pytest.mark.parametrize(
    ("is_terminal", "wanted"),
    [
        (True, "\r\x1b[Kfast: collecting the tests, 0 s\r\x1b[KFAILED a\n"),
        (False, "fast: collecting the tests, 0 s\nFAILED a\n"),
    ],
)
def test_teller__on_a_terminal_one_line_that_changes__in_a_log_lines(is_terminal, wanted):
    out = io.StringIO()
    teller = Teller(Progress("fast", {}, 1.0, clock=Clock()), out, is_terminal=is_terminal)
    teller.tell()
    teller.say("FAILED a")
    assert out.getvalue() == wanted


def test_learn__durations__are_kept_by_leg_beside_those_that_did_not_run(script, monkeypatch, tmp_path):
    module = script("test")
    monkeypatch.setattr(module, "DURATIONS", tmp_path / "var" / "durations.json")
    for took in ({"a": 1.0, "b": 2.0}, {"b": 3.0}):
        (tmp_path / "result.json").write_text(json.dumps({"tests": took, "failed": []}))
        module.learn(module.LEGS["fast"], tmp_path / "result.json", module.Outcome("fast"))
    assert module.durations() == {"fast": {"a": 1.0, "b": 3.0}}
    module.prepare(module.LEGS["fast"], tmp_path)
    assert json.loads((tmp_path / "expected.json").read_text())["otherwise_s"] == 2.0
