"""Imports point one way, pure zones stay pure, and the light processes stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("mlorch_site", "registry", "monitoring", "deployments", "dataplane")
WIRING = {"urls", "asgi", "celery", "routing", "settings", "health", "context", "launch", "api", "templatetags"}
LAYER = {
    "lib": 0,
    "accounts": 1,
    "audit": 1,
    "live": 1,
    "notices": 1,
    "registry": 2,
    "monitoring": 3,
    "deployments": 4,
    "wiring": 5,
}
WIRE = "dataplane.wire"
PURE = [
    "deployments/lifecycle.py",
    "deployments/rollout/plan.py",
    "deployments/rollout/snapshot.py",
    "deployments/rollout/steps.py",
    "deployments/rollout/strategies",
    "monitoring/alerts",
    "monitoring/analysis",
    "monitoring/charts.py",
    "monitoring/drift",
    "monitoring/points.py",
    "registry/lifecycle.py",
    "registry/policy_comparison.py",
    "registry/protection.py",
    "registry/approvals/rules.py",
]
HEAVY = ["mlflow", "pandas", "scipy", "sklearn", "kubernetes", "requests", "fido2", "qrcode", "cryptography"]


def sources(*roots: str) -> list[Path]:
    found: list[Path] = []
    for root in roots:
        path = ROOT / root
        found += [path] if path.is_file() else sorted(path.rglob("*.py"))
    return [path for path in found if "migrations" not in path.parts]


def imports(path: Path, *, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def import_graph() -> dict[str, set[str]]:
    """Module → modules of ours it names, wherever: inside functions and for type checkers too.

    That a package is loaded before its modules is no edge: a package may gather what its modules define.
    """
    trees = {module_of(path): ast.parse(path.read_text()) for path in sources(*PACKAGES)}
    graph: dict[str, set[str]] = {}
    for module, tree in trees.items():
        named: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner = [f"{node.module}.{alias.name}" for alias in node.names]
                named |= {name if name in trees else node.module for name in inner}
        graph[module] = (named & trees.keys()) - {module}
    return graph


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules that reach each other."""
    reached: dict[str, set[str]] = {}
    for start in graph:
        seen, ahead = set[str](), list(graph[start])
        while ahead:
            if (module := ahead.pop()) not in seen:
                seen.add(module)
                ahead += graph[module]
        reached[start] = seen
    groups = {frozenset(b for b in reached[a] if a in reached[b]) for a in graph if a in reached[a]}
    return sorted(sorted(group) for group in groups)


def inner_imports(path: Path) -> set[ast.Import | ast.ImportFrom]:
    functions = [
        n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return {n for function in functions for n in ast.walk(function) if isinstance(n, ast.Import | ast.ImportFrom)}


def layer_of(module: str) -> int | None:
    parts = module.split(".")
    if parts[0] not in PACKAGES or parts[0] == "dataplane":
        return None
    if parts[0] != "mlorch_site":
        return LAYER[parts[0]]
    if (
        len(parts) == 1 or parts[1] == "api"
    ):  # the API's shared parts stand beside accounts and audit, for every app to use
        return None
    return LAYER["wiring"] if parts[1] in WIRING else LAYER.get(parts[1])


def test_layers__every_import__points_down():
    wrong = []
    for path in sources(*PACKAGES):
        own = layer_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for name in imports(path):
            other = layer_of(name)
            if own is not None and other is not None and other > own:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []


def test_imports__cycle_of_any_length__there_is_none():
    assert cycles(import_graph()) == []


def test_cycles__two_modules_that_reach_each_other_over_a_third__are_one_group():
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


def test_import_inside_a_function__says_why_beside_or_above_it():
    wrong = []
    for path in sources(*PACKAGES):
        lines = path.read_text().splitlines()
        for node in inner_imports(path):
            if "#" not in lines[node.lineno - 1] and not lines[node.lineno - 2].lstrip().startswith("#"):
                name = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
                wrong.append(f"{path.relative_to(ROOT)}: {name}")
    assert sorted(wrong) == []


@pytest.mark.parametrize("zone", PURE)
def test_pure_zone__imports_no_django_and_no_rows(zone):
    forbidden = ("django", "rest_framework", "celery", "channels")
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources(zone)
        for name in imports(path)
        if name.split(".")[0] in forbidden or ".models" in name or name.endswith(("services", "selectors"))
    ]
    assert wrong == []


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def test_data_plane__imports_nothing_of_the_site():
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources("dataplane")
        for name in imports(path)
        if name.split(".")[0] in ("django", "mlorch_site", "registry", "monitoring", "deployments")
    ]
    assert wrong == []


def test_wire__imports_nothing_else_of_the_data_plane():
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources("dataplane/wire")
        for name in imports(path)
        if is_within(name, "dataplane") and not is_within(name, WIRE)
    ]
    assert wrong == []


def test_site__knows_of_the_data_plane_the_wire_only():
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources("mlorch_site", "registry", "monitoring", "deployments")
        for name in imports(path)
        if is_within(name, "dataplane") and not is_within(name, WIRE)
    ]
    assert wrong == []


def test_mlflow__imported_in_its_backend_and_where_models_run_or_train_only():
    allowed = ("registry/backends/mlflow.py", "dataplane/worker/", "mlorch_site/launch/demo/")
    wrong = [
        str(path.relative_to(ROOT))
        for path in sources(*PACKAGES)
        if any(name.split(".")[0] == "mlflow" for name in imports(path))
        and not str(path.relative_to(ROOT)).startswith(allowed)
    ]
    assert wrong == []


@pytest.mark.parametrize("module", ["mlorch_site.asgi", "dataplane.gateway.__main__"])
def test_light_process__import__pulls_in_nothing_heavy(module, tmp_path):
    program = f"import {module}, sys; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"MLORCH_DATA_DIR": str(tmp_path)},
    )
    assert done.stdout.strip() == "[]", done.stderr[-2000:]
