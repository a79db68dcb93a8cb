"""Every change to telemetry."""

from monitoring.services.rollup import retention_apply, windows_roll_up
from monitoring.services.store import BatchGap, windows_store

__all__ = ["BatchGap", "retention_apply", "windows_roll_up", "windows_store"]
