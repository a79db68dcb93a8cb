"""Where replicas run.

Goals are `Replica` rows, observations are `ReplicaState` rows; a platform carries the one to where replicas run and
brings the other back. The engine knows nothing else about it.

`local` needs no code of its own to be driven: its agent asks for the goal (`platforms.local.goal_of`) and reports. A
platform that must be asked instead implements `Platform`.
"""

from datetime import datetime
from typing import Protocol


class Platform(Protocol):
    """A place where replicas run that mlorch must ask by itself."""

    name: str

    def sync(self, now: datetime) -> None:
        """Bring goals out and observations in. Called often; twice is harmless."""
        ...
