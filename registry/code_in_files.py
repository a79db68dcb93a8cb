"""What runs when a version's files are read: by what MLmodel declares and by what the files are, never by their names.

A format that is not known here is not known to be data. Sources: MLflow's MLmodel format, the pickle, NPY, safetensors,
UBJSON and zip formats.
"""

import json
import pickletools
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.artifact_facts import mlmodel_of

SNIFF_BYTES = 4096
READ_MAX_BYTES = 64 * 1024 * 1024
MEMBERS_MAX = 2000
SAFETENSORS_HEADER_MAX_BYTES = 100 * 1024 * 1024
# Loaders of MLflow that read data, or code that is found by looking at the files. Any other runs what it likes.
KNOWN_LOADERS = frozenset(
    f"mlflow.{name}"
    for name in ("sklearn", "xgboost", "lightgbm", "catboost", "onnx", "pytorch", "statsmodels", "pyfunc.model")
) | {"mlflow.pyfunc.loaders.code_model"}
PROTOCOLS = (b"\x02", b"\x03", b"\x04", b"\x05")
CALLING = frozenset(
    {"GLOBAL", "INST", "STACK_GLOBAL", "OBJ", "REDUCE", "BUILD", "NEWOBJ", "NEWOBJ_EX", "PERSID", "BINPERSID"}
)
PICTURES = (b"\x89PNG\r\n", b"\xff\xd8\xff")
TEXT_CONTROL = frozenset(range(32)) - {9, 10, 13}


@dataclass(frozen=True)
class Reading:
    """What reading one file does. `sentence` is empty for data; `is_known` is False for a format that nobody knows
    here.
    """

    path: str
    sentence: str = ""
    is_known: bool = True
    imports: frozenset[str] = frozenset()


def readings(root: Path) -> list[Reading]:
    """What reading the files under `root` does: first what MLmodel declares, then file by file, sorted by path."""
    files = [path for path in sorted(root.rglob("*")) if path.is_symlink() or path.is_file()]
    declared = list(_declared(mlmodel_of(root)))
    told = {reading.path for reading in declared}
    found = [_of_file(path, path.relative_to(root).as_posix()) for path in files]
    return [*declared, *(reading for reading in found if reading.imports or reading.path not in told)]


def _declared(mlmodel: dict[str, Any]) -> Iterator[Reading]:
    """Yield what the python_function flavour says that it runs."""
    flavors = mlmodel.get("flavors")
    if not isinstance(flavors, dict) or not flavors:
        yield Reading("MLmodel", "declares no flavour; what loads the version is not known", is_known=False)
        return
    flavor = flavors.get("python_function")
    if not isinstance(flavor, dict):
        return
    loader = str(flavor.get("loader_module", ""))
    if code := flavor.get("model_code_path"):
        # MLflow notes where the file came from; among the artifacts it lies under its name alone.
        yield Reading(
            re.split(r"[\\/]", str(code))[-1][:200], "is the model itself, as Python code, and runs when it is loaded"
        )
    elif flavor.get("python_model"):
        yield Reading(
            str(flavor["python_model"])[:200], "is a Python object of the model's own class, and runs when it is loaded"
        )
    if flavor.get("code"):
        yield Reading(
            str(flavor["code"])[:200], "is Python code that comes with the version, and can run when it is loaded"
        )
    if loader not in KNOWN_LOADERS:
        yield Reading(
            "MLmodel",
            f"names {loader[:100] or 'no module'} as what loads the version; that can run anything",
            is_known=False,
        )


def _of_file(path: Path, name: str) -> Reading:
    if path.is_symlink():
        return Reading(name, "is a link to something else", is_known=False)
    try:
        with path.open("rb") as file:
            start = file.read(SNIFF_BYTES)
        return next(
            (found for look in _LOOKS if (found := look(path, name, start))),
            Reading(name, "is of a format that is not known here", is_known=False),
        )
    except OSError as error:
        return Reading(name, f"cannot be read ({type(error).__name__})", is_known=False)


def _harmless(path: Path, name: str, start: bytes) -> Reading | None:
    """Nothing, and pictures, such as plots that are logged with a model."""
    return Reading(name) if not start or start.startswith(PICTURES) else None


