"""Gates: each outcome with its sentence; what is under way is neither passed nor failed."""

import pickle
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from registry import artifacts
from registry.code_in_files import imports_of
from registry.gates import GATES, GateInput, run
from registry.models import Environment, Model, Policy, Version

NOW = datetime(2026, 11, 23, tzinfo=UTC)
GOOD = {
    "metrics": {"accuracy": 0.97},
    "datasets": [{"name": "d"}],
    "git_commit": "abc",
    "requirements": ["numpy==2.3.4"],
    "input_example": {"inputs": [1]},
}


def given(*, guardrails: list | None = None, before: list | None = None, **changes: object) -> GateInput:
    values = {
        "status": "READY",
        "run_id": "r",
        "signature": {"inputs": [{"name": "x"}]},
        "evidence": GOOD,
        "digest": "",
        **changes,
    }
    version = Version(model=Model(name="tumours"), number=2, **values)
    stable = Version(model=version.model, number=1, signature={"inputs": before}) if before else None
    return GateInput(version, Environment(), Policy(), guardrails or [], {}, "release", "r1", "sha256:a", stable)


def outcome(gate: str, what: GateInput) -> tuple[str, str]:
    (row,) = run([gate], what)
    return row.outcome.value, row.sentence


@pytest.mark.parametrize(
    ("gate", "changes", "wanted", "words"),
    [
        ("version_ready", {}, "pass", "ready"),
        ("version_ready", {"status": "DELETED"}, "fail", "DELETED"),
        ("signature_present", {}, "pass", "1 inputs"),
        ("signature_present", {"signature": None}, "fail", "no input signature"),
        ("signature_present", {"before": [{"name": "y"}]}, "fail", "differs"),
        ("input_example_present", {}, "pass", "answered"),
        ("input_example_present", {"evidence": {}}, "warn", "no input example"),
        ("metadata_complete", {}, "pass", "known"),
        ("metadata_complete", {"run_id": ""}, "fail", "MLflow run"),
        ("metadata_complete", {"evidence": {"metrics": {"a": 1}}}, "warn", "data set"),
        ("requirements_valid", {}, "pass", "exact"),
        ("requirements_valid", {"evidence": {"requirements": ["numpy>=2"]}}, "warn", "no exact version"),
        ("guardrails_present", {}, "fail", "no guardrail"),
        ("guardrails_present", {"guardrails": [{"metric": "error_rate"}]}, "pass", "watched"),
        ("digest_known", {"digest_status": "failed", "digest_error": "a link"}, "fail", "a link"),
        ("artifact_format", {"digest": ""}, "fail", "not known"),
    ],
)
def test_gate__outcome_and_sentence(gate, changes, wanted, words):
    found, sentence = outcome(gate, given(**changes))
    assert found == wanted
    assert words in sentence


@pytest.mark.parametrize(
    "line",
    [
        "--index-url=https://evil.example",
        "-r more.txt",
        "-e .",
        "numpy @ https://evil.example/n.whl",
        "./local",
        "git+https://evil.example/x",
        "numpy==1; python_version<'3' @ x",
        "file:///etc",
        "-c constraints.txt",
        "numpy==1 --hash=sha256:00",
        "numpy==1 \\",
        "./wheels/own-1.0-py3-none-any.whl",
        "numpy==1==2",
    ],
)
def test_requirements__that_an_installer_would_follow__fail(line):
    found, sentence = outcome("requirements_valid", given(evidence={"requirements": ["numpy==1", line]}))
    assert found == "fail"
    assert repr(line) in sentence


def test_requirements__built_with_what_an_installer_would_follow__fail():
    evidence = {"requirements": ["numpy==1"], "build_requirements": ["setuptools", "git+https://evil.example/x"]}
    found, sentence = outcome("requirements_valid", given(evidence=evidence))

    assert (found, "git+https://evil.example/x" in sentence) == ("fail", True)


@pytest.mark.parametrize(
    "line",
    [
        "scikit-learn==1.7.2",
        "uvicorn[standard]==0.30",
        "numpy==2.3.4 ; python_version >= '3.11'",
        "a_b.c~=1.0",
        "numpy==2.3.4  # pinned",
    ],
)
def test_requirements__ordinary__do_not_fail(line):
    assert outcome("requirements_valid", given(evidence={"requirements": [line]}))[0] in ("pass", "warn")


def test_run__digest_pending__waits():
    assert run(["version_ready", "digest_known"], given(digest_status="pending")) is None


def test_run__gate_that_raises_or_is_unknown__is_an_error():
    rows = run(["signature_present", "no_such_gate"], given(signature={"inputs": 7}))
    assert [row.outcome.value for row in rows] == ["error", "error"]


def test_run__all_gates__have_a_sentence(store):
    store.mkdir(parents=True)
    for row in run([name for name in GATES if name != "digest_known"], given()):
        assert row.sentence.endswith(".")


class Evil:
    def __reduce__(self):
        import os

        return (os.system, ("true",))


class Evaluated:
    def __reduce__(self):
        return (eval, ("1",))


@pytest.mark.parametrize("protocol", range(6))
def test_pickle__imports__found_in_every_protocol(tmp_path, protocol):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps([Evil(), Evil(), datetime], protocol))
    names = imports_of(path)
    assert names & {"posix.system", "nt.system"}
    assert "datetime.datetime" in names
    assert len(names) == 2


@pytest.mark.parametrize(("content", "word"), [(Evil(), "system"), (Evaluated(), "eval"), (SimpleNamespace(), "types")])
def test_format__pickle_with_foreign_imports__warns_and_names_them(store, content, word):
    folder = artifacts.path_of("sha256:1")
    folder.mkdir(parents=True)
    (folder / "model.pkl").write_bytes(pickle.dumps(content))
    found, sentence = outcome("artifact_format", given(digest="sha256:1"))
    assert found == "warn"
    assert word in sentence
