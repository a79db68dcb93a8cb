import psutil

REPORT = """<testsuites><testsuite tests="10" failures="1" errors="2" skipped="3"/></testsuites>"""


def test_count__report_of_pytest__adds_up(script, tmp_path):
    module = script("test")
    (tmp_path / "report.xml").write_text(REPORT)
    outcome = module.Outcome("fast")
    module.count(tmp_path / "report.xml", outcome)
    assert (outcome.passed, outcome.failed, outcome.skipped) == (4, 3, 3)


def lacking(module, monkeypatch):
    """A leg that needs something which is not there."""
    monkeypatch.setattr(module.system, "ensure", lambda component: f"{component.name} is missing: how to get it")
    return module.run(module.LEGS["browser"], [])


def test_leg__component_is_missing_at_home__is_skipped_with_the_command(script, monkeypatch):
    module = script("test")
    monkeypatch.setattr(module, "IN_CI", False)
    outcome = lacking(module, monkeypatch)
    assert (outcome.passed, outcome.failed, outcome.skipped) == (0, 0, 1)
    assert outcome.sentence().endswith("Chromium is missing: how to get it")


def test_leg__component_is_missing_in_ci__fails(script, monkeypatch):
    module = script("test")
    monkeypatch.setattr(module, "IN_CI", True)
    assert lacking(module, monkeypatch).failed == 1


def test_leg__takes_too_long__is_ended_and_has_failed(script, monkeypatch, tmp_path):
    module = script("test")
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid; exec sleep 600\n")
    python.chmod(0o700)
    monkeypatch.setattr(module.environment, "PYTHON", python)
    monkeypatch.setattr(module, "LEG_MAX_S", 0.5)
    outcome = module.run(module.LEGS["e2e"], [])
    assert outcome.failed == 1
    assert outcome.sentence().endswith("longer than 0.5 s")
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))
