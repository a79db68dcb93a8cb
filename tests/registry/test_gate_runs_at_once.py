"""Several processes at the gates of one subject: long ones run side by side, each once, and what they find is the
same.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest
from django.db import connections

from mlorch_site.audit.services import Subject
from registry.gates import GATES
from registry.gates.base import Found, GateInput, passed
from registry.models import GateResult
from registry.services.gate_runs import gates_ask, gates_run
from tests.registry.test_gates_known import given
from tests.support.own_database import own_database
from tests.support.waiting import patience

SUBJECT = Subject("release", "r1")
LONG = ("load_test", "artifact_signed", "requirements_install")


@pytest.fixture
def db(django_db_setup: Any, django_db_blocker: Any, tmp_path: Any) -> Iterator[None]:
    """A database that threads share, in the place of the one in a transaction of the test's own."""
    quiet = mock.patch("mlorch_site.live.outbox._after_commit")
    with django_db_blocker.unblock(), own_database(tmp_path), quiet:
        yield


def test_long_gates__as_many_processes_as_are_free__run_at_the_same_time(db: None, monkeypatch: Any) -> None:
    meet, times = threading.Barrier(len(LONG)), []

    def check(_given: GateInput) -> Found:
        """Goes on when all of them are at work."""
        times.append(1)
        meet.wait(patience())
        return passed("All of them were at work.")

    for name in LONG:
        monkeypatch.setitem(GATES, name, replace(GATES[name], check=check, looked_at=None))
    gates_ask(subject=SUBJECT, gates=[*LONG, "version_ready"], content_hash="sha256:a")
    called: list[Future[None]] = []
    with ThreadPoolExecutor(len(LONG) + 1) as pool:

        def process() -> None:
            try:
                gates_run(subject=SUBJECT, given=given(), call=lambda: called.append(pool.submit(process)))
            finally:
                connections.close_all()

        process()
        while called:
            called.pop().result(patience())
    rows = GateResult.objects.order_by("id")
    assert len(times) == len(LONG)
    assert {(row.state, row.outcome, row.epoch) for row in rows} == {("ended", "pass", 1)}
