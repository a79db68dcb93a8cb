"""The Celery app. Messages carry ids only; rows are the truth, so losing or repeating a message is harmless."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlorch_site.settings")

app = Celery("mlorch")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

# A tick that waits longer than its period is worthless: the next one does the same work.
app.conf.beat_schedule = {
    "relay-events": {"task": "live.relay_events", "schedule": 1.0, "options": {"expires": 2}},
    "deployments-tick": {"task": "deployments.tick", "schedule": 1.0, "options": {"expires": 2}},
    "registry-sync": {"task": "registry.sync", "schedule": 5.0, "options": {"expires": 5}},
    "registry-tick": {"task": "registry.tick", "schedule": 2.0, "options": {"expires": 3}},
    "monitoring-rollup": {"task": "monitoring.rollup", "schedule": 30.0, "options": {"expires": 30}},
    "monitoring-retention": {"task": "monitoring.retention", "schedule": 3600.0, "options": {"expires": 600}},
}

# Asked before a task is sent, each a cheap read; a task without one is always sent.
app.conf.beat_scheduler = "mlorch_site.beat:AskingScheduler"
app.conf.beat_questions = {
    "live.relay_events": "mlorch_site.live.outbox.is_waiting",
    "deployments.tick": "deployments.tasks.tick_is_due",
    "registry.tick": "registry.tasks.tick_is_due",
    "monitoring.rollup": "monitoring.services.has_windows_to_roll_up",
}
