"""What the serving benchmark needs to know of a server: how it is installed and started, what it is asked and what it
answers.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

SERVED = Path(__file__).resolve().parent / "served"
type_Rows = list[list[float]]


@dataclass(frozen=True)
class Setting:
    """The one model, in the forms that servers take, and where a server may write."""

    columns: list[str]
    artifacts: Path
    pickle: Path
    folder: Path

    def within(self, folder: Path) -> "Setting":
        """The same setting with another folder to write to."""
        return replace(self, folder=folder)


@dataclass(frozen=True)
class Peer:
    """A server. `command` and `environment` are made of (setting, interpreter, port); `body` of rows; `predictions` of
    an answer.

    Without `requirements` it runs in mlorch's own environment.
    """

    name: str
    requirements: tuple[str, ...]
    command: Callable[[Setting, Path, int], list[str]]
    path: str
    body: Callable[[Setting, type_Rows], Any]
    predictions: Callable[[Any], list[int]]
    environment: Callable[[Setting], dict[str, str]] = field(default=lambda setting: {})


def records_split(setting: Setting, rows: type_Rows) -> Any:
    """Rows as MLflow's scoring protocol takes them."""
    return {"dataframe_split": {"columns": setting.columns, "data": rows}}


def column_tensors(setting: Setting, rows: type_Rows) -> Any:
    """Rows as OIP v2 takes a table: one tensor per column."""
    columns = zip(*rows, strict=True)
    tensors = [
        {"name": name, "shape": [len(rows), 1], "datatype": "FP64", "data": list(values)}
        for name, values in zip(setting.columns, columns, strict=True)
    ]
    return {"parameters": {"content_type": "pd"}, "inputs": tensors}


def encoded(body: Any) -> str:
    """A body as JSON without needless blanks, as clients of such servers send it."""
    return json.dumps(body, separators=(",", ":"))
