"""The Celery app. Messages carry ids only; rows are the truth, so losing or repeating a message is harmless."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlorch_site.settings")

app = Celery("mlorch")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
