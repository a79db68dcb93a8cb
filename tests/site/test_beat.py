"""Beat asks before it sends: a message that would find nothing to do is not sent, and when it cannot ask it sends."""

import time
from datetime import timedelta

import pytest
from celery.beat import Scheduler

from mlorch_site import beat
from mlorch_site.beat import AskingScheduler
from mlorch_site.celery import app
from mlorch_site.lib import connections
from mlorch_site.live.outbox import is_waiting, relay
from monitoring.services import has_windows_to_roll_up, windows_roll_up
from registry.models import Version
from registry.tasks import tick_is_due
from tests.deployments.world import START, make_model
from tests.monitoring.windows import row, store
from tests.support.live import publish

pytestmark = pytest.mark.usefixtures("data_dir")


@pytest.fixture
def scheduler(db, monkeypatch):
    """A scheduler without a file, that notes what it would send; `questions` is what it asks."""
    sent = []
    monkeypatch.setattr(Scheduler, "apply_entry", lambda self, entry, producer=None: sent.append(entry.task))
    monkeypatch.setattr(beat, "import_string", lambda name: answers_of[name])
    monkeypatch.setattr(AskingScheduler, "setup_schedule", lambda self: None)
    monkeypatch.setattr(connections, "close_old_connections", lambda: None)  # it would be the test's own
    answers_of = {"yes": lambda: True, "no": lambda: False, "broken": lambda: 1 / 0}
    monkeypatch.setitem(app.conf, "beat_questions", {f"task.{name}": name for name in answers_of})
    scheduler = AskingScheduler(app, lazy=True, schedule_filename="unused")
    scheduler.sent = sent
    return scheduler


@pytest.mark.parametrize(("task", "is_sent"), [("yes", True), ("no", False), ("broken", True), ("unasked", True)])
def test_beat__entry_is_due__sent_unless_there_is_nothing_to_do(scheduler, task, is_sent):
    scheduler.apply_entry(scheduler.Entry(name=task, task=f"task.{task}", schedule=timedelta(seconds=1), app=app))
    assert scheduler.sent == ([f"task.{task}"] if is_sent else [])


def test_beat__every_question__is_a_function_of_a_scheduled_task():
    scheduled = {entry["task"] for entry in app.conf.beat_schedule.values()}
    assert set(app.conf.beat_questions) <= scheduled
    assert all(callable(beat.import_string(name)) for name in app.conf.beat_questions.values())


def test_beat__waits_for_the_next_entry__does_not_spin(monkeypatch):
    monkeypatch.setattr(Scheduler, "apply_entry", lambda self, entry, producer=None: None)
    monkeypatch.setattr(AskingScheduler, "apply_entry", Scheduler.apply_entry)
    monkeypatch.setattr(AskingScheduler, "setup_schedule", lambda self: None)
    monkeypatch.setattr(AskingScheduler, "producer", None)
    entry = AskingScheduler.Entry(name="one", task="task.one", schedule=timedelta(seconds=0.2), app=app)
    scheduler = AskingScheduler(app, lazy=True, schedule_filename="unused")
    scheduler.data = {"one": entry}
    monkeypatch.setattr(AskingScheduler, "schedule", property(lambda self: self.data))
    turns, began = 0, time.monotonic()
    while time.monotonic() - began < 1.0:
        turns += 1
        time.sleep(max(scheduler.tick(), 0))
    assert turns < 30


def test_question__of_the_relay(db):
    assert not is_waiting()
    publish("releases")
    assert is_waiting()
    relay()
    assert not is_waiting()


def test_question__of_the_registry(db):
    model = make_model(versions=1)
    assert not tick_is_due()
    Version.objects.filter(model=model).update(digest_due_at=START)
    assert tick_is_due()


def test_question__of_the_roll_up(db):
    assert not has_windows_to_roll_up()
    store(1, row())
    assert has_windows_to_roll_up()
    windows_roll_up()
    assert not has_windows_to_roll_up()
