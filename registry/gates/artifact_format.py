"""Whether reading a version's files runs code, and which: for the people who approve it.

A scanner can be fooled, so what it finds is a warning for people; that code runs only in the isolated worker is what
protects. What is not known is never a pass.
"""

from registry import artifacts
from registry.artifact_reader import FileReading
from registry.artifact_reading import NotRead, readings_of
from registry.gates.base import Found, GateInput, failed, passed, warned
from registry.lifecycle import GateOutcome

LABEL = "Files that run code"
HELP = "Whether reading the version's files runs code, and which. A warning for people: the sandbox is what protects."
LOOKS_AT = ("digest",)
DEADLINE_S = 300

NAMED_MAX = 50
SAID_MAX = 3
KNOWN_ROOTS = frozenset(
    {"sklearn", "numpy", "scipy", "pandas", "collections", "copyreg", "xgboost", "lightgbm", "_codecs"}
)
KNOWN_BUILTINS = frozenset(
    {"bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "object", "range", "set"}
    | {"slice", "str", "tuple", "type"}
)


def check(given: GateInput) -> Found:
    if not given.version.digest:
        return failed("The artifacts are not known, so their files cannot be looked at.")
    root = artifacts.path_of(given.version.digest)
    if not root.is_dir():
        return failed("The artifacts are not in the store, so their files cannot be looked at.")
    try:
        found = readings_of(root)
    except NotRead as error:
        return Found(GateOutcome.ERROR, error.message)
    running = found.running
    if not running:
        return passed("No file of the version runs code when it is read.", looked_at=found.looked_at)
    foreign = sorted({name for reading in running for name in reading.imports if not _is_known(name)})
    said = "; ".join(_said(reading) for reading in running[:SAID_MAX])
    more = f"; and {len(running) - SAID_MAX} more files" if len(running) > SAID_MAX else ""
    return warned(
        f"{said}{more}.",
        files=[reading.path for reading in running][:NAMED_MAX],
        unknown=[reading.path for reading in running if not reading.is_known][:NAMED_MAX],
        imports=foreign[:NAMED_MAX],
    )


def _said(reading: FileReading) -> str:
    foreign = sorted(name for name in reading.imports if not _is_known(name))
    imports = f", and it imports {foreign[0]}" if foreign else ""
    return f"{reading.path} {reading.sentence}{imports}"


def _is_known(name: str) -> bool:
    root, _, rest = name.partition(".")
    return rest in KNOWN_BUILTINS if root in ("builtins", "__builtin__") else root in KNOWN_ROOTS
