"""Conventions of the house that a machine can see: sizes, clocks, environment variables, signals, who writes."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

from tests.architecture.test_layers import PACKAGES, ROOT, imports, sources

FILE_MAX, FUNCTION_MAX, CLASS_MAX, TEMPLATE_MAX, PARAMETERS_MAX = 400, 50, 250, 150, 8
DATA_PLANE = ("dataplane/gateway/", "dataplane/worker/", "dataplane/agent/", "mlorch_site/launch/demo/")
COMMANDS = ("mlorch_site/launch/bootstrap.py", "mlorch_site/launch/supervisor/", "mlorch_site/settings.py", "scripts/")


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def span(node: ast.AST) -> int:
    return node.end_lineno - node.lineno + 1  # type: ignore[attr-defined]


def test_sizes__files_functions_classes_templates__below_the_alarm():
    wrong = []
    for path in sources(*PACKAGES, "tests"):
        text = path.read_text()
        if len(text.splitlines()) > FILE_MAX:
            wrong.append(f"{relative(path)}: file")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                # The parameters of an inserted row are one per line; what counts is what a reader must hold in mind.
                if span(node) > FUNCTION_MAX:
                    wrong.append(f"{relative(path)}: {node.name} {span(node)} lines")
            elif isinstance(node, ast.ClassDef) and span(node) > CLASS_MAX:
                wrong.append(f"{relative(path)}: {node.name} {span(node)} lines")
    for path in (ROOT / "templates").rglob("*.html"):
        if len(path.read_text().splitlines()) > TEMPLATE_MAX:
            wrong.append(f"{relative(path)}: template")
    assert wrong == []


def test_signals__nobody_listens():
    wrong = [
        relative(path) for path in sources(*PACKAGES) if imports(path) & {"django.db.models.signals", "django.dispatch"}
    ]
    assert wrong == []


def test_clock__read_in_one_place_of_the_site():
    wrong = []
    for path in sources("registry", "monitoring", "deployments", "mlorch_site"):
        if relative(path).startswith((*DATA_PLANE, *COMMANDS)) or relative(path) == "mlorch_site/lib/clock.py":
            continue
        text = path.read_text()
        wrong += [
            f"{relative(path)}: {word}" for word in ("time.time()", "datetime.now(", "timezone.now(") if word in text
        ]
    assert wrong == []


def test_environment_variables__read_in_settings_and_config_modules_only():
    allowed = (
        "mlorch_site/settings.py",
        "dataplane/agent/config.py",
        "dataplane/gateway/config.py",
        "dataplane/scratch/config.py",
        "mlorch_site/launch/supervisor/",  # reads what it passes on to the processes it starts
        "mlorch_site/launch/demo/__main__.py",  # a process whose only setting is the data directory
    )
    # They set what a library reads, or read what every program of the machine does.
    for_others = (
        "mlorch_site/celery.py",
        "mlorch_site/asgi.py",
        "mlorch_site/audit/git_copy.py",
        "registry/backends/mlflow.py",
        "mlorch_site/launch/demo/train.py",
        "dataplane/agent/python_environments.py",
        "dataplane/sandbox/entry.py",
        "dataplane/sandbox/launcher.py",
        "dataplane/worker/scorer.py",
        "dataplane/worker/template.py",
        "dataplane/worker/threads.py",
    )
    wrong = [
        relative(path)
        for path in sources(*PACKAGES)
        if "os.environ" in path.read_text() and not relative(path).startswith((*allowed, *for_others))
    ]
    assert wrong == []


@pytest.mark.parametrize("kind", ["views", "api", "tasks.py", "consumers.py", "internal.py"])
def test_surfaces__write_no_rows(kind):
    verbs = {"save", "create", "bulk_create", "update_or_create", "get_or_create"}
    wrong = []
    for path in sources(*PACKAGES):
        parts = path.relative_to(ROOT).parts
        if kind not in parts or parts[:2] == ("mlorch_site", "api"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in verbs:
                wrong.append(f"{relative(path)}:{node.lineno} .{node.func.attr}(")
    assert wrong == []


# What a framework, or a habit that every room follows, calls a file: what kind of thing is in it, not what it is about.
ROLES = {
    "a process's wiring": "__init__ __main__ settings urls routing asgi celery context health config app",
    "Django's parts of an app": "apps admin models forms filters views middleware tasks",
    "what ours have besides": "services selectors actors lifecycle limits errors live api serializers consumers",
    "a border: what it asks for, and the stand-in for tests": "base fake",
}
ROLE_NAMES = {name for names in ROLES.values() for name in names.split()}
# Folders whose files repeat the nouns of others: one thing has rows, acts and pages; a strategy is called by its kind.
ROLE_FOLDERS = {"models", "services", "views", "api", "commands", "strategies"}


def own_sources(*roots: str) -> list[Path]:
    """Our modules without what a compiler made."""
    return [path for path in sources(*(roots or PACKAGES)) if not path.stem.endswith("_pb2")]


def nouns() -> dict[str, set[str]]:
    """File name → rooms that have it; a role folder is no room, and role names are left out."""
    rooms: dict[str, set[str]] = defaultdict(set)
    for path in own_sources():
        if path.stem not in ROLE_NAMES and path.parent.name not in ROLE_FOLDERS:
            rooms[path.stem].add(relative(path.parent))
    return rooms


PROCESSES = ("gateway", "worker", "agent")
# A shape of the wire has the word of the row that it is on its way to or from.
SITE_AND_PROCESSES = [path for path in PACKAGES if path != "dataplane"] + [f"dataplane/{room}" for room in PROCESSES]


@pytest.mark.parametrize("roots", [["dataplane"], SITE_AND_PROCESSES], ids=["data plane", "site and processes"])
def test_classes__one_name__one_class(roots):
    places: dict[str, list[str]] = defaultdict(list)
    for path in own_sources(*roots):
        for node in ast.parse(path.read_text()).body:
            # Django finds a management command by the name of its class.
            if isinstance(node, ast.ClassDef) and node.name != "Command":
                places[node.name].append(relative(path))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


def test_files__one_name__one_room():
    assert {stem: rooms for stem, rooms in nouns().items() if len(rooms) > 1} == {}


def test_files__every_noun__is_in_the_glossary():
    """A word is described where it is bold; singular and plural are one."""
    text = (ROOT / "docs" / "glossary.md").read_text().lower().replace("-", " ")
    words = set(re.findall(r"\*\*(.+?)\*\*", text))
    stems = {path.stem for path in own_sources()} - ROLE_NAMES
    assert {stem for stem in stems if not words & forms_of(stem.replace("_", " "))} == set()


def forms_of(word: str) -> set[str]:
    """The word in the singular and the plural, whichever it is."""
    return {word, f"{word}s", word.removesuffix("s"), word.removesuffix("es"), re.sub("ies$", "y", word)}
