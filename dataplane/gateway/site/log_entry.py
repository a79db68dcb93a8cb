"""One request as it is logged."""

from typing import NamedTuple

type_Place = tuple[str, str]  # environment, endpoint


class LogEntry(NamedTuple):
    """One request as it is logged. `hidden` are the columns whose values are left out."""

    at: float
    id: str
    environment: str
    endpoint: str
    arm: str
    version: str
    release: str
    op: str
    content_type: str
    status: int
    outcome: str
    latency_ms: float
    request: bytes
    answer_type: str
    answer: bytes
    hidden: frozenset[str]

    @property
    def place(self) -> type_Place:
        return self.environment, self.endpoint
