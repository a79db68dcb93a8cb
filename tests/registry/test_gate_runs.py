"""Runs of gates: one row each, taken once, with a lease and a deadline, and answers that go stale."""

from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
import time_machine

from mlorch_site.audit.models import AuditRecord
from mlorch_site.audit.services import Subject
from registry.gates import GATES, NotYet
from registry.gates.base import Stopped, passed
from registry.models import GateResult
from registry.services.gate_runs import (
    gate_run,
    gates_ask,
    gates_ask_again,
    gates_call,
    gates_due,
    gates_end,
    gates_run,
    stale_inputs,
)
from tests.registry.test_gates_known import given

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SUBJECT = Subject("release", "r1")
GATE = "input_example_present"


@pytest.fixture(autouse=True)
def _rows(db):
    """Every test writes rows."""


@contextmanager
def at(seconds: float):
    with time_machine.travel(START + timedelta(seconds=seconds), tick=False):
        yield


def asked(*gates: str) -> list[GateResult]:
    gates_ask(subject=SUBJECT, gates=gates or [GATE], content_hash="sha256:a")
    return list(GateResult.objects.order_by("id"))


def behave(monkeypatch, check, **changes):
    monkeypatch.setitem(GATES, GATE, replace(GATES[GATE], check=check, **changes))


def the_row() -> GateResult:
    return GateResult.objects.get(is_current=True)


def test_ask__twice__one_pending_row_each():
    asked("version_ready", GATE)
    rows = asked("version_ready", GATE, GATE)
    assert [(row.gate, row.state, row.outcome) for row in rows] == [
        ("version_ready", "pending", ""),
        (GATE, "pending", ""),
    ]


def test_run__each_ends_with_what_it_looked_at():
    asked("version_ready", "no_such_gate")
    gates_run(subject=SUBJECT, given=given())
    ready, unknown = GateResult.objects.order_by("id")
    assert (ready.state, ready.outcome, set(ready.looked_at)) == ("ended", "pass", {"status", "parameters"})
    assert (unknown.outcome, "no gate" in unknown.sentence) == ("error", True)
    assert ready.finding.startswith("sha256:")


def test_row_that_somebody_has_taken__is_run_once(monkeypatch):
    times = []
    asked()
    first, second = (GateResult.objects.get() for _ in range(2))
    behave(monkeypatch, lambda what: times.append(1) or passed("Looked."))
    gate_run(row=first, given=given())
    gate_run(row=second, given=given())
    assert (times, the_row().outcome) == ([1], "pass")


def test_process_that_dies__is_taken_up_after_its_lease__and_its_late_answer_changes_nothing(monkeypatch):
    asked()

    def overtaken(what):
        with at(2 * GATES[GATE].lease_s):
            behave(monkeypatch, lambda what: passed("The second."))
            gates_run(subject=SUBJECT, given=given())
        return passed("The first.")

    behave(monkeypatch, overtaken)
    with at(0):
        assert gates_due(SUBJECT, START).exists()
        gates_run(subject=SUBJECT, given=given())
    assert (the_row().sentence, the_row().interrupted) == ("The second.", 1)


def test_gate_that_kills_every_process__is_an_error_at_last(monkeypatch):
    asked()
    dead = pytest.raises(SystemExit)
    behave(monkeypatch, lambda what: (_ for _ in ()).throw(SystemExit))
    for turn in range(3):
        with at(turn * 200), dead:
            gates_run(subject=SUBJECT, given=given())
    with at(600):
        gates_run(subject=SUBJECT, given=given())
    assert (the_row().outcome, "ended 3 times" in the_row().sentence) == ("error", True)


def test_progress__tells_and_renews__and_stops_at_the_deadline(monkeypatch):
    asked()
    seen = []

    def slow(what):
        what.progress("Half of it.")
        seen.append((the_row().step, the_row().lease_until > START + timedelta(seconds=GATES[GATE].lease_s - 1)))
        with at(10_000):
            what.progress("Nearly.")

    behave(monkeypatch, slow)
    with at(0):
        gates_run(subject=SUBJECT, given=given())
    assert seen == [("Half of it.", True)]
    assert (the_row().outcome, the_row().sentence) == (
        "error",
        "The gate did not end within 60 s. It was at: Half of it.",
    )


def test_answer_after_the_deadline__is_an_error(monkeypatch):
    asked()
    traveller = time_machine.travel(START, tick=False)
    with traveller as clock:
        behave(monkeypatch, lambda what: clock.shift(61) or passed("At last."))
        gates_run(subject=SUBJECT, given=given())
    assert (the_row().outcome, "within 60 s" in the_row().sentence) == ("error", True)


