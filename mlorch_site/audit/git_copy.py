"""Checkpoints in a git repository: a branch of their own, on which each sending is a commit, and a file per day.

Commits are made from git's objects. Files of a working tree, hooks, filters and other people's settings take no part,
so that nothing in the repository is carried out.
"""

import os
import re
import signal
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from mlorch_site.audit.checkpoints import SERIES_HEX_CHARS, read_checkpoint
from mlorch_site.lib.errors import Unavailable

BRANCH = "refs/heads/audit-checkpoints"
FETCHED = "refs/mlorch/audit-checkpoints"  # what the remote repository has
SENT_AT_ONCE = 500
GIT_TIMEOUT_S = 20
REMOTE_TIMEOUT_S = 60
SAID_MAX_CHARS = 300
DAY_CHARS = len("2026-01-31")
OURS = re.compile(rf"[0-9a-f]{{{SERIES_HEX_CHARS}}}/[-\d]{{{DAY_CHARS}}}\.jsonl")  # others may keep things there too
PASSED_ON = ("PATH", "HOME", "SSH_AUTH_SOCK")
ALONE = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "true",
    "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
    "GIT_ALLOW_PROTOCOL": "file:https:ssh",
    "GIT_OPTIONAL_LOCKS": "0",
    "LC_ALL": "C",
}
SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "commit.gpgSign=false",
    "gc.auto=0",
    "maintenance.auto=0",
)
COMMITTER = {
    "GIT_AUTHOR_NAME": "mlorch",
    "GIT_AUTHOR_EMAIL": "audit@mlorch.invalid",
    "GIT_COMMITTER_NAME": "mlorch",
    "GIT_COMMITTER_EMAIL": "audit@mlorch.invalid",
}


