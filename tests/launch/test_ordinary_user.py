"""Started as root: what needs no root has another user, the data directory is shared safely, and where that cannot be
everything goes on as root and says why.
"""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from django.test import Client

from mlorch_site.launch.supervisor import ordinary_user as module
from mlorch_site.launch.supervisor.options import ROOT, Options
from mlorch_site.launch.supervisor.ordinary_user import (
    DEFAULT_UID,
    MARK_FILE,
    NOBODY_ELSE,
    VARIABLE,
    OrdinaryUser,
    ordinary_user,
    share,
)
from mlorch_site.launch.supervisor.process_specs import Plan, made_run_dir, run_dir
from tests.factories import PASSWORD
from tests.launch.test_supervisor_process_specs import SECRETS
from tests.support.folders import short_folder
from tests.support.product import running

UID = DEFAULT_UID
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has anything to give up")


@pytest.fixture
def data_dir(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    for name in (VARIABLE, "DATABASE_URL", *module.ELSEWHERE):
        monkeypatch.delenv(name, raising=False)


def options(data_dir: Path, **ports: int) -> Options:
    fields = {"web_port": 18000, "gateway_port": 18080, "mlflow_port": 15000, "demo": False}
    return Options(data_dir, **(fields | ports))


def owners(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.lstat().st_uid for path in folder.rglob("*")}


def filled(data_dir: Path) -> None:
    """What an installation has that always ran as root."""
    for name in (
        "artifacts/sha256-1",
        "mlflow/artifacts",
        "environments/key",
        "logs/workers",
        "run/agent",
        "profiles",
    ):
        (data_dir / name).mkdir(parents=True)
    for name in ("mlorch.sqlite3", "credentials.json", "secrets.json", "artifacts/sha256-1/MLmodel", "run/beat.dat"):
        (data_dir / name).touch(mode=0o600)
    for name in ("environments/key/python", "run/agent/r-1.json", "logs/web.log"):
        (data_dir / name).touch()


def test_ordinary_user__started_by_one__changes_nothing(data_dir, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert ordinary_user(options(data_dir)) == NOBODY_ELSE
    assert list(data_dir.iterdir()) == []


def test_ordinary_user__told_to_be_root__is_root_and_warns(data_dir, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv(VARIABLE, "root")
    user = ordinary_user(options(data_dir))
    assert (user.uid, user.is_warning) == (0, True)
    assert user.sentence == "Everything runs as root, because MLORCH_RUN_AS says so"


def test_ordinary_user__told_to_be_nobody_known__ends_with_a_sentence(data_dir, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv(VARIABLE, "no-such-person")
    with pytest.raises(SystemExit, match="names no user of this machine: 'no-such-person'"):
        ordinary_user(options(data_dir))


@needs_root
def test_ordinary_user__python_closed_to_others__goes_on_as_root_and_names_the_folder(data_dir, monkeypatch, tmp_path):
    closed = tmp_path / "home"
    closed.mkdir(mode=0o700)
    python = closed / "python"
    python.write_bytes(b"")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    user = ordinary_user(options(data_dir))
    assert user.uid == 0
    assert user.is_warning
    assert f"it cannot start {python}, because" in user.sentence
    assert "is closed to others; install mlorch and its Python outside of it" in user.sentence
    assert list(data_dir.iterdir()) == []


@needs_root
def test_ordinary_user__low_port__goes_on_as_root(data_dir, monkeypatch, tmp_path):
    first = tmp_path / "first"
    first.write_text("1024\n")
    monkeypatch.setattr(module, "FIRST_FREE_PORT", first)
    user = ordinary_user(options(data_dir, web_port=80))
    assert user.uid == 0
    assert user.sentence.endswith("only root may listen on port 80; choose ports from 1024 on")


@needs_root
def test_ordinary_user__data_directory_of_another_person__goes_on_as_root_and_says_whose(data_dir):
    os.chown(data_dir, 4321, 4321)
    user = ordinary_user(options(data_dir))
    assert user.uid == 0
    assert "belongs to user 4321; set MLORCH_RUN_AS=4321" in user.sentence
    assert data_dir.stat().st_uid == 4321


@needs_root
def test_share__installation_of_root__is_given_but_for_what_root_needs(data_dir):
    filled(data_dir)
    share(data_dir, UID, UID)
    of_root = {name for name, owner in owners(data_dir).items() if owner == 0}
    assert of_root == {
        "environments", "environments/key", "environments/key/python", "profiles", "logs", "logs/workers",
        "logs/web.log", "run/workers",
        "run", "run/agent", "run/agent/r-1.json", "secrets.json", MARK_FILE,
    }  # fmt: skip
    assert {owner for name, owner in owners(data_dir).items() if name not in of_root} == {UID}
    assert stat.S_IMODE((data_dir / "credentials.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o1770


@needs_root
def test_share__links_and_second_names__what_they_lead_to_stays_root_s(data_dir, tmp_path):
    filled(data_dir)
    precious, folder = tmp_path / "precious", tmp_path / "folder"
    precious.touch()
    folder.mkdir()
    (folder / "inner").touch()
    (data_dir / "link").symlink_to(precious)
    (data_dir / "artifacts" / "linked").symlink_to(folder)
    os.link(precious, data_dir / "mlflow" / "second-name")
    share(data_dir, UID, UID)
    assert (precious.stat().st_uid, folder.stat().st_uid, (folder / "inner").stat().st_uid) == (0, 0, 0)


@needs_root
@pytest.mark.parametrize("name", ["run", "logs", "artifacts", "home"])
def test_share__link_in_the_place_of_a_folder__is_refused_and_all_goes_on_as_root(data_dir, tmp_path, name):
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    (data_dir / name).symlink_to(outside)
    with pytest.raises(OSError, match=r"."):
        share(data_dir, UID, UID)
    assert (outside.stat().st_uid, stat.S_IMODE(outside.stat().st_mode)) == (0, 0o755)


@needs_root
def test_ordinary_user__put_a_link_where_its_folder_was__does_not_make_everything_root(data_dir, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_try", lambda *_: None)
    monkeypatch.setattr(module, "open_bytecode", lambda _: None)
    assert ordinary_user(options(data_dir)).uid == UID
    (data_dir / "artifacts").rmdir()
    (data_dir / "artifacts").symlink_to(tmp_path)
    with pytest.raises(SystemExit, match="is not as it was made"):
        ordinary_user(options(data_dir))
    assert tmp_path.stat().st_uid == 0


@needs_root
def test_share__fresh_directory__all_of_root_s_folders_are_there_before_anybody_else_is(data_dir):
    share(data_dir, UID, UID)
    made = {name for name, owner in owners(data_dir).items() if owner == 0}
    assert made >= {"logs", "environments", "profiles", "run", "run/agent", "run/workers"}


@needs_root
def test_share__died_in_the_middle__the_next_start_gives_the_rest(data_dir, monkeypatch):
    filled(data_dir)

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(module, "_give_one", die)
        with pytest.raises(KeyboardInterrupt):
            share(data_dir, UID, UID)
    share(data_dir, UID, UID)
    assert (data_dir / "mlorch.sqlite3").stat().st_uid == UID


@needs_root
def test_share__second_start__walks_nothing(data_dir, monkeypatch):
    filled(data_dir)
    share(data_dir, UID, UID)
    given = []
    monkeypatch.setattr(module, "give", lambda *what: given.append(what))
    share(data_dir, UID, UID)
    assert given == []


@needs_root
def test_share__ordinary_user__cannot_put_anything_in_the_place_of_root_s():
    program = "import os, sys; os.chdir(sys.argv[1]); open('own', 'w').close(); os.rename('logs', 'mine')"
    with short_folder() as folder:
        folder.chmod(0o711)
        data_dir = folder / "data"
        data_dir.mkdir()
        filled(data_dir)
        share(data_dir, UID, UID)
        command = [*reachable(), sys.executable, "-c", as_user(program), str(data_dir)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        assert "Operation not permitted" in done.stderr
        assert (data_dir / "own").stat().st_uid == UID
        assert (data_dir / "logs").is_dir()


def reachable() -> list[str]:
    return [sys.executable, "-m", "tests.launch.reachable"]


def as_user(program: str) -> str:
    return f"import os; os.setgroups([]); os.setgid({UID}); os.setuid({UID}); {program}"


@needs_root
def test_command_line_of_the_site__by_root_in_a_shared_directory__is_the_ordinary_user(data_dir):
    share(data_dir, UID, UID)
    program = (
        "import os; from pathlib import Path; from mlorch_site.launch.supervisor.ordinary_user import become_owner; "
        f"become_owner(Path({str(data_dir)!r})); print(os.getuid(), os.getgid(), os.getgroups(), os.environ['HOME'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == f"{UID} {UID} [] {data_dir / 'home'}"


def test_bytecode__that_only_root_could_read__is_opened_and_nothing_else(tmp_path):
    cache = tmp_path / "package" / "__pycache__"
    cache.mkdir(parents=True, mode=0o700)
    (cache / "a.pyc").touch(mode=0o600)
    (tmp_path / "package" / "secret.py").touch(mode=0o600)
    (cache / "link").symlink_to(tmp_path / "package" / "secret.py")
    module.open_bytecode([tmp_path])
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (cache, cache / "a.pyc", tmp_path / "package" / "secret.py")]
    assert modes == [0o755, 0o644, 0o600]


def test_plan__with_an_ordinary_user__all_but_the_agent_are_it(data_dir):
    user = OrdinaryUser(os.getuid(), os.getgid(), "") if os.getuid() else OrdinaryUser(UID, UID, "")
    plan = Plan(options(data_dir), SECRETS, user)
    made = [plan.broker(), plan.mlflow(), plan.web(), plan.celery("work", "work", 2), plan.beat(), plan.demo()]
    made += plan.gateways()
    assert {spec.user for spec in made if spec} == {user}
    assert {spec.env["HOME"] for spec in made if spec} == {str(data_dir / "home")}
    agent = plan.agent()
    assert (agent.user, agent.groups) == (NOBODY_ELSE, (user.gid,))
    assert agent.env["MLORCH_AGENT_GATEWAY_GROUP"] == str(user.gid)
    assert agent.env.get("HOME") == os.environ.get("HOME")


@needs_root
def test_run_dir__with_an_ordinary_user__it_makes_sockets_there_and_has_the_temporary_folder(data_dir):
    with made_run_dir(data_dir, OrdinaryUser(UID, UID, "")):
        folder = run_dir(data_dir)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o1770
        assert (folder / "tmp").stat().st_uid == UID


@pytest.mark.parametrize(("is_warning", "mark"), [(True, "text-warning-emphasis"), (False, "card-body mb-0")])
def test_system_page__says_who_runs_what(people, settings, tmp_path, is_warning, mark):
    settings.DATA_DIR = tmp_path
    (tmp_path / "run").mkdir()
    rights = {"sentence": "Everything runs as root, not as user 7: <why>", "is_warning": is_warning}
    (tmp_path / "run" / "processes.json").write_text(json.dumps({"rights": rights, "processes": []}))
    client = Client()
    client.login(username="vik", password=PASSWORD)
    page = client.get("/system/").content.decode()
    assert "Everything runs as root, not as user 7: &lt;why&gt;." in page
    assert mark in page


@needs_root
@pytest.mark.e2e
def test_up__as_root__only_supervisor_and_agent_are_root(tmp_path):
    """First as root altogether, as before, then with an ordinary user on the same data directory."""
    with short_folder() as folder:
        folder.chmod(0o711)
        with running(folder / "data", "--no-demo", variables={VARIABLE: "root"}) as product:
            people = product.credentials["people"]
            assert users(product) == {0}
        with running(folder / "data", "--no-demo", through=reachable()) as product:
            assert product.credentials["people"] == people
            assert "everything else as user 1799000000." in product.output
            assert users(product) == {UID, 0}
            rooted = {row["name"] for row in rows(product) if 0 in psutil.Process(row["pid"]).uids()}
            assert rooted == {"agent"}
            assert product.answers(f"{product.web}/readyz")
            assert stat.S_IMODE((product.data_dir / "credentials.json").stat().st_mode) == 0o600


def rows(product) -> list[dict]:
    return json.loads((product.data_dir / "run" / "processes.json").read_text())["processes"]


def users(product) -> set[int]:
    return {psutil.Process(row["pid"]).uids().real for row in rows(product)}
