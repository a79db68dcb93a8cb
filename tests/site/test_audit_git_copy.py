"""Checkpoints in git repositories."""

import json
import subprocess

import pytest

from mlorch_site.audit import git_copy
from mlorch_site.audit.checkpointing import checkpoint_write
from mlorch_site.audit.copy_delivery import copies_send, copy_standings
from mlorch_site.audit.models import AuditHead, CopyDelivery
from mlorch_site.audit.verification import verify
from mlorch_site.lib import clock
from tests.support.checkpoint_places import checkpoints
from tests.support.tampering import rewrite

BRANCH = "audit-checkpoints"


@pytest.fixture(autouse=True)
def folder(db, settings, tmp_path):
    settings.DATA_DIR, settings.AUDIT_CHECKPOINT_DIR = tmp_path, str(tmp_path / "audit")
    settings.AUDIT_COPY_GIT = str(tmp_path / "copy")
    return tmp_path / "copy"


def git(place, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=place, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def remote(settings, tmp_path):
    place = tmp_path / "remote"
    git(tmp_path, "init", "--quiet", "--bare", str(place))
    settings.AUDIT_COPY_GIT_PUSH = f"file://{place}"
    return place


def send() -> str:
    """Send what is due, and the error there was."""
    CopyDelivery.objects.update(next_attempt_at=clock.now())
    copies_send(now=clock.now())
    return copy_standings()[0].last_error


def sizes_in(place) -> list[int]:
    paths = git(place, "ls-tree", "-r", "--name-only", BRANCH).split()
    lines = [line for path in paths for line in git(place, "show", f"{BRANCH}:{path}").splitlines()]
    return [json.loads(line)["size"] for line in lines]


def test_git_copy__commits_each_checkpoint_under_its_day(folder, time_machine):
    time_machine.move_to("2026-03-01T23:59:00Z", tick=False)
    checkpoints(2)
    assert send() == ""
    time_machine.move_to("2026-03-02T00:01:00Z", tick=False)
    checkpoints(1)
    assert send() == ""

    days = [path.split("/")[1] for path in git(folder, "ls-tree", "-r", "--name-only", BRANCH).split()]
    assert days == ["2026-03-01.jsonl", "2026-03-02.jsonl"]
    assert sizes_in(folder) == [1, 2, 3]
    said = git(folder, "log", "--format=%an <%ae> %cI %s", BRANCH).splitlines()
    assert said[0] == "mlorch <audit@mlorch.invalid> 2026-03-02T00:01:00+00:00 Audit checkpoint: 3 records"
    assert len(said) == 2


def test_git_copy__whose_row_is_lost__commits_nothing_twice(folder):
    checkpoints(3)
    send()
    before = git(folder, "rev-parse", BRANCH)
    CopyDelivery.objects.all().delete()

    assert send() == ""
    assert git(folder, "rev-parse", BRANCH) == before


def test_git_copy__repository_of_somebody_s__keeps_its_branches_and_files_and_runs_none_of_its_hooks(folder, tmp_path):
    git(tmp_path, "init", "--quiet", "--initial-branch=main", str(folder))
    ran = tmp_path / "ran"
    for name in ("pre-commit", "commit-msg", "post-commit", "reference-transaction", "pre-push", "post-index-change"):
        hook = folder / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {ran}\n")
        hook.chmod(0o755)
    git(folder, "config", "filter.all.clean", f"touch {ran}")
    git(folder, "config", "core.fsmonitor", f"touch {ran}")
    (folder / ".git" / "info").mkdir(exist_ok=True)
    (folder / ".git" / "info" / "attributes").write_text("* filter=all\n")
    (folder / "notes.txt").write_text("of somebody's")
    checkpoints(1)

    assert send() == ""
    assert not ran.exists()
    assert sizes_in(folder) == [1]
    assert sorted(path.name for path in folder.iterdir()) == [".git", "notes.txt"]


def test_git_copy__environment_that_points_elsewhere__is_not_followed(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path / "objects"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.name")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "somebody else")
    checkpoints(1)

    assert send() == ""
    assert not (tmp_path / "objects").exists()
    monkeypatch.undo()
    assert git(folder, "log", "--format=%an", BRANCH) == "mlorch"


def test_git_copy__is_pushed(folder, remote):
    checkpoints(2)
    assert send() == ""
    checkpoints(1)
    assert send() == ""

    assert sizes_in(remote) == [1, 2, 3]


def test_git_copy__folder_lost__goes_on_from_what_was_pushed(folder, remote):
    checkpoints(2)
    send()
    folder.rename(folder.with_name("gone"))
    checkpoints(1)

    assert send() == ""
    assert sizes_in(remote) == [1, 2, 3]


def test_git_copy__remote_away__is_an_error_until_it_is_back(folder, remote):
    remote.rename(remote.with_name("away"))
    checkpoints(1)
    assert send().startswith("git ls-remote failed: ")
    remote.with_name("away").rename(remote)

    assert send() == ""
    assert sizes_in(remote) == [1]


@pytest.mark.parametrize(
    "address", ["ext::sh -c 'touch ran' ", "git://localhost/x", "http://localhost/x", "--upload-pack=x"]
)
def test_git_copy__remote_of_another_protocol__is_refused(folder, settings, address):
    settings.AUDIT_COPY_GIT_PUSH = address
    checkpoints(1)

    assert "failed" in send()
    assert not (folder / "ran").exists()


def test_git_copy__remote_that_does_not_answer__is_ended_in_time(folder, settings, monkeypatch, tmp_path):
    (tmp_path / "ssh").write_text("#!/bin/sh\nexec cat\n")
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(git_copy, "REMOTE_TIMEOUT_S", 1)
    settings.AUDIT_COPY_GIT_PUSH = "ssh://nobody@localhost/x"
    checkpoints(1)

    assert send() == "git ls-remote took longer than 1 s."


def test_git_copy__folder_of_other_things__is_refused(folder):
    folder.mkdir()
    (folder / "something").write_text("")
    checkpoints(1)

    assert "is no git repository, and not empty" in send()


def test_git_copy__password_in_the_address__is_not_shown(folder, settings):
    settings.AUDIT_COPY_GIT_PUSH = "https://user:secret@git.example/x"

    assert copy_standings()[0].label == f"git in {folder}, pushed to https://git.example/x"


def test_verify__record_and_file_written_anew__what_was_pushed_tells(folder, remote, tmp_path):
    checkpoints(3)
    send()
    rewrite()
    (tmp_path / "audit" / "checkpoints.jsonl").unlink()
    AuditHead.objects.update(checkpoint_size=0)
    checkpoint_write(now=clock.now())

    assert verify().problem.endswith(f"they were rewritten, as git in {folder}, pushed to file://{remote} shows.")


def test_verify__copy_that_cannot_be_read__is_said(remote):
    checkpoints(1)
    send()
    remote.rename(remote.with_name("away"))

    assert verify().holds
    assert "could not be read and was not compared: git ls-remote failed" in verify().note
