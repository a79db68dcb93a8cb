"""How far the setting up of the product is, in a file that the overview page reads."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

FILE_NAME = "demo.json"


@dataclass(frozen=True)
class SetupProgress:
    """`step` counts from 1 to `total`; `error` is a sentence when a step failed and will be tried again."""

    step: int
    total: int
    sentence: str
    done: bool = False
    error: str = ""


def write(data_dir: Path, progress: SetupProgress) -> None:
    """Replace the progress file as a whole."""
    folder = data_dir / "run"
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{FILE_NAME}.{os.getpid()}"
    temporary.write_text(json.dumps(asdict(progress)))
    temporary.replace(folder / FILE_NAME)


def read(data_dir: Path) -> SetupProgress | None:
    """The progress, or None when there is no demo or the file cannot be read."""
    try:
        return SetupProgress(**json.loads((data_dir / "run" / FILE_NAME).read_text()))
    except (OSError, ValueError, TypeError):
        return None
