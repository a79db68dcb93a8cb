"""Gates that run a version: real packages and real workers, away from everything that serves."""

import json
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from dataplane.wire.digest import digest
from dataplane.wire.scratch import LoadFigures, ScratchTask
from mlorch_site.audit.services import Subject
from registry import artifacts
from registry.evidence import scratch_runs
from registry.evidence.scratch_runs import NotRun, scratch_run
from registry.gates import GATES, GateInput, input_example_answers, load_test, run
from registry.gates.base import Stopped
from registry.models import GateResult, Policy, Resolution
from registry.services.gate_runs import gates_ask, gates_end, gates_run
from tests.dataplane.hostile.models import Attempt, saved
from tests.registry.test_gates import given
from tests.support.folders import short_folder
from tests.support.waiting import until
from tests.support.wheels import make_wheel


@pytest.fixture
def wheels(settings, tmp_path) -> Path:
    """A folder that the installer takes its wheels from, and no index."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    make_wheel(folder, "msgspec", "0.99.0")  # what a worker needs besides
    settings.SCRATCH_VARIABLES = {**settings.SCRATCH_VARIABLES, "UV_NO_INDEX": "1", "UV_FIND_LINKS": str(folder)}
    return folder


@pytest.fixture
def short(settings):
    """A data directory in which the sockets of runs fit."""
    with short_folder() as folder:
        settings.DATA_DIR = folder
        yield folder


@pytest.fixture
def model(store):
    """A function that puts a model of this code into the store, and gives what a gate is given of it."""

    def take_in(attempt: str, *, output: dict | None = None, **parameters) -> GateInput:
        folder = saved(Attempt("tried", attempt, ""), store.parent / "made", {})
        if output is not None:
            (folder / "serving_output_example.json").write_text(json.dumps(output))
        number = digest(folder)
        store.mkdir(parents=True, exist_ok=True)
        shutil.move(folder, artifacts.path_of(number))
        # Where the tests are root, a worker of a user of its own reads by the group.
        for path in [artifacts.path_of(number), *artifacts.path_of(number).rglob("*")]:
            path.chmod(0o750 if path.is_dir() else 0o640)
        evidence = {"requirements": ["msgspec"], "python": "3.11", "input_example": {"inputs": [1, 2]}}
        return with_parameters(given(digest=number, evidence=evidence), **parameters)

    return take_in


def with_parameters(what: GateInput, **parameters) -> GateInput:
    """The same under a policy that sets these of every gate that has them."""
    said = {
        name: {key: value for key, value in parameters.items() if key in gate.parameters}
        for name, gate in GATES.items()
    }
    return replace(what, policy=Policy(gate_parameters=said))


def found(gate: str, what: GateInput):
    (row,) = run([gate], what)
    return row


def requiring(*lines: str, **parameters) -> GateInput:
    return with_parameters(given(evidence={"requirements": list(lines), "python": "3.11"}), **parameters)


OTHERS: set[psutil.Process] = set()


@pytest.fixture(autouse=True)
def of_others():
    """What other tests in this process keep running is none of these tests' affair."""
    OTHERS.clear()
    OTHERS.update(psutil.Process().children(recursive=True))


def alive() -> list[str]:
    """What came of this process since the test began, and still runs."""
    ours = set(psutil.Process().children(recursive=True)) - OTHERS
    return [" ".join(child.cmdline()) for child in ours if child.is_running()]


def test_install__packages_with_what_they_need__pass_and_are_kept(store, wheels, db):
    make_wheel(wheels, "tiny", "1.0", requires=("tinier>=2",))
    make_wheel(wheels, "tinier", "2.1")
    steps = []
    row = found("requirements_install", replace(requiring("tiny==1.0"), progress=steps.append))
    assert (row.outcome.value, row.sentence) == ("pass", "3 packages resolve and install.")
    assert {"tiny==1.0", "tinier==2.1"} <= set(row.evidence["installed"])
    assert "starting" in steps
    assert Resolution.objects.get().installed == row.evidence["installed"]
    shutil.rmtree(wheels)  # what was found for the same lines is taken again
    assert found("requirements_install", requiring("tiny==1.0")).outcome.value == "pass"
    assert alive() == []