def _machine_code(path: Path, name: str, start: bytes) -> Reading | None:
    is_code = start.startswith((b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")) or path.suffix == ".pyc"
    return Reading(name, "is compiled code") if is_code else None


def _pickle(path: Path, name: str, start: bytes) -> Reading | None:
    """A pickle in any protocol, whatever follows its end: Python reads it up to there."""
    is_marked = start[:1] == b"\x80" and start[1:2] in PROTOCOLS
    if not is_marked and not _acts_as_pickle(path):
        return None
    return Reading(name, "is a pickle; loading it runs code", imports=frozenset(imports_of(path)))


def _acts_as_pickle(path: Path) -> bool:
    """Whether unpickling the file would come to its end and call something on the way."""
    calls = False
    try:
        with path.open("rb") as file:
            for opcode, _, _ in pickletools.genops(file):
                calls |= opcode.name in CALLING
    except MemoryError:  # it is too large to be told, which is not the same as being none
        raise
    except Exception:  # what pickletools raises for what is no pickle is not documented
        return False
    return calls


def _compressed(path: Path, name: str, start: bytes) -> Reading | None:
    kinds = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x04\x22\x4d\x18": "lz4", b"(\xb5/\xfd": "zstd"}
    kind = next((kind for magic, kind in kinds.items() if start.startswith(magic)), "")
    if not kind and start[:2] in (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"):
        kind = "zlib"
    return (
        Reading(name, f"is compressed ({kind}), as joblib compresses pickles; loading it can run code")
        if kind
        else None
    )


def _archive(path: Path, name: str, start: bytes) -> Reading | None:
    """A zip: a torch archive holds a pickle, one of skops holds a schema and arrays."""
    if not start.startswith(b"PK"):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()[: MEMBERS_MAX + 1]
            if len(members) > MEMBERS_MAX:
                return Reading(name, "is an archive with too many files to look at", is_known=False)
            has_schema = "schema.json" in members
            if has_schema and archive.getinfo("schema.json").file_size > READ_MAX_BYTES:
                return Reading(name, "is an archive whose schema is too large to look at", is_known=False)
            schema = json.loads(archive.read("schema.json")) if has_schema else None
    except (zipfile.BadZipFile, ValueError, KeyError, NotImplementedError, RuntimeError):
        return Reading(name, "is a broken archive", is_known=False)
    if any(member.endswith((".pkl", ".pickle", ".py", ".pyc")) for member in members):
        return Reading(name, "is an archive with a pickle or code in it, as PyTorch saves; loading it runs code")
    if (
        isinstance(schema, dict)
        and "__loader__" in schema
        and all(m == "schema.json" or m.endswith(".npy") for m in members)
    ):
        return Reading(name)
    return Reading(name, "is an archive of a kind that is not known here", is_known=False)


def _arrays(path: Path, name: str, start: bytes) -> Reading | None:
    if not start.startswith(b"\x93NUMPY"):
        return None
    return (
        Reading(name, "holds Python objects, as a pickle; loading it runs code")
        if b"'|O'" in start[:512]
        else Reading(name)
    )


def _safetensors(path: Path, name: str, start: bytes) -> Reading | None:
    size = int.from_bytes(start[:8], "little") if len(start) > 8 else 0
    is_one = 2 <= size <= SAFETENSORS_HEADER_MAX_BYTES and start[8:9] == b"{" and path.stat().st_size >= 8 + size
    return Reading(name) if is_one else None


def _boosters(path: Path, name: str, start: bytes) -> Reading | None:
    """XGBoost as UBJSON, CatBoost, and ONNX: a protobuf that begins with its version and the producer's name."""
    is_ubjson = start.startswith((b"{L\x00", b"{i\x07learner"))
    is_onnx = (
        start[:1] == b"\x08" and start[2:3] == b"\x12" and start[4 : 4 + start[3]].isascii()
        if len(start) > 4
        else False
    )
    return Reading(name) if is_ubjson or is_onnx or start.startswith(b"CBM1") else None


def _text(path: Path, name: str, start: bytes) -> Reading | None:
    """Text is data, unless it is Python."""
    try:
        text = start.decode("utf-8") if len(start) < SNIFF_BYTES else start.decode("utf-8", "ignore")
    except UnicodeDecodeError:
        return None
    if any(ord(letter) in TEXT_CONTROL for letter in text):
        return None
    is_code = path.suffix in (".py", ".ipynb", ".sh") or text.startswith("#!")
    return Reading(name, "is code; whether it runs depends on what loads the version") if is_code else Reading(name)


_LOOKS: "tuple[Callable[[Path, str, bytes], Reading | None], ...]" = (
    _machine_code,
    _pickle,
    _harmless,
    _compressed,
    _archive,
    _arrays,
    _boosters,
    _safetensors,
    _text,
)
TEXTS = ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE")
PUTS = ("BINPUT", "LONG_BINPUT", "PUT")
GETS = ("BINGET", "LONG_BINGET", "GET")


def imports_of(path: Path) -> set[str]:
    """The modules that a pickle names, as `module.name`; an unreadable one gives `unreadable`."""
    try:
        data = path.read_bytes() if path.stat().st_size <= READ_MAX_BYTES else b""
        return _imports(data) if data else {"unreadable"}
    except MemoryError:
        raise
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
        elif name in ("GLOBAL", "INST") and argument:
            found.add(str(argument).replace(" ", "."))
        if name not in TEXTS:
            last = ""
    return found
