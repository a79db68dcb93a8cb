"""Artifacts are read in a sandbox: what files are made to do to their reader is an error, and never a pass."""

import json
import os
import pickle
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import psutil
import pytest

from registry import artifact_reading as reading
from registry import artifacts, tasks
from registry.artifact_reading import NotRead, facts_of, readings_of
from registry.models import Version
from tests.registry.test_gates import given, outcome

MIB = 1024 * 1024
SKLEARN = "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n"


@pytest.fixture(autouse=True)
def _in_sandbox(settings):
    settings.ARTIFACTS_READ_IN_SANDBOX = True


@pytest.fixture
def folder(store) -> Path:
    made = artifacts.path_of("sha256:1")
    made.mkdir(parents=True)
    made.chmod(0o750)
    (made / "MLmodel").write_text(SKLEARN)
    return made


def word() -> tuple[str, str]:
    return outcome("artifact_format", given(digest="sha256:1"))


def test_reading__this_machine__has_a_sandbox_for_it():
    """Where this fails every test of this file is about a process without one."""
    assert reading._best()[0] != "none"


@pytest.mark.parametrize("best", [("full", 0), ("partly", 0), ("none", 0), None])
def test_reading__in_every_sandbox__says_the_same_as_without(folder, settings, monkeypatch, best):
    (folder / "model.pkl").write_bytes(pickle.dumps(print))
    if best:
        monkeypatch.setattr(reading, "_best", lambda: best)
    inside = (readings_of(folder), facts_of(folder))
    settings.ARTIFACTS_READ_IN_SANDBOX = False
    assert inside == (readings_of(folder), facts_of(folder))
    assert inside[0].running[0].imports == ["builtins.print"]


def test_task__digests_with_what_the_reader_says(registry, look, store):
    registry.add("tumours", files={"MLmodel": SKLEARN.encode()})
    look()
    tasks.digest_version(Version.objects.get().pk)
    assert Version.objects.get().evidence["flavors"] == ["python_function"]


def test_task__reader_fails__says_why_and_stores_nothing(registry, look, store, monkeypatch):
    registry.add("tumours", files={"MLmodel": SKLEARN.encode()})
    look()
    instead_of_reader(monkeypatch, "import sys; sys.exit(3)")
    tasks.digest_version(Version.objects.get().pk)
    version = Version.objects.get()
    assert version.digest_status == "failed"
    assert "their reader ended with 3" in version.digest_error
    assert not [path for path in store.iterdir() if path.name.startswith("sha256-")]


def test_pickle_of_one_endless_line__needs_too_much_memory__is_an_error(folder, monkeypatch):
    """It begins as text does, so that a reader which gave up on it as a pickle would take it for data."""
    monkeypatch.setattr(reading, "MEMORY_MAX_BYTES", 200 * MIB)
    with open(folder / "model.txt", "wb") as file:
        file.write(b"S" + b"'" * 8192)
        file.truncate(1024 * MIB)
    found, sentence = word()
    assert found == "error"
    assert "it may need too much memory" in sentence


def test_pickle_with_more_names_than_are_listed__is_an_error(folder):
    names = b"".join(b"cnumpy\nname%d\n0" % number for number in range(2000))
    (folder / "model.pkl").write_bytes(b"\x80\x02" + names + b"cos\nsystem\n.")
    assert word()[0] == "error"


def test_zip_bomb__schema_that_is_large_when_unpacked__is_not_known(folder):
    with zipfile.ZipFile(folder / "model.skops", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b"[" * (70 * MIB))
    found, sentence = word()
    assert found == "warn"
    assert "is an archive whose schema is too large to look at" in sentence


def test_yaml_bomb__aliases_of_aliases__is_read_without_spelling_it_out(folder):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    (folder / "MLmodel").write_text("\n".join([*lines, "flavors: *a11"]))
    assert word() == ("warn", "MLmodel declares no flavour; what loads the version is not known.")


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 50_000, "- " * 100_000], ids=["lists", "maps", "sequences"])
def test_deep_nesting__is_no_pass(folder, text):
    (folder / "MLmodel").write_text(text)
    assert word()[0] in ("warn", "error")


def test_gigantic_mlmodel__is_no_pass(folder):
    with open(folder / "MLmodel", "ab") as file:
        file.truncate(3 * 1024 * MIB)
    assert word()[0] in ("warn", "error")