@pytest.mark.parametrize(
    ("lines", "changes", "wanted", "words"),
    [
        (["tiny==9"], {}, "fail", "no version of tiny==9"),
        (["tiny==1.0", "tinier<2"], {}, "fail", "tinier"),
        (["tiny @ file:///etc"], {}, "fail", "not a package name with versions"),
        (["--index-url=http://evil.example"], {}, "fail", "not a package name with versions"),
        (["heavy==1.0"], {"disk_mb": 10}, "fail", "more than 10 MiB of disk"),
        ([], {}, "skipped", "names no requirements"),
    ],
)
def test_install__what_cannot_be__is_said(store, wheels, db, lines, changes, wanted, words):
    make_wheel(wheels, "tiny", "1.0", requires=("tinier>=2",))
    make_wheel(wheels, "tinier", "2.1")
    if "heavy==1.0" in lines:
        make_wheel(wheels, "heavy", "1.0", size_bytes=12 * 1024 * 1024)
    row = found("requirements_install", requiring(*lines, **changes))
    assert (row.outcome.value, words in row.sentence) == (wanted, True), row.sentence
    assert not Resolution.objects.exists()


def test_install__index_that_is_not_there__is_an_error_and_no_finding(store, settings, db):
    own = {"UV_INDEX_URL": "http://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"}
    settings.SCRATCH_VARIABLES = {**settings.SCRATCH_VARIABLES, **own}
    row = found("requirements_install", requiring("surely-not-here==1.0"))
    assert (row.outcome.value, "cannot be reached" in row.sentence) == ("error", True), row.sentence


def test_install__own_environment_meets_it__names_what_that_holds(store, db):
    row = found("requirements_install", requiring("msgspec"))
    assert (row.outcome.value, "own environment" in row.sentence) == ("pass", True)
    assert [line.partition("==")[0] for line in row.evidence["installed"]] == ["msgspec"]


RANDOM = "import random; return random.random()"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("attempt", "values", "wanted", "words"),
    [
        ("return 'fine'", {}, "warn", "2 rows are asked and 1 answered"),
        ("return 'fine'", {"output": {"predictions": ["fine"]}}, "pass", "as was recorded"),
        ("return 'fine'", {"output": {"predictions": ["other"]}}, "fail", "fine and other at [0]"),
        (RANDOM, {}, "fail", "answered differently"),
        ("raise ValueError('no such column')", {}, "fail", "answered with the error 400"),
        ("import time; time.sleep(600)", {}, "fail", "did not answer within 8 s"),
        ("return os._exit(3)", {}, "fail", "ended while it was asked"),
        ("kept = [b'x' * 2**20 for _ in range(2**12)]", {"memory_mb": 600}, "fail", "more than 600 MB of memory"),
    ],
)
def test_answers__real_worker__outcome_and_sentence(model, db, monkeypatch, attempt, values, wanted, words):
    monkeypatch.setattr(input_example_answers, "PATIENCE_MS", 8_000)
    row = found("input_example_answers", model(attempt, **values))
    assert (row.outcome.value, words in row.sentence) == (wanted, True), row.sentence
    assert alive() == []


def test_answers__files_are_not_what_was_approved__fail(model, db):
    what = model("return 'fine'")
    path = artifacts.path_of(what.version.digest) / "MLmodel"
    path.write_text(path.read_text() + "# more\n")
    row = found("input_example_answers", what)
    assert (row.outcome.value, "not what was approved" in row.sentence) == ("fail", True), row.sentence


@pytest.mark.slow
def test_load__real_worker__passes_and_fails_by_its_bounds(model, db):
    what = model("return 'fine'", rate=20, seconds=1, p95_ms=60_000, deadline_s=120)
    row = found("load_test", what)
    assert row.outcome.value == "pass", row.sentence
    assert (row.evidence["planned"], row.evidence["answered"]) == (20, 20)
    assert alive() == []


@pytest.mark.parametrize(
    ("figures", "wanted", "words"),
    [
        (LoadFigures(100, 100, 0, 0, 0, 5, 20, 30), "pass", "n 100, p50 5 ms, P95 20 ms, errors 0 %"),
        (LoadFigures(100, 100, 0, 0, 5, 5, 20, 30), "pass", "P95"),
        (LoadFigures(100, 100, 0, 0, 6, 5, 20, 30), "error", "could not offer 20 requests a second: 6 of 100"),
        (LoadFigures(100, 100, 0, 0, 0, 5, 501, 600), "fail", "The P95 is 501 ms, allowed are 500 ms"),
        (LoadFigures(100, 98, 1, 1, 0, 5, 20, 30, "500: no"), "fail", "2 % of the requests failed"),
        (LoadFigures(100, 0, 0, 100, 0, 0, 0, 0), "fail", "100 % of the requests failed"),
        (LoadFigures(0, 0, 0, 0, 0, 0, 0, 0), "error", "could not offer"),
    ],
)
def test_load__figures__judged(figures, wanted, words):
    settings = GATES["load_test"].settings(Policy())
    judged = load_test.judged(replace(given(), parameters=settings), figures)
    assert (judged.outcome.value, words in judged.sentence) == (wanted, True), judged.sentence


