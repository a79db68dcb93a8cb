"""Every change to telemetry."""

from monitoring.services.rollup import has_windows_to_roll_up, retention_apply, windows_roll_up
from monitoring.services.store import BatchGap, windows_store

__all__ = ["BatchGap", "has_windows_to_roll_up", "retention_apply", "windows_roll_up", "windows_store"]
