"""The site. Importing it makes the Celery app the current one, so that every process sends tasks to the same broker."""

from mlorch_site.celery import app as celery_app

__all__ = ["celery_app"]