@dataclass(frozen=True)
class GitCopy:
    """A repository in a folder of this machine, which is made when it is missing; pushed to a remote one if given."""

    folder: Path
    remote: str = ""
    kind = "git"
    keeps = True
    at_once = SENT_AT_ONCE

    @property
    def address(self) -> str:
        return f"{self.folder}\n{self.remote}"

    @property
    def label(self) -> str:
        return f"git in {self.folder}" + (f", pushed to {_without_secret(self.remote)}" if self.remote else "")

    def send(self, series: str, lines: list[bytes]) -> None:
        git = self._repository()
        if self.remote:
            git.catch_up(self.remote)
        parent = git.commit_of(BRANCH)
        changed = self._changed_files(git, parent, series, lines)
        if changed:
            self._commit(git, parent, changed, lines[-1])
        if self.remote:
            git.run(
                "push", "--no-verify", "--quiet", "--", self.remote, f"{BRANCH}:{BRANCH}", timeout_s=REMOTE_TIMEOUT_S
            )

    def _changed_files(self, git: "Repository", parent: str, series: str, lines: list[bytes]) -> dict[str, bytes]:
        days: dict[str, list[bytes]] = defaultdict(list)
        for line in lines:
            days[read_checkpoint(line).at[:DAY_CHARS]].append(line)
        changed = {}
        for day, wanted in days.items():
            path = f"{series}/{day}.jsonl"
            there = git.content_of(parent, path)
            known = set(there.splitlines())
            if missing := [line for line in wanted if line not in known]:
                changed[path] = there + b"".join(line + b"\n" for line in missing)
        return changed

    def _commit(self, git: "Repository", parent: str, files: dict[str, bytes], newest: bytes) -> None:
        checkpoint = read_checkpoint(newest)
        tree = git.tree_with(parent, files)
        moment = {"GIT_AUTHOR_DATE": checkpoint.at, "GIT_COMMITTER_DATE": checkpoint.at}
        above = ["-p", parent] if parent else []
        message = f"Audit checkpoint: {checkpoint.size} records"
        made = git.run("commit-tree", *above, "-m", message, tree, env=moment).decode().strip()
        git.run("update-ref", BRANCH, made, parent or "0" * len(made))

    def read(self, known: Collection[str]) -> dict[str, list[bytes]]:
        """What the remote repository holds if there is one, and the folder otherwise."""
        git = self._repository()
        if self.remote:
            commit = git.commit_of(FETCHED) if git.fetch(self.remote) else ""
        else:
            commit = git.commit_of(BRANCH)
        found: dict[str, list[bytes]] = defaultdict(list)
        for path in filter(OURS.fullmatch, git.paths(commit)):
            found[path.partition("/")[0]] += git.content_of(commit, path).splitlines()
        return dict(found)

    def _repository(self) -> "Repository":
        folder = self.folder / ".git" if (self.folder / ".git").exists() else self.folder
        try:
            if not (folder / "HEAD").is_file():
                self._make(folder)
            if folder.stat().st_uid != os.geteuid():
                raise Unavailable(f"{folder} belongs to another user, whose settings git would follow.")
        except OSError as error:
            raise Unavailable(f"{folder} cannot be used ({type(error).__name__}).") from error
        return Repository(folder)

    def _make(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise Unavailable(f"{folder} is no git repository, and not empty: name another folder, or clear it.")
        Repository(folder).run("init", "--bare", "--quiet", "--template=", str(folder))


def _without_secret(remote: str) -> str:
    scheme, mark, rest = remote.rpartition("://")
    return scheme + mark + rest.rpartition("@")[2]


@dataclass(frozen=True)
class Repository:
    """Calls of git on one repository."""

    folder: Path

    def commit_of(self, reference: str) -> str:
        """The commit that a reference names, empty when there is no such reference."""
        found = self.run("for-each-ref", "--format=%(objectname)", reference)
        return found.decode().strip()

    def fetch(self, remote: str) -> bool:
        """Bring what the remote repository has; whether it has the branch."""
        if not self.run("ls-remote", "--", remote, BRANCH, timeout_s=REMOTE_TIMEOUT_S).strip():
            return False
        command = ("fetch", "--quiet", "--no-tags", "--force", "--no-write-fetch-head", "--no-recurse-submodules")
        self.run(*command, "--", remote, f"{BRANCH}:{FETCHED}", timeout_s=REMOTE_TIMEOUT_S)
        return True

    def catch_up(self, remote: str) -> None:
        """Take over what the remote repository has besides, when the folder is new or was restored from a backup."""
        if not self.fetch(remote):
            return
        ours, theirs = self.commit_of(BRANCH), self.commit_of(FETCHED)
        if not ours or not self.run("rev-list", "-1", ours, f"^{theirs}"):
            self.run("update-ref", BRANCH, theirs, ours)

    def paths(self, commit: str) -> list[str]:
        """The files of a commit by name; none without a commit."""
        if not commit:
            return []
        return sorted(self.run("ls-tree", "-r", "-z", "--name-only", commit).decode().strip("\0").split("\0"))

    def content_of(self, commit: str, path: str) -> bytes:
        """A file of a commit; empty when it has none of that name."""
        if not commit or not self.run("ls-tree", commit, path):
            return b""
        return self.run("cat-file", "blob", f"{commit}:{path}")

    def tree_with(self, parent: str, files: dict[str, bytes]) -> str:
        """The tree of `parent` with these files changed."""
        with tempfile.TemporaryDirectory(prefix="audit-") as folder:
            env = {"GIT_INDEX_FILE": f"{folder}/index"}
            if parent:
                self.run("read-tree", parent, env=env)
            for path, content in files.items():
                blob = self.run("hash-object", "-w", "--no-filters", "--stdin", given=content).decode().strip()
                self.run("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", env=env)
            return self.run("write-tree", env=env).decode().strip()

    def run(
        self,
        *arguments: str,
        given: bytes = b"",
        env: dict[str, str] | None = None,
        timeout_s: int = GIT_TIMEOUT_S,
    ) -> bytes:
        """What git answers to a command. Raises Unavailable with what it says when it fails or takes too long."""
        passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        command = ["git", f"--git-dir={self.folder}", *(part for name in SETTINGS for part in ("-c", name)), *arguments]
        try:
            process = subprocess.Popen(
                command,
                env=passed_on | ALONE | COMMITTER | (env or {}),
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise Unavailable(f"git cannot be run ({type(error).__name__}): is it installed?") from error
        said, complaint = _answer(process, given, arguments[0], timeout_s)
        if process.returncode:
            reason = " ".join(complaint.decode(errors="replace").split())[:SAID_MAX_CHARS]
            raise Unavailable(f"git {arguments[0]} failed: {reason or process.returncode}")
        return said


def _answer(process: subprocess.Popen[bytes], given: bytes, verb: str, timeout_s: int) -> tuple[bytes, bytes]:
    try:
        return process.communicate(given, timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        os.killpg(process.pid, signal.SIGKILL)  # with the ssh or helper that it waits for
        process.communicate()
        raise Unavailable(f"git {verb} took longer than {timeout_s} s.") from error