def test_gate_that_waits__keeps_its_deadline(monkeypatch):
    asked()

    def waits(what):
        raise NotYet("Waits for the other side.")

    behave(monkeypatch, waits)
    for second, wanted in ((0, ("pending", "")), (50, ("pending", "")), (70, ("ended", "error"))):
        with at(second):
            gates_run(subject=SUBJECT, given=given())
            assert (the_row().state, the_row().outcome) == wanted
    assert the_row().sentence.endswith("Waits for the other side.")


def test_end__stops_a_gate_that_nobody_waits_for(monkeypatch):
    asked()
    stopped = []

    def ends_meanwhile(what):
        gates_end(subject=SUBJECT, reason="The release ended.")
        try:
            what.progress("More.")
        except Stopped:
            stopped.append(True)
            raise

    behave(monkeypatch, ends_meanwhile)
    gates_run(subject=SUBJECT, given=given())
    assert (stopped, the_row().outcome, the_row().sentence) == ([True], "skipped", "The release ended.")


def test_ask_again__keeps_history__and_leaves_one_that_has_not_answered(people):
    asked(GATE)
    again = {"actor": people.rita.actor, "subject": SUBJECT, "gates": [GATE], "content_hash": "sha256:a"}
    assert gates_ask_again(**again, reason="too early") == []
    gates_run(subject=SUBJECT, given=given())
    assert gates_ask_again(**again, reason="one more look") == [GATE]
    gates_run(subject=SUBJECT, given=given(evidence={"input_example": [1]}))
    former, current = GateResult.objects.order_by("id")
    assert [(row.outcome, row.is_current, row.asked_by) for row in (former, current)] == [
        ("warn", False, ""),
        ("pass", True, "rita"),
    ]
    assert AuditRecord.objects.get(action="gates.asked_again").reason == "one more look"


def test_stale__names_what_changed(monkeypatch):
    asked("signature_compatible", GATE)
    gates_run(subject=SUBJECT, given=given())
    compatible, example = GateResult.objects.order_by("id")
    other = given(before={"signature": {}})
    assert stale_inputs(compatible, given()) == []
    assert stale_inputs(compatible, other) == ["serving version"]
    assert stale_inputs(example, other) == []
    assert stale_inputs(example, given(evidence={"input_example": [1]})) == ["evidence"]


def test_fingerprints__parameters_of_the_policy__are_among_them():
    plain, other = given(), given(policy={"gate_parameters": {"reproducible": {"refuse": True}}})
    gate = GATES["reproducible"]
    assert gate.fingerprints(plain)["evidence"] == gate.fingerprints(other)["evidence"]
    assert gate.fingerprints(plain)["parameters"] != gate.fingerprints(other)["parameters"]


def test_call__again_only_after_a_while__and_for_a_process_that_died(monkeypatch):
    asked()
    calls = [gates_call(subject=SUBJECT, now=START + timedelta(seconds=s), again_s=100) for s in (0, 99, 100)]
    assert calls == [True, False, True]
    behave(monkeypatch, lambda what: (_ for _ in ()).throw(SystemExit))
    with at(110), pytest.raises(SystemExit):
        gates_run(subject=SUBJECT, given=given())
    later = START + timedelta(seconds=110 + GATES[GATE].lease_s)
    assert not gates_call(subject=SUBJECT, now=later - timedelta(seconds=1), again_s=100)
    assert gates_call(subject=SUBJECT, now=later, again_s=100)
    assert (the_row().state, the_row().interrupted, the_row().deadline_at) == ("pending", 1, None)


LONG = ["load_test", "artifact_signed"]


def test_run__the_quick_ones_first__calls_others_only_while_a_long_one_has_not_begun(monkeypatch):
    done = []
    for name in (*LONG, GATE):
        finds = partial(lambda name, _what: done.append(name) or passed("Looked."), name)
        monkeypatch.setitem(GATES, name, replace(GATES[name], check=finds, looked_at=None))
    asked(*LONG, GATE)
    gates_run(subject=SUBJECT, given=given(), call=lambda: done.append("called"))
    assert done == [GATE, "called", *LONG]


def test_run__what_waited_for_another__is_asked_once_by_each_call(monkeypatch):
    times = []

    def waits(_what):
        times.append(1)
        raise NotYet("Waits for somebody.")

    monkeypatch.setitem(GATES, LONG[0], replace(GATES[LONG[0]], check=waits))
    asked(LONG[0])
    for _ in range(2):
        gates_run(subject=SUBJECT, given=given(), call=lambda: times.append("called"))
    assert times == [1, 1]
