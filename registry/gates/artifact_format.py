"""Which files can run code when they are loaded. Pickles are read opcode by opcode, never loaded.

A scanner can be fooled, so what it finds is a warning for people; that code runs only in the isolated worker is what
protects.
"""

import pickletools
from pathlib import Path

from registry import artifacts
from registry.gates.base import Found, GateInput, failed, passed, warned

PICKLE_SUFFIXES = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".bin")
READ_MAX_BYTES = 64 * 1024 * 1024
KNOWN_ROOTS = frozenset(
    {"sklearn", "numpy", "scipy", "pandas", "collections", "copyreg", "xgboost", "lightgbm", "_codecs"}
)
KNOWN_BUILTINS = frozenset(
    {"bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "object", "range", "set"}
    | {"slice", "str", "tuple", "type"}
)
IMPORTS = ("GLOBAL", "INST")
TEXTS = ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE")
PUTS = ("BINPUT", "LONG_BINPUT", "PUT")
GETS = ("BINGET", "LONG_BINGET", "GET")


def check(given: GateInput) -> Found:
    if not given.version.digest:
        return failed("The artifacts are not known, so their files cannot be looked at.")
    root = artifacts.path_of(given.version.digest)
    pickles = [path for path in sorted(root.rglob("*")) if path.suffix in PICKLE_SUFFIXES and path.is_file()]
    if not pickles:
        return passed("No file of the version runs code when it is read.")
    foreign = sorted({name for path in pickles for name in imports_of(path) if not _is_known(name)})
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


def _is_known(name: str) -> bool:
    root, _, rest = name.partition(".")
    return rest in KNOWN_BUILTINS if root in ("builtins", "__builtin__") else root in KNOWN_ROOTS


def imports_of(path: Path) -> set[str]:
    """The modules that a pickle names, as `module.name`; an unreadable one gives `unreadable`."""
    try:
        data = path.read_bytes() if path.stat().st_size <= READ_MAX_BYTES else b""
        return _imports(data) if data else {"unreadable"}
    except Exception:  # what pickletools raises for broken files is not documented
        return {"unreadable"}


def _imports(data: bytes) -> set[str]:
    """Walk the opcodes. Names come as texts off the stack or, from their second use on, out of the memo."""
    found: set[str] = set()
    texts: list[str] = []
    memo: dict[int, str] = {}
    last = ""
    for opcode, argument, _ in pickletools.genops(data):
        name = opcode.name
        if name in TEXTS:
            last = str(argument)
            texts.append(last)
        elif name in PUTS or name == "MEMOIZE":
            memo[len(memo) if name == "MEMOIZE" else int(argument or 0)] = last
            continue
        elif name in GETS:
            texts.append(memo.get(int(argument or 0), ""))
        elif name == "STACK_GLOBAL" and len(texts) >= 2:
            found.add(f"{texts[-2]}.{texts[-1]}")
        elif name in IMPORTS and argument:
            found.add(str(argument).replace(" ", "."))
        if name not in TEXTS:
            last = ""
    return found
