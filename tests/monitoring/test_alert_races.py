"""Two connections at one alert: somebody acknowledges it while a look resolves it; the rows and the record agree."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.db import connections

from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib.errors import Conflict
from monitoring.models import Alert, AlertEvent
from monitoring.services import RuleWish, alert_acknowledge, alert_rule_add, alert_rule_end
from tests.monitoring.watching import Watch
from tests.support.own_database import own_database

ROUNDS = 8


@pytest.fixture
def db(django_db_setup: Any, django_db_blocker: Any, tmp_path: Any) -> Iterator[None]:
    """A database that threads share, in the place of the one in a transaction of the test's own."""
    quiet = [mock.patch("mlorch_site.live.outbox._after_commit"), mock.patch("mlorch_site.lib.enqueue.enqueue")]
    with django_db_blocker.unblock(), own_database(tmp_path), quiet[0], quiet[1]:
        yield


def test_acknowledge_and_resolve__at_once__one_order_and_nothing_lost(db, people):
    watch = Watch(people)
    acts = {"acknowledged": 0, "refused": 0}
    for number in range(ROUNDS):
        rule = alert_rule_add(
            actor=people.mona.actor, place=watch.place, wish=RuleWish("absence", over_min=15 + number)
        )
        alert = Alert.objects.create(rule=rule, fired_at=watch.now - timedelta(minutes=1), sentence="Nobody asks.")
        rule.standing.__class__.objects.filter(rule=rule).update(alert=alert, state="firing")
        together = threading.Barrier(2)

        def acknowledge(alert: Alert = alert, together: threading.Barrier = together) -> str:
            together.wait()
            try:
                alert_acknowledge(actor=people.emma.actor, alert=alert)
            except Conflict:
                return "refused"
            finally:
                connections.close_all()
            return "acknowledged"

        def resolve(rule: Any = rule, together: threading.Barrier = together) -> None:
            together.wait()
            try:
                alert_rule_end(actor=people.mona.actor, rule=rule, reason="moved")
            finally:
                connections.close_all()

        with ThreadPoolExecutor(2) as pool:
            said, done = pool.submit(acknowledge), pool.submit(resolve)
            acts[said.result(60)] += 1
            done.result(60)
        alert.refresh_from_db()
        kinds = list(AlertEvent.objects.filter(alert=alert).order_by("id").values_list("kind", flat=True))
        actions = AuditRecord.objects.filter(subject_kind="alert", subject_id=str(alert.pk)).order_by("sequence")
        recorded = [action.partition(".")[2] for action in actions.values_list("action", flat=True)]

        assert alert.resolved_at is not None
        assert (alert.acknowledged_at is not None) == (said.result() == "acknowledged")
        assert kinds == (["acknowledged", "ended"] if alert.acknowledged_at else ["ended"])
        assert recorded == [kind for kind in kinds if kind == "acknowledged"]
    assert sum(acts.values()) == ROUNDS
