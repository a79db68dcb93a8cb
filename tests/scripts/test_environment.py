import pytest


@pytest.fixture
def environment(script, tmp_path, monkeypatch):
    """A tree with two locks and an environment whose stamp is set by the test."""
    module = script("environment")
    (tmp_path / "requirements").mkdir()
    for kind in ("base", "dev"):
        (tmp_path / "requirements" / f"{kind}.txt").write_text(kind)
    python = tmp_path / "python"
    python.touch()
    for name, value in {"ROOT": tmp_path, "PYTHON": python, "STAMP": tmp_path / "stamp"}.items():
        monkeypatch.setattr(module, name, value)
    return module


def stamp(environment, kind: str) -> None:
    environment.STAMP.write_text(f"{kind}:{environment.digest_of(environment.lock_of(kind))}")


@pytest.mark.parametrize(
    ("made_from", "wanted", "is_current"),
    [("base", "base", True), ("dev", "dev", True), ("dev", "base", True), ("base", "dev", False)],
)
def test_environment__made_from_a_lock__serves_it_and_what_it_holds(environment, made_from, wanted, is_current):
    stamp(environment, made_from)
    assert environment.is_current(wanted) is is_current


def test_environment__lock_has_changed__is_not_current(environment):
    stamp(environment, "base")
    environment.lock_of("base").write_text("newer")
    assert not environment.is_current("base")


def test_environment__no_stamp_or_no_python__is_not_current(environment):
    assert not environment.is_current("base")
    stamp(environment, "base")
    environment.PYTHON.unlink()
    assert not environment.is_current("base")


def test_install__broken_off__leaves_nothing_that_says_it_is_complete(environment, monkeypatch):
    stamp(environment, "base")
    environment.lock_of("base").write_text("newer")
    monkeypatch.setattr(environment.shutil, "which", lambda name: "/bin/false")
    with pytest.raises(SystemExit):
        environment.ensure_python("base")
    assert not environment.STAMP.exists()
