"""Which files can run code when they are loaded. Pickles are read opcode by opcode, never loaded.

A scanner can be fooled, so what it finds is a warning for people; that code runs only in the isolated worker is what protects.
"""

import pickletools
from pathlib import Path

from registry import artifacts
from registry.gates.base import Found, GateInput, passed, warned

PICKLE_SUFFIXES = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".bin")
READ_MAX_BYTES = 64 * 1024 * 1024
KNOWN_ROOTS = frozenset(
    {"sklearn", "numpy", "scipy", "pandas", "collections", "builtins", "copyreg", "xgboost", "lightgbm", "_codecs"}
)
IMPORTS = ("GLOBAL", "STACK_GLOBAL", "INST")


def check(given: GateInput) -> Found:
    root = artifacts.path_of(given.version.digest)
    pickles = [path for path in sorted(root.rglob("*")) if path.suffix in PICKLE_SUFFIXES and path.is_file()]
    if not pickles:
        return passed("No file of the version runs code when it is read.")
    foreign = sorted(
        {name for path in pickles for name in imports_of(path) if name.partition(".")[0] not in KNOWN_ROOTS}
    )
    names = [path.relative_to(root).as_posix() for path in pickles]
    if foreign:
        return warned(
            f"{names[0]} is a pickle that imports {foreign[0]}; loading it runs code.",
            files=names,
            imports=foreign[:50],
        )
    return warned(
        f"{names[0]} is a pickle; loading it runs code. Prefer skops, safetensors or ONNX.", files=names, imports=[]
    )


def imports_of(path: Path) -> set[str]:
    """Return the modules that a pickle names, as `module.name`; an unreadable one gives `unreadable`."""
    try:
        data = path.read_bytes() if path.stat().st_size <= READ_MAX_BYTES else b""
        return _imports(data) if data else {"unreadable"}
    except (OSError, ValueError, IndexError, UnicodeDecodeError):
        return {"unreadable"}


def _imports(data: bytes) -> set[str]:
    found: set[str] = set()
    strings: list[str] = []
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in ("SHORT_BINUNICODE", "BINUNICODE", "UNICODE"):
            strings.append(str(argument))
        elif opcode.name == "STACK_GLOBAL" and len(strings) >= 2:
            found.add(f"{strings[-2]}.{strings[-1]}")
        elif opcode.name in IMPORTS and argument:
            found.add(str(argument).replace(" ", "."))
    return found
