"""`python -m registry.artifact_reader QUESTION FOLDER`: what a version's files say, as JSON on standard output.

It runs in a sandbox (`registry.artifact_reading`) and imports neither Django nor anything that loads models. The shapes
are those in which its answer is read: whoever got hold of this process may write what they like.
"""

import resource
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from registry.artifact_facts import (
    BUILD_REQUIREMENTS_MAX,
    FLAVORS_MAX,
    README_MAX_BYTES,
    REQUIREMENTS_MAX,
    artifact_facts,
    recorded_output,
)
from registry.code_in_files import readings

CPU_MAX_S = 100  # also when nobody waits for the answer any more
READINGS_MAX = 20_000  # as many files as a version may have
IMPORTS_MAX = 1_000
PATH_MAX_CHARS = 4_096
NAME_MAX_CHARS = 400

FilePath = Annotated[str, Meta(max_length=PATH_MAX_CHARS)]
Word = Annotated[str, Meta(max_length=60)]
Line = Annotated[str, Meta(max_length=300)]
Name = Annotated[str, Meta(max_length=NAME_MAX_CHARS)]


class FileReading(Struct, forbid_unknown_fields=True):
    """What reading one file runs, as `code_in_files.Reading` says it."""

    path: FilePath
    sentence: Annotated[str, Meta(max_length=500)]
    is_known: bool
    imports: Annotated[list[Name], Meta(max_length=IMPORTS_MAX)]


class Readings(Struct, forbid_unknown_fields=True):
    """The files whose reading runs something, and how many were looked at."""

    looked_at: Annotated[int, Meta(ge=0, le=2 * READINGS_MAX)]
    running: Annotated[list[FileReading], Meta(max_length=2 * READINGS_MAX)]


class Facts(Struct, forbid_unknown_fields=True):
    """The keys of `artifact_facts`."""

    flavors: Annotated[list[Word], Meta(max_length=FLAVORS_MAX)]
    requirements: Annotated[list[Line], Meta(max_length=REQUIREMENTS_MAX)]
    build_requirements: Annotated[list[Line], Meta(max_length=BUILD_REQUIREMENTS_MAX)]
    python: Word
    input_example: Any
    mlflow_version: Word
    readme: Annotated[str, Meta(max_length=README_MAX_BYTES)]


class SignatureAnswer(Struct, forbid_unknown_fields=True):
    """The columns that a version takes and gives."""

    inputs: list[dict[str, Any]] | None
    outputs: list[dict[str, Any]] | None
    params: list[dict[str, Any]] | None


class FactsAnswer(Struct, forbid_unknown_fields=True):
    """Facts with the signature where there is one."""

    facts: Facts
    signature: SignatureAnswer | None


class ExampleOutput(Struct, forbid_unknown_fields=True):
    """The predictions that were recorded for the input example, where a file says so."""

    is_there: bool
    predictions: Any


def facts(folder: Path) -> FactsAnswer:
    """What the files of a version say about it."""
    found, signature = artifact_facts(folder)
    return msgspec.convert({"facts": found, "signature": signature}, FactsAnswer)


def code(folder: Path) -> Readings:
    """What reading the files runs."""
    found = readings(folder)
    running = [
        FileReading(one.path, one.sentence, one.is_known, sorted(name[:NAME_MAX_CHARS] for name in one.imports))
        for one in found
        if one.sentence
    ]
    return Readings(len(found), running)


def example_output(folder: Path) -> ExampleOutput:
    """What was recorded as the answer to the input example. Raises ValueError for a file that holds none."""
    return ExampleOutput(*recorded_output(folder))


QUESTIONS = {"facts": facts, "code": code, "example_output": example_output}


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_MAX_S, CPU_MAX_S))
    answer = QUESTIONS[sys.argv[1]](Path(sys.argv[2]))
    sys.stdout.buffer.write(msgspec.json.encode(answer))


if __name__ == "__main__":
    main()
