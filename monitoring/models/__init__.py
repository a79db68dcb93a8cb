"""How it behaves: windows of counts and latency per arm, where each gateway's telemetry stands, and how far it is
rolled up.
"""

from monitoring.models.windows import KEPT, GatewayCursor, RollUpCursor, Window

__all__ = ["KEPT", "GatewayCursor", "RollUpCursor", "Window"]
