"""Points: what windows say about one arm over one span, as charts show it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Point:
    """One arm over one span: rates per second, quantiles in ms (None without requests), share of errors."""

    start: datetime
    seconds: int
    arm: str
    version: int
    requests: int
    errors: int
    client_errors: int
    p50: float | None
    p95: float | None
    p99: float | None
    compared: int = 0
    agreed: int = 0

    @property
    def rate(self) -> float:
        return self.requests / self.seconds

    @property
    def error_share(self) -> float | None:
        return self.errors / self.requests if self.requests else None

    @property
    def agreement_share(self) -> float | None:
        """The share of a shadow's answers that said what the client's answer said."""
        return self.agreed / self.compared if self.compared else None