def test_deeply_nested_json__example_is_left_out(folder):
    (folder / "input_example.json").write_text("[" * 20_000 + "]" * 20_000)
    assert facts_of(folder)[0]["input_example"] is None


def test_link_out_of_the_folder__is_not_followed(folder, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    (folder / "linked.txt").symlink_to(secret)
    found, sentence = word()
    assert found == "warn"
    assert "linked.txt is a link to something else" in sentence


def instead_of_reader(monkeypatch, program: str) -> None:
    """Whoever got hold of the reader runs what they like in its sandbox."""
    launched = reading._launched

    def other(spec, command):
        return launched(spec, [sys.executable, "-c", program])

    reading._best()
    monkeypatch.setattr(reading, "_launched", other)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("print('nothing that is JSON')", "says nonsense"),
        ("print('[' * 100000)", "says nonsense"),
        ("""print('{"looked_at": -1, "running": []}')""", "says nonsense"),
        ("""print('{"looked_at": 1, "running": [], "outcome": "pass"}')""", "says nonsense"),
        ("while True: print('x' * 100000)", "more than 8 MiB"),
        ("import os; os.kill(os.getpid(), 11)", "reader"),
        ("import sys; sys.exit(3)", "ended with 3"),
        ("x = bytearray(3 * 1024 ** 3)", "ended with 1"),
        ("", "says nonsense"),
    ],
)
def test_reader_that_was_taken_over__says_something_else__is_an_error(folder, monkeypatch, program, words):
    instead_of_reader(monkeypatch, program)
    found, sentence = word()
    assert found == "error"
    assert words in sentence


@pytest.mark.parametrize("program", ["while True: pass", "import os, time; os.close(1); time.sleep(600)"])
def test_reader_that_never_ends__is_ended_with_all_that_came_of_it(folder, monkeypatch, program):
    monkeypatch.setattr(reading, "READ_WITHIN_S", 2.0)
    before = set(psutil.Process().children(recursive=True))
    instead_of_reader(monkeypatch, program)
    with pytest.raises(NotRead, match="could not be looked at within 2 s"):
        readings_of(folder)
    assert set(psutil.Process().children(recursive=True)) <= before


REACH = """
import json, os, socket
found = []
def attempt(name, act):
    try:
        act()
        found.append(name)
    except (OSError, ValueError):
        pass
attempt("secret", lambda: open({secret!r}).close())
attempt("listing", lambda: os.listdir({data!r}).index("secrets.json"))
attempt("write", lambda: open({folder!r} + "/new", "w").close())
attempt("network", lambda: socket.create_connection(("127.0.0.1", {port}), 5).close())
attempt("datagram", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close())
attempt("fork", lambda: os.fork() or os._exit(0))
one = dict(path=",".join(found), sentence="x", is_known=True, imports=[])
print(json.dumps(dict(looked_at=1, running=[one])))
"""


@pytest.mark.parametrize(("best", "reached"), [(None, ""), (("partly", 0), ""), (("none", 0), "secret,listing")])
def test_reader_that_was_taken_over__reaches_what_its_sandbox_lets_it(folder, settings, monkeypatch, best, reached):
    """Without a sandbox the same program does find something."""
    if best:
        monkeypatch.setattr(reading, "_best", lambda: best)
    secret = settings.DATA_DIR / "secrets.json"
    secret.write_text("secret")
    with socket.create_server(("127.0.0.1", 0)) as server:
        places = {"secret": str(secret), "data": str(settings.DATA_DIR), "folder": str(folder)}
        instead_of_reader(monkeypatch, REACH.format(port=server.getsockname()[1], **places))
        (said,) = readings_of(folder).running
    assert said.path == reached if reached == "" else said.path.startswith(reached)


def test_reader__nobody_waits_any_more__ends_by_itself():
    program = "import resource; from registry import artifact_reader as r; r.CPU_MAX_S = 1; import sys; "
    program += "sys.argv = ['x', 'spin', '.']; r.QUESTIONS['spin'] = lambda _: [None for _ in iter(int, 1)]; r.main()"
    done = subprocess.run([sys.executable, "-c", program], check=False, env={**os.environ, "PYTHONPATH": "."})
    assert done.returncode < 0


def test_reader__imports_neither_django_nor_what_loads_models():
    program = "import sys, json, registry.artifact_reader; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert not {"django", "mlflow", "sklearn", "numpy", "joblib", "torch"} & set(json.loads(done.stdout))
