"""Requirement lines: names with versions and nothing an installer would follow elsewhere."""

import importlib.metadata
from pathlib import Path

import pytest

from dataplane.agent import python_environments
from dataplane.agent.python_environments import BadRequirement


@pytest.mark.parametrize(
    "line",
    [
        "git+ssh://host/x.git",
        "x @ file:///etc/passwd",
        "-r other.txt",
        "--index-url=x",
        "../local",
        "/tmp/x.whl",
        "a\\b",
        "x; rm -rf /",
        "x" * 400,
    ],
)
def test_parse__anything_but_a_name_with_versions__is_refused(line: str) -> None:
    with pytest.raises(BadRequirement):
        python_environments.parse([line])


def test_parse__comments_markers_and_extras__are_understood() -> None:
    found = python_environments.parse(
        ["# note", "", "numpy==2.0", "uvicorn[standard]>=0.3,<1", "x==1; python_version > '3.8'"]
    )

    assert [requirement.name for requirement in found] == ["numpy", "uvicorn", "x"]


def test_key_of__order_and_case__do_not_matter_but_python_does() -> None:
    one = python_environments.key_of(["Numpy==2.0", "pandas==3.0"], "3.11.7")

    assert one == python_environments.key_of(["pandas==3.0", "numpy==2.0"], "3.11.9")
    assert one != python_environments.key_of(["pandas==3.0", "numpy==2.0"], "3.12.0")


class Distributions:
    """Installed distributions: name → version and what it requires."""

    def __init__(self, **known: tuple[str, list[str]]) -> None:
        self._known = known

    def version(self, name: str) -> str:
        if name not in self._known:
            raise importlib.metadata.PackageNotFoundError(name)
        return self._known[name][0]

    def requires(self, name: str) -> list[str]:
        return self._known[name][1]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("table", True),
        ("table[sheets]", False),
        ("table[charts]", True),
        ("table[charts,sheets]", False),
        ("table[all]", False),
        ("table[round]", True),
        ("table[old]", False),
        ("table[elsewhere]", True),
        ("table[unknown]", True),
    ],
)
def test_satisfied_here__extras__are_met_when_what_they_need_is_there(
    line: str, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs = [
        "base>=1",
        'openpyxl; extra == "sheets"',
        'plots>=2; extra == "charts"',
        'plots>=3; extra == "old"',
        'table[sheets]; extra == "all"',
        'table[round]; extra == "round"',
        'absent; sys_platform == "nowhere" and extra == "elsewhere"',
    ]
    installed = Distributions(table=("1.0", needs), plots=("2.1", []), base=("1", []))
    monkeypatch.setattr(importlib.metadata, "version", installed.version)
    monkeypatch.setattr(importlib.metadata, "requires", installed.requires)

    assert python_environments.satisfied_here([line]) is wanted


def test_satisfied_here__own_versions_yes_others_no() -> None:
    own = importlib.metadata.version("mlflow")

    assert python_environments.satisfied_here([f"mlflow=={own}", "absent==1; python_version < '3'"])
    assert not python_environments.satisfied_here(["mlflow==1.0.0"])
    assert not python_environments.satisfied_here(["no-such-package-at-all==1"])


def test_let_be_read__environment_of_its_builder_alone__others_read_and_enter_and_do_not_write(tmp_path: Path) -> None:
    for name, mode in (("bin/python", 0o700), ("lib/module.py", 0o600)):
        path = tmp_path / "environment" / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode)
    (tmp_path / "environment").chmod(0o700)
    (tmp_path / "environment" / "link").symlink_to("/nowhere")
    python_environments.let_be_read(tmp_path / "environment")
    modes = {str(path.relative_to(tmp_path)): path.lstat().st_mode & 0o777 for path in tmp_path.rglob("*")}

    assert modes | {"environment/link": 0} == {
        "environment": 0o755,
        "environment/bin": 0o755,
        "environment/bin/python": 0o755,
        "environment/lib": 0o755,
        "environment/lib/module.py": 0o644,
        "environment/link": 0,
    }
