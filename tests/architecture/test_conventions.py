"""Conventions of the house that a machine can see: sizes, clocks, environment variables, signals, who writes."""

import ast
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
        "mlorch_site/celery.py",
        "mlorch_site/asgi.py",
        "mlorch_site/launch/supervisor/",
        "registry/backends/mlflow.py",  # MLflow's client takes its timeouts from there only
    )
    wrong = [
        relative(path)
        for path in sources(*PACKAGES)
        if "os.environ" in path.read_text() and not relative(path).startswith((*allowed, *DATA_PLANE))
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
