"""How it behaves: windows of counts and latency per arm, and where each gateway's telemetry stands."""

from monitoring.models.windows import GatewayCursor, Window

__all__ = ["GatewayCursor", "Window"]
