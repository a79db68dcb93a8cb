"""Wheels made by hand: packages for an installer that reaches no index."""

import zipfile
from pathlib import Path

PLATFORM = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def make_wheel(folder: Path, name: str, version: str, *, requires: tuple[str, ...] = (), size_bytes: int = 0) -> Path:
    """A wheel with one module, and as much ballast as asked for."""
    about = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{about}/WHEEL": PLATFORM,
    }
    if size_bytes:
        files[f"{name}_ballast.txt"] = "x" * size_bytes
    record = "".join(f"{path},,\n" for path in [*files, f"{about}/RECORD"])
    made = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, text in [*files.items(), (f"{about}/RECORD", record)]:
            wheel.writestr(path, text)
    return made
