"""What only root may read or make, done before `manage.py` becomes the user whose files lie in the data directory."""

import os
from pathlib import Path

from mlorch_site.launch.supervisor.ordinary_user import owner_of
from mlorch_site.launch.supervisor.secrets_file import FILE_NAME

COMMAND = "backup"
_held: dict[str, bytes] = {}


def hold(arguments: list[str], data_dir: Path) -> None:
    """Before a backup: keep the secrets that are root's in mind, and give the new folder to whoever writes into it."""
    owner = owner_of(data_dir)
    if arguments[:1] != [COMMAND] or owner is None:
        return
    path = data_dir / FILE_NAME
    if path.is_file() and not path.is_symlink():
        _held[FILE_NAME] = path.read_bytes()
    for word in arguments[1:]:
        folder = Path(word)
        if not word.startswith("-") and not folder.exists():
            folder.mkdir(mode=0o700, parents=True)
            os.chown(folder, *owner)
            return


def held(name: str) -> bytes | None:
    """What was read of a file before; None when nothing had to be."""
    return _held.get(name)
