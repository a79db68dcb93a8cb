"""Known vulnerabilities: what a version needs, held against the advisories in force."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
import time_machine

from mlorch_site.audit.services import Subject
from mlorch_site.lib import clock
from registry.evidence import advisory_files
from registry.evidence.resolutions import resolution_key
from registry.evidence.services import advisories_load, resolution_keep
from registry.gates import GATES, GateInput, NotYet, look, run
from registry.models import AdvisorySet, Policy
from registry.services.gate_runs import gates_ask, gates_end
from tests.registry.test_advisories import CRITICAL, LOW, advisory, raw
from tests.registry.test_gates import given

NOW = "2026-11-05T12:00:00Z"


def what(*lines: str, **parameters) -> GateInput:
    version = given(evidence={"requirements": list(lines), "python": "3.11"})
    return replace(version, policy=Policy(gate_parameters={"known_vulnerabilities": parameters}))


def resolved(given_what: GateInput, *installed: str) -> GateInput:
    key = resolution_key(given_what.version)
    resolution_keep(key=key, installed=list(installed), has_own_environment=True, sandbox="full")
    return given_what


def found(given_what: GateInput):
    (row,) = run(["known_vulnerabilities"], given_what)
    return row


@pytest.fixture
def loaded(people):
    """A function that puts advisories in force."""
    with time_machine.travel(NOW, tick=False):
        yield lambda *entries: advisories_load(actor=people.ada.actor, name="all.json", raw=raw(*entries))


def bad(number: str = "PYSEC-1", score: str = CRITICAL, **changes) -> dict:
    return advisory(number, severity=[{"type": "CVSS_V3", "score": score}], **changes)


def test_gate__no_file__is_an_error_that_says_what_to_do(db):
    row = found(what("tiny-thing==1.0"))
    assert (row.outcome.value, "advisories_load FILE" in row.sentence) == ("error", True)


def test_gate__nothing_known_of_what_was_resolved__passes(loaded):
    loaded(bad())
    row = found(resolved(what("tiny-thing==1.4"), "tiny-thing==1.4", "numpy==2.0"))
    assert (row.outcome.value, row.sentence) == (
        "pass",
        "2 packages have no known flaw, by 1 advisories as of 2026-11-01.",
    )


@pytest.mark.parametrize(
    ("entry", "parameters", "wanted", "words"),
    [
        (bad(), {}, "fail", "1 known flaw: tiny-thing 1.3: PYSEC-1 (critical)"),
        (bad(score=LOW), {}, "warn", "below high: tiny-thing 1.3: PYSEC-1 (low)"),
        (bad(score=LOW), {"severity": "low"}, "fail", "(low)"),
        (advisory(), {"severity": "critical"}, "fail", "severity unknown"),
        (advisory("MAL-1"), {"severity": "critical"}, "fail", "critical"),
        (bad(withdrawn="2026-11-02T00:00:00Z"), {}, "pass", "no known flaw"),
        (bad(affected=[{"package": {"ecosystem": "PyPI", "name": "tiny_thing"}}]), {}, "warn", "cannot be told"),
    ],
)
def test_gate__flaw__judged_by_its_severity(loaded, entry, parameters, wanted, words):
    loaded(entry, advisory("PYSEC-0", package="other"))
    row = found(resolved(what("Tiny.Thing==1.3", **parameters), "tiny-thing==1.3"))
    assert (row.outcome.value, words in row.sentence) == (wanted, True), row.sentence


def test_gate__flaw_in_what_a_package_pulls_in__is_found(loaded):
    loaded(bad())
    asked = what("harmless==1.0")
    assert found(asked).outcome.value == "warn"  # what it pulls in is not known yet
    before = GATES["known_vulnerabilities"].fingerprints(asked)
    resolved(asked, "harmless==1.0", "tiny-thing==0.1")
    assert before != GATES["known_vulnerabilities"].fingerprints(asked)
    assert found(asked).outcome.value == "fail"


@pytest.mark.parametrize("line", ["tiny-thing", "tiny-thing>=1.4", "tiny-thing==1.*", "tiny-thing==1.4,!=1.4", "???"])
def test_gate__without_an_exact_version__is_never_a_pass(loaded, line):
    loaded(bad())
    row = found(what(line, "numpy==2.0"))
    refused = found(what(line, "numpy==2.0", unpinned="refuse"))
    exact = line == "tiny-thing==1.4,!=1.4"
    assert (row.outcome.value, line in row.sentence) == ("warn", not exact)
    assert refused.outcome.value == ("warn" if exact else "fail")


def test_gate__old_advisories__warn_and_say_how_old(loaded):
    loaded(bad())
    asked = resolved(what("numpy==2.0", days=3), "numpy==2.0")
    row = found(asked)
    assert (row.outcome.value, row.sentence) == ("warn", "The advisories are 4 days old; load newer ones.")


def test_gate__newer_advisories__make_what_was_found_stale(loaded):
    loaded(bad("PYSEC-7", package="other"))
    asked = resolved(what("tiny-thing==1.0"), "tiny-thing==1.0")
    assert found(asked).outcome.value == "pass"
    before = GATES["known_vulnerabilities"].fingerprints(asked)
    loaded(bad(), bad("PYSEC-7", package="other"))
    assert before != GATES["known_vulnerabilities"].fingerprints(asked)
    assert found(asked).outcome.value == "fail"


def test_gate__file_that_another_process_loads__waits(db, settings, tmp_path):
    advisory_files._loaded.clear()
    path = tmp_path / "advisories.json"
    path.write_text(json.dumps(advisory()))
    settings.ADVISORIES = str(path)
    assert found(what("numpy==2.0")).evidence["advisories"]["count"] == 1
    now = clock.now()
    AdvisorySet.objects.update(is_current=False, loaded_at=now - timedelta(minutes=1))
    advisory_files._loaded.clear()
    with pytest.raises(NotYet):
        look("known_vulnerabilities", what("numpy==2.0"))
    settings.ADVISORIES = str(tmp_path / "absent.json")
    assert found(what("numpy==2.0")).outcome.value == "error"


def test_gate__while_requirements_install__waits_for_what_they_pull_in(loaded):
    loaded(bad())
    asked = what("harmless==1.0")
    gates_ask(subject=Subject("release", "r1"), gates=["requirements_install"], content_hash="sha256:a")
    with pytest.raises(NotYet):
        look("known_vulnerabilities", asked)
    gates_end(subject=Subject("release", "r1"), reason="It is not wanted any more.")
    assert "was not looked at" in found(asked).sentence


def test_gate__same_flaw_by_newer_advisories__is_the_same_finding(loaded):
    loaded(bad())
    asked = resolved(what("tiny-thing==1.0"), "tiny-thing==1.0")
    before = look("known_vulnerabilities", asked)
    loaded(bad(modified="2026-11-03T00:00:00Z"), advisory("PYSEC-3", package="other"))
    same = look("known_vulnerabilities", asked)
    loaded(bad(), bad("PYSEC-4"))
    other = look("known_vulnerabilities", asked)
    assert before.evidence != same.evidence
    assert before.fingerprint("g") == same.fingerprint("g") != other.fingerprint("g")