@pytest.mark.parametrize("gate", ["input_example_answers", "load_test"])
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"digest": ""}, "not in the store"),
        ({"evidence": {"requirements": []}}, "no input example"),
    ],
)
def test_gates_with_a_worker__nothing_to_ask__fail(store, gate, changes, words):
    number = "sha256:1"
    artifacts.path_of(number).mkdir(parents=True)
    row = found(gate, given(**{"digest": number, **changes}))
    assert (row.outcome.value, words in row.sentence) == ("fail", True), row.sentence


def test_run__that_nobody_wants_any_more__ends_with_all_it_started(short, settings):
    """The installer waits for an index that never answers."""

    def stop(step: str) -> None:
        if step.startswith("installing"):
            until(lambda: [line for line in alive() if "/uv pip install" in line], "the installer runs", seen=alive)
            raise Stopped("aborted")

    with socket.create_server(("127.0.0.1", 0)) as silent:
        index = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        settings.SCRATCH_VARIABLES = {**settings.SCRATCH_VARIABLES, "UV_INDEX_URL": index}
        with pytest.raises(Stopped):
            scratch_run(ScratchTask("install", 300, requirements=["surely-not-here==1.0"], python="3.11"), stop)
    assert alive() == []
    assert list((short / "scratch" / "runs").iterdir()) == []


def test_run__killed_with_something_under_way__leaves_nothing(short, settings, wheels):
    """What it left on disk is cleared by the next run, its processes at once."""

    def kill(step: str) -> None:
        if step.startswith("installing"):
            (run,) = set(psutil.Process().children()) - OTHERS
            run.kill()

    with socket.create_server(("127.0.0.1", 0)) as silent:
        index = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        usual = settings.SCRATCH_VARIABLES
        settings.SCRATCH_VARIABLES = {**usual, "UV_NO_INDEX": "0", "UV_INDEX_URL": index}
        with pytest.raises(NotRun, match="before it said anything"):
            scratch_run(ScratchTask("install", 300, requirements=["surely-not-here==1.0"], python="3.11"), kill)
    assert alive() == []
    assert len(list((short / "scratch" / "runs").iterdir())) == 1
    settings.SCRATCH_VARIABLES = usual
    scratch_run(ScratchTask("install", 300, requirements=["msgspec"], python="3.11"), lambda _: None)
    assert list((short / "scratch" / "runs").iterdir()) == []


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("print('{}' * 9)", "nonsense"),
        ("import sys; sys.exit(7)", "ended with 7"),
        ("import time; time.sleep(600)", "did not end within"),
        ("import sys; sys.stdout.write('x' * 9_000_000)", "more than it may"),
    ],
)
def test_run__that_says_nonsense_or_nothing__is_an_error(store, monkeypatch, program, words):
    monkeypatch.setattr(scratch_runs, "COMMAND", [scratch_runs.sys.executable, "-c", program])
    monkeypatch.setattr(scratch_runs, "MARGIN_S", 0.5)
    with pytest.raises(NotRun, match=words):
        scratch_run(ScratchTask("install", 1 if "sleep" in program else 100), lambda _: None)
    assert alive() == []


def test_release__aborted_while_a_gate_installs__ends_the_run(short, settings, db, monkeypatch):
    subject = Subject("release", "r1")
    usual, seen = scratch_runs._descendants, []

    def abort_meanwhile(process):
        if [line for line in alive() if "/uv pip install" in line] and not seen:
            gates_end(subject=subject, reason="The release was aborted.")
            seen.append(True)
        return usual(process)

    monkeypatch.setattr(scratch_runs, "_descendants", abort_meanwhile)
    monkeypatch.setattr(scratch_runs, "RENEW_S", 0.0)
    gates_ask(subject=subject, gates=["requirements_install"], content_hash="sha256:a")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        index = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        settings.SCRATCH_VARIABLES = {**settings.SCRATCH_VARIABLES, "UV_INDEX_URL": index}
        gates_run(subject=subject, given=requiring("surely-not-here==1.0"))
    row = GateResult.objects.get()
    assert (row.outcome, row.sentence, seen) == ("skipped", "The release was aborted.", [True])
    assert alive() == []


def test_gate__policy_demands_a_better_sandbox_than_there_is__is_an_error(model, db, settings):
    settings.SCRATCH_VARIABLES = {**settings.SCRATCH_VARIABLES, "MLORCH_AGENT_SANDBOX": "partly"}
    what = model("return 'fine'")
    what.policy.sandbox_level_min = "full"
    row = found("input_example_answers", what)
    assert (row.outcome.value, "demands a sandbox level of 'full'" in row.sentence) == ("error", True), row.sentence
