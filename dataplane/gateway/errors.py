"""What can go wrong with a request, and the one table that says how each protocol tells it."""

import json
from dataclasses import dataclass, field

from dataplane.gateway.config import RETRY_AFTER_S


@dataclass(frozen=True)
class Refusal(Exception):
    """A request the gateway itself answers. `status` is HTTP's; `code` is MLflow's error code."""

    status: int
    code: str
    message: str
    headers: tuple[tuple[bytes, bytes], ...] = field(default=())

    def body(self, oip: bool) -> bytes:
        """The answer's body in the form of the protocol that was spoken."""
        if oip:
            return json.dumps({"error": self.message}).encode()
        return json.dumps({"error_code": self.code, "message": self.message}).encode()


RETRY_AFTER = ((b"retry-after", b"%d" % RETRY_AFTER_S),)
TIMED_OUT = 504
CHALLENGE = ((b"www-authenticate", b"Bearer"),)


def no_key() -> Refusal:
    return Refusal(401, "UNAUTHENTICATED", "Send a valid gateway key as 'Authorization: Bearer mlk_…'.", CHALLENGE)


def foreign_key(endpoint: str) -> Refusal:
    return Refusal(403, "PERMISSION_DENIED", f"This key does not open the endpoint {endpoint}.")


def unknown_endpoint(endpoint: str, environment: str) -> Refusal:
    return Refusal(404, "RESOURCE_DOES_NOT_EXIST", f"There is no endpoint {endpoint} in {environment}.")


def unknown_version(endpoint: str, version: str) -> Refusal:
    return Refusal(404, "RESOURCE_DOES_NOT_EXIST", f"The endpoint {endpoint} does not serve version {version} now.")


def unknown_path() -> Refusal:
    return Refusal(404, "ENDPOINT_NOT_FOUND", "There is nothing at this address.")


def wrong_method(allowed: str) -> Refusal:
    return Refusal(405, "BAD_REQUEST", f"Use {allowed} here.", ((b"allow", allowed.encode()),))


def too_large(limit: int) -> Refusal:
    return Refusal(413, "BAD_REQUEST", f"The body is larger than this endpoint's limit of {limit} bytes.")


def unsupported_encoding(supported: str) -> Refusal:
    return Refusal(
        415,
        "BAD_REQUEST",
        f"This content encoding is not supported; send one of {supported}.",
        ((b"accept-encoding", supported.encode()),),
    )


def too_slow(limit_s: float) -> Refusal:
    return Refusal(408, "DEADLINE_EXCEEDED", f"The body did not arrive within {limit_s:g} s.")


def head_too_large(limit: int) -> Refusal:
    return Refusal(431, "BAD_REQUEST", f"The request's address and headers are larger than {limit} bytes.")


def bad_header(message: str) -> Refusal:
    return Refusal(400, "BAD_REQUEST", message)


def too_many(limit: int) -> Refusal:
    return Refusal(
        429, "RESOURCE_EXHAUSTED", f"{limit} requests are open at this endpoint; try again soon.", RETRY_AFTER
    )


def no_replica(endpoint: str) -> Refusal:
    return Refusal(
        503, "TEMPORARILY_UNAVAILABLE", f"No replica of {endpoint} can be reached; try again soon.", RETRY_AFTER
    )


def worker_lost() -> Refusal:
    return Refusal(502, "INTERNAL_ERROR", "The worker ended before it answered.")


def timed_out(timeout_ms: int) -> Refusal:
    return Refusal(TIMED_OUT, "DEADLINE_EXCEEDED", f"The model did not answer within {timeout_ms} ms.")
