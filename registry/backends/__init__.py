"""Registries that mlorch can mirror. `backend()` gives the configured one."""

from django.conf import settings
from django.utils.module_loading import import_string

from registry.backends.base import Backend


def backend() -> Backend:
    """The backend of `settings.REGISTRY_BACKEND`; importing MLflow's happens here, inside the process that needs it."""
    made: Backend = import_string(settings.REGISTRY_BACKEND)()
    return made
