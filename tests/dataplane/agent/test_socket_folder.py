"""The folder of the workers' sockets may lie where everybody can make one; it is used only when it is ours."""

import os
import stat
from pathlib import Path

import pytest

from dataplane.agent.worker_channels import make_folder


def test_make_folder__missing_or_ours__is_made_and_closed_to_others(tmp_path: Path) -> None:
    for _ in range(2):
        make_folder(tmp_path / "sockets", 0)

    assert stat.S_IMODE((tmp_path / "sockets").stat().st_mode) & 0o077 == 0


def test_make_folder__of_somebody_else_or_a_link__is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(PermissionError, match="belongs to somebody else"):
        make_folder(tmp_path / "link", 0)
    own = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: own + 1)
    with pytest.raises(PermissionError, match="belongs to somebody else"):
        make_folder(tmp_path / "theirs", 0)
