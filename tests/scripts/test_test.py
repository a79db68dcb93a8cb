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
