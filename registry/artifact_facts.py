"""What the files of a version say about it: signature, flavours, requirements, input example.

Reads text, never loads a model.
"""

import json
import math
import re
from pathlib import Path
from typing import Any

import yaml

TEXT_MAX_BYTES = 256 * 1024
EXAMPLE_MAX_BYTES = 64 * 1024
OUTPUT_EXAMPLE = "serving_output_example.json"
OUTPUT_MAX_BYTES = 1024 * 1024
README_MAX_BYTES = 64 * 1024
REQUIREMENTS_MAX = 500
BUILD_REQUIREMENTS_MAX = 20
FLAVORS_MAX = 30
DEPTH_MAX = 30


def read_text(path: Path, limit: int = TEXT_MAX_BYTES) -> str:
    """A small text file, empty when it is missing, too large or not UTF-8."""
    try:
        if path.stat().st_size > limit:
            return ""
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def mlmodel_of(root: Path) -> dict[str, Any]:
    """The MLmodel file as data, empty when it is not a mapping."""
    try:
        value = yaml.safe_load(read_text(root / "MLmodel")) or {}
    except (yaml.YAMLError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def artifact_facts(root: Path) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return (facts for `Version.evidence`, signature or None) of the artifacts under `root`."""
    mlmodel = mlmodel_of(root)
    raw = mlmodel.get("flavors")
    flavors: dict[str, Any] = raw if isinstance(raw, dict) else {}
    python = flavors.get("python_function", {}) if isinstance(flavors.get("python_function"), dict) else {}
    facts = {
        "flavors": sorted(_word(name, 60) for name in flavors)[:FLAVORS_MAX],
        "requirements": _requirements(root),
        "build_requirements": _build_requirements(root),
        "python": _word(python.get("python_version"), 20),
        "input_example": _input_example(root, mlmodel),
        "mlflow_version": _word(mlmodel.get("mlflow_version"), 20),
        "readme": read_text(root / "README.md", README_MAX_BYTES).replace("\0", ""),
    }
    return facts, _signature(mlmodel)


def _word(value: Any, limit: int) -> str:
    """A scalar as text.

    Anything nested is dropped: YAML's aliases can make a small file huge when it is spelled out.
    """
    return str(value).replace("\0", "")[:limit] if isinstance(value, str | int | float) else ""


def storable(value: Any, depth: int = 0) -> Any:
    """JSON data as every database takes it: no NaN or infinity (null instead), no NUL in texts.

    Raises ValueError when it is nested too deep.
    """
    if depth > DEPTH_MAX:
        raise ValueError("nested too deep")
    if isinstance(value, dict):
        return {storable(key, depth + 1): storable(part, depth + 1) for key, part in value.items()}
    if isinstance(value, list):
        return [storable(part, depth + 1) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    return value


def _json(text: str) -> Any:
    """Return `text` as storable JSON data. Raises ValueError."""
    try:
        return storable(json.loads(text))
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _requirements(root: Path) -> list[str]:
    lines = [line.strip() for line in read_text(root / "requirements.txt").splitlines()]
    return [line[:300].replace("\0", "") for line in lines if line and not line.startswith("#")][:REQUIREMENTS_MAX]


def _build_requirements(root: Path) -> list[str]:
    """What MLflow installs before the requirements, without pip: an environment is built without it."""
    try:
        value = yaml.safe_load(read_text(root / "python_env.yaml")) or {}
    except (yaml.YAMLError, RecursionError):
        return []
    lines = value.get("build_dependencies") if isinstance(value, dict) else None
    words = [_word(line, 300).strip() for line in lines] if isinstance(lines, list) else []
    return [word for word in words if word and not re.match(r"pip\b", word)][:BUILD_REQUIREMENTS_MAX]


def _input_example(root: Path, mlmodel: dict[str, Any]) -> Any:
    """The payload a client would send for the version's input example, None when it has none."""
    for name in ("serving_input_example.json", "input_example.json"):
        text = read_text(root / name, EXAMPLE_MAX_BYTES)
        if not text:
            continue
        try:
            value = _json(text)
        except ValueError:
            continue
        if name == "input_example.json":
            value = {"dataframe_split": value} if isinstance(value, dict) and "data" in value else {"inputs": value}
        return value
    return None


def recorded_output(root: Path) -> tuple[bool, Any]:
    """Whether the version records what its input example is answered with, and the predictions. Raises ValueError for
    a record that cannot be read.
    """
    path = root / OUTPUT_EXAMPLE
    if not path.exists():
        return False, None
    text = read_text(path, OUTPUT_MAX_BYTES)
    value = _json(text) if text else None
    if not isinstance(value, dict) or "predictions" not in value:
        raise ValueError(f"{OUTPUT_EXAMPLE} holds no predictions")
    return True, value["predictions"]


def _signature(mlmodel: dict[str, Any]) -> dict[str, Any] | None:
    raw = mlmodel.get("signature")
    if not isinstance(raw, dict):
        return None
    signature: dict[str, Any] = {}
    for part in ("inputs", "outputs", "params"):
        try:
            value = _json(str(raw.get(part))) if isinstance(raw.get(part), str) else None
        except ValueError:
            value = None
        is_columns = isinstance(value, list) and all(isinstance(column, dict) for column in value)
        signature[part] = value if is_columns else None
    return signature
