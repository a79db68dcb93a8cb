"""Programs in a sandbox, really launched: what they see, write and are; as root and as an ordinary user."""

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataplane.agent.sandboxes import PROJECT_ROOT, launch
from dataplane.sandbox import kernel
from dataplane.wire import shapes
from dataplane.wire.sandbox import SandboxSpec
from tests.support.folders import short_folder
from tests.support.waiting import patience

OWN_USER = 1_800_000_123
NOBODY = 65_534
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root has users to give away; else all tests are of this")


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as folder:
        folder.chmod(0o755)
        (folder / "home").mkdir()
        yield folder


def spec_of(folder: Path, **changes: Any) -> SandboxSpec:
    readable = [sys.prefix, sys.base_prefix, str(PROJECT_ROOT / "dataplane")]
    spec = SandboxSpec("full", str(folder / "home"), readable)
    return shapes.changed(spec, **changes)


def run(spec: SandboxSpec, code: str) -> Any:
    """What the code gives as `found`, or the last line of what it raised."""
    program = f"import glob, json, os\n{code}\nprint(json.dumps(found))"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT_ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        launch(spec, -1, [sys.executable, "-c", program]),
        capture_output=True,
        text=True,
        env=environment,
        cwd="/",
        timeout=patience(),
    )
    return json.loads(done.stdout) if done.stdout else done.stderr.strip().splitlines()[-1]


def test_full__sees_itself_and_what_is_named__nothing_else(folder: Path) -> None:
    (folder / "shown").mkdir()
    (folder / "shown" / "x").write_text("shown")
    (folder / "other").write_text("other")
    spec = spec_of(folder, readable=[*spec_of(folder).readable, str(folder / "shown")])
    found = run(
        spec, f"found = [sorted(os.listdir({str(folder)!r})), [int(p) for p in os.listdir('/proc') if p.isdigit()]]"
    )

    assert found == [["home", "shown"], [1]]


def test_full__hidden_folder_in_a_shown_one__is_empty_but_for_what_is_named(folder: Path) -> None:
    for name in ("around/hidden/artifacts/1", "around/hidden/secret", "around/else"):
        (folder / name).mkdir(parents=True)
    around, hidden = folder / "around", folder / "around" / "hidden"
    readable = [*spec_of(folder).readable, str(around), str(hidden / "artifacts" / "1")]
    spec = spec_of(folder, readable=readable, hidden=[str(hidden)])
    found = run(spec, f"found = [sorted(os.listdir(path)) for path in ({str(around)!r}, {str(hidden)!r})]")

    assert found == [["else", "hidden"], ["artifacts"]]


@pytest.mark.parametrize("level", ["full", "partly"])
def test_home__is_written__all_else_is_not(folder: Path, level: str) -> None:
    places = [str(folder / "x"), str(folder / "home" / "x"), "/x", "/usr/x", "/dev/x", "/etc/x", "/proc/self/comm"]
    code = f"""
found = []
for place in {places!r}:
    try:
        open(place, "w").write("x")
        found.append(place)
    except OSError:
        pass
"""
    assert run(spec_of(folder, level=level), code) == [str(folder / "home" / "x")]
    assert not (folder / "x").exists()


@pytest.mark.parametrize("level", ["full", "partly"])
def test_inside__no_capability_no_new_privileges_one_filter(folder: Path, level: str) -> None:
    names = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
    code = (
        "found = {key: int(value, 16) for key, _, value in (line.partition(':') for line in open('/proc/self/status'))"
    )
    found = run(spec_of(folder, level=level), f"{code} if key in {names!r}}}")

    no_capability = os.getuid() == 0 or level == "full"  # an ordinary user's bound stays, and means nothing
    assert {key: value for key, value in found.items() if no_capability or key != "CapBnd"} == {
        **{name: 0 for name in names if name.startswith("Cap") and (no_capability or name != "CapBnd")},
        "NoNewPrivs": 1,
        "Seccomp": 2,
    }


@needs_root
def test_full__own_user__is_it_and_reads_by_its_group(folder: Path) -> None:
    artifacts = folder / "artifacts"
    artifacts.mkdir(mode=0o750)
    (artifacts / "model").write_text("x")
    (artifacts / "model").chmod(0o440)
    readable = [*spec_of(folder).readable, str(artifacts)]
    spec = spec_of(folder, readable=readable, user=OWN_USER, groups=[artifacts.stat().st_gid])
    found = run(spec, f"found = [os.getresuid(), open({str(artifacts / 'model')!r}).read()]")

    assert found == [[OWN_USER] * 3, "x"]


def test_full__sandbox_that_cannot_be_made__is_an_error_and_no_program_runs(folder: Path) -> None:
    assert "the sandbox cannot be made: [Errno 2]" in run(spec_of(folder, home="/nowhere/home"), "found = 'ran'")


ORDINARY = f"""
import os, sys
sys.path.insert(0, {str(PROJECT_ROOT)!r})
from dataplane.sandbox import kernel
from dataplane.sandbox.entry import enter
from dataplane.wire.sandbox import SandboxSpec
os.setgroups([])
os.setresgid({NOBODY}, {NOBODY}, {NOBODY})
os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # as it is for who began as an ordinary user
spec = SandboxSpec("full", sys.argv[1], [{str(PROJECT_ROOT / "dataplane")!r}])
enter(spec, lambda inside: os._exit(os.waitstatus_to_exitcode(os.waitpid(inside, 0)[1])))
open("x", "w").write("x")
print(os.getuid(), os.getpid(), sorted(os.listdir(sys.argv[1] + "/..")), len(os.listdir("/proc/self/task")))
"""


@needs_root
def test_full__ordinary_user__has_it_all_but_a_user_of_its_own(folder: Path) -> None:
    os.chown(folder / "home", NOBODY, NOBODY)
    (folder / "other").write_text("other")
    command = [sys.executable, "-c", ORDINARY, str(folder / "home")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=patience())

    assert done.stdout == f"{NOBODY} 1 ['home'] 1\n", done.stderr
    assert list((folder / "home").iterdir()) == []  # its files were in memory


def test_launcher__program_ends__ends_as_it_did(folder: Path) -> None:
    for code in (0, 7):
        command = launch(spec_of(folder), -1, [sys.executable, "-c", f"raise SystemExit({code})"])
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT_ROOT)}
        done = subprocess.run(command, env=environment, cwd=folder, timeout=patience())
        assert done.returncode == code


def test_call__that_this_machine_does_not_know__is_an_error() -> None:
    with pytest.raises(OSError, match="no_such_call: not known"):
        kernel.call("no_such_call", ctypes.c_int(0))


@needs_root
@pytest.mark.parametrize("level", ["full", "partly"])
def test_network__names__are_asked_for_over_tcp(folder: Path, level: str) -> None:
    """A filter that refuses datagrams would otherwise leave a granted network without names."""
    command = [sys.executable, "-m", "tests.dataplane.sandbox.name_server", level, str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, cwd=PROJECT_ROOT, timeout=patience(), check=True)
    said = json.loads(done.stdout)
    assert (said["found"], said["udp"]) == (["192.0.2.7"], 0)
    assert said["tcp"] > 0
