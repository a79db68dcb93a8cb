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
