"""Where a run lives: one installation never clears what another one runs, wherever both lie."""

import os
import socket
import tempfile
from pathlib import Path

import pytest

from dataplane.scratch import run_folder as folders
from dataplane.scratch.config import ScratchConfig
from dataplane.scratch.run_folder import NotOurs, run_folder


def config(data_dir: Path, run: str = "run") -> ScratchConfig:
    own = ("scratch", "here", "", "", data_dir, 1.0, True, os.environ["PATH"])
    return ScratchConfig(*own, run=run)


def deep(tmp_path: Path, name: str) -> Path:
    """A data directory in which no socket fits."""
    made = tmp_path / ("d" * 90) / name
    made.mkdir(parents=True)
    return made


def test_run_folder__two_installations_with_long_paths__leave_each_other_alone(tmp_path: Path) -> None:
    with run_folder(config(deep(tmp_path, "one"))) as one, run_folder(config(deep(tmp_path, "other"))) as other:
        assert one.is_dir()
        assert other.is_dir()
        assert one.parent != other.parent
    assert not one.parent.exists()


def test_run_folder__temporary_folder_too_long_as_well__sockets_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(deep(tmp_path, "temporary")))
    with run_folder(config(deep(tmp_path, "one"))) as one, socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(one / "w.sock"))
    assert not one.parent.exists()


def test_run_folder__second_run_of_one_installation__leaves_the_first_alone(tmp_path: Path) -> None:
    with run_folder(config(tmp_path, "1")) as first, run_folder(config(tmp_path, "2")):
        assert first.is_dir()
    left = config(tmp_path, "3").runs / "killed"
    left.mkdir(parents=True)
    with run_folder(config(tmp_path, "4")):
        assert not left.exists()


def test_run_folder__environments__the_oldest_and_what_builds_left_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "KEPT_MAX", 2)
    root = config(tmp_path).environments
    for age, name in enumerate(("new", "older", "oldest", ".key.123", ".cache")):
        (root / name).mkdir(parents=True)
        os.utime(root / name, (1_000_000 - age, 1_000_000 - age))
    with run_folder(config(tmp_path)):
        assert sorted(path.name for path in root.iterdir()) == [".cache", "new", "older"]


def test_run_folder__of_somebody_else__is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # what is refused is not cleared either
    with pytest.raises(NotOurs), run_folder(config(tmp_path)):
        pass
