"""Orphans and leftovers: nothing that was started outlives its supervisor for long."""

import json
import subprocess
import sys
import time

import psutil
import pytest

from mlorch_site.launch.supervisor import family
from tests.support.waiting import patience

GRACE_S = 0.2

# A supervisor whose child leaves a grandchild in a session of its own behind; prints the grandchild's id.
ORPHAN = """
import subprocess, time
from mlorch_site.launch.supervisor import family
from tests.support.waiting import patience

GRACE_S = 0.2
family.become_subreaper()
pid = subprocess.run(["sh", "-c", "setsid sleep 600 >/dev/null & echo $!"], stdout=subprocess.PIPE, text=True).stdout
print(pid, flush=True)
family.end_rest()
"""


@pytest.fixture
def sleeper():
    process = subprocess.Popen(["sleep", "600"])
    yield psutil.Process(process.pid)
    process.kill()
    process.wait()


def write_status(path, pid, started_at):
    path.write_text(json.dumps({"supervisor": 1, "processes": [{"name": "web", "pid": pid, "started_at": started_at}]}))


def test_end_rest__orphan_in_a_session_of_its_own__is_ended():
    done = subprocess.run(
        [sys.executable, "-c", ORPHAN], capture_output=True, text=True, timeout=patience(), check=True
    )
    assert not psutil.pid_exists(int(done.stdout))


def test_leftovers__process_of_the_earlier_run__is_found(tmp_path, sleeper):
    write_status(tmp_path / "processes.json", sleeper.pid, sleeper.create_time())
    assert family.leftovers(tmp_path / "processes.json") == [sleeper]


def test_leftovers__process_id_was_reused__is_not_touched(tmp_path, sleeper):
    write_status(tmp_path / "processes.json", sleeper.pid, sleeper.create_time() - 3600)
    assert family.leftovers(tmp_path / "processes.json") == []


@pytest.mark.parametrize("content", [None, "", "{", "{}", '{"processes": [{"name": "web", "pid": null}]}'])
def test_leftovers__no_usable_file__are_none(tmp_path, content):
    if content is not None:
        (tmp_path / "processes.json").write_text(content)
    assert family.leftovers(tmp_path / "processes.json") == []


def test_end_processes__one_ignores_the_request__is_killed_after_the_grace_time():
    stubborn = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import signal; signal.signal(15, signal.SIG_IGN); print(1, flush=True); signal.pause()",
        ],
        stdout=subprocess.PIPE,
    )
    stubborn.stdout.readline()
    began = time.monotonic()
    family.end_processes([psutil.Process(stubborn.pid)], GRACE_S)
    assert time.monotonic() - began >= GRACE_S
    assert not psutil.pid_exists(stubborn.pid)
    stubborn.stdout.close()
    stubborn.wait()


# A supervisor with an orphan: tells when the orphan has died, and after that when it is gone.
REAPS = """
import asyncio, os, subprocess, time
from mlorch_site.launch.supervisor import family
family.REAP_AFTER_S = 0.1
family.become_subreaper()
async def main():
    looks = []
    real = family._zombies
    family._zombies = lambda: looks.append(1) or real()
    reaping = asyncio.create_task(family.reap_forever(set))
    await asyncio.sleep(1)
    told = subprocess.run(["sh", "-c", "setsid sleep 0.5 >/dev/null & echo $!"], stdout=subprocess.PIPE, text=True)
    await asyncio.sleep(3)
    print(os.path.exists(f"/proc/{int(told.stdout)}"), len(looks))
asyncio.run(main())
"""


def test_reap_forever__orphan_dies__is_reaped_and_nobody_looks_in_between():
    done = subprocess.run([sys.executable, "-c", REAPS], capture_output=True, text=True, timeout=20, check=True)
    is_left, looks = done.stdout.split()
    assert is_left == "False"
    assert 2 <= int(looks) <= 6
