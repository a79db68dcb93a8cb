"""Errors of the domain. They know nothing of HTTP; `mlorch_site.lib.http` maps them in one table."""

from typing import Any


class DomainError(Exception):
    """Something a person asked for that cannot be done, with a sentence that says why and what to do."""

    code = "error"

    def __init__(self, message: str, *, code: str | None = None, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.details = details or {}


class Invalid(DomainError):
    """The input is wrong. `details` maps field → sentence where a field is to blame."""

    code = "invalid"


class NotFound(DomainError):
    """Missing, or hidden from this actor: the two look the same."""

    code = "not_found"


class Forbidden(DomainError):
    """Visible, but not allowed; the message names the role that is missing."""

    code = "forbidden"


class Unauthenticated(DomainError):
    """No valid sign-in or token came with the request."""

    code = "unauthenticated"


class ProofNeeded(DomainError):
    """Allowed, but whoever asks has to prove first, and again, who they are."""

    code = "proof_needed"


class Conflict(DomainError):
    """The thing is in a state in which this cannot be done."""

    code = "conflict"


class IllegalTransition(Conflict):
    """A move that the lifecycle table does not have."""

    code = "illegal_transition"

    def __init__(self, entity: str, old: str, new: str, why: str = "") -> None:
        text = f"A {entity} that is {old.replace('_', ' ')} cannot become {new.replace('_', ' ')}."
        super().__init__(f"{text} {why}".strip(), details={"from": old, "to": new})


class Unavailable(DomainError):
    """A neighbour (MLflow, broker, gateway) does not answer now; the same call may work later."""

    code = "unavailable"


class TooMany(DomainError):
    """Asked too often; `retry_after_s` later it may work."""

    code = "too_many"

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message, details={"retry_after_s": retry_after_s})
        self.retry_after_s = retry_after_s


class TooLarge(DomainError):
    """A named limit on size was passed."""

    code = "too_large"
