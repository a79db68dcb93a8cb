"""What a worker answers: an HTTP status for the client, a body, and whose fault an error is."""

import json
from typing import Any, NamedTuple

JSON = "application/json"
CLIENT_ERROR = "client_error"
SERVER_ERROR = "server_error"


class Answer(NamedTuple):
    """`outcome` overrides what the status says when MLflow's own protocol answers 400 for a failure of the model."""

    status: int
    body: bytes
    content_type: str = JSON
    outcome: str | None = None

    def header(self, request_id: Any) -> "dict[str, Any]":
        """Return the frame header of this answer."""
        header = {"id": request_id, "status": self.status, "content_type": self.content_type}
        if self.outcome:
            header["outcome"] = self.outcome
        return header


class BadInput(Exception):
    """The client's request cannot be understood; the text says what to change."""


def json_answer(status: int, value: Any, outcome: str | None = None) -> Answer:
    """Return `value` as a JSON answer."""
    return Answer(status, json.dumps(value).encode(), JSON, outcome)
