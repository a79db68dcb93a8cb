"""What a worker answers: an HTTP status for the client, a body, and whose fault an error is."""

import json
from typing import Any, NamedTuple, cast

from dataplane.wire.frames import AnswerHeader, AnswerRow, Fault, Status

JSON = "application/json"
CLIENT_ERROR: Fault = "client_error"
SERVER_ERROR: Fault = "server_error"


class Answer(NamedTuple):
    """`outcome` overrides what the status says when MLflow's own protocol answers 400 for a failure of the model.

    With `header_length` the body is that many bytes of JSON followed by raw tensors (OIP's binary tensor data
    extension).
    """

    status: int
    body: bytes
    content_type: str = JSON
    outcome: "Fault | None" = None
    header_length: "int | None" = None

    def row(self) -> AnswerRow:
        """The answer without its body, as one of a batch."""
        return AnswerRow(cast(Status, self.status), len(self.body), self.content_type, self.outcome, self.header_length)

    def header(self, number: int) -> AnswerHeader:
        """The answer without its body, as the only one in its frame."""
        return AnswerHeader(number, cast(Status, self.status), self.content_type, self.outcome, self.header_length)


class BadInput(Exception):
    """The client's request cannot be understood; the text says what to change."""


def numbers_text(array: Any) -> "str | None":
    """A numpy array's JSON, None unless it is of integers or of finite floating-point numbers.

    `json` writes both as `repr` does, only slower.
    """
    if array.dtype.kind not in "iuf":
        return None
    text = repr(array.tolist())
    # nan, inf, and the names of numpy's own scalars.
    return None if "n" in text else text


def without_literals(text: str) -> str:
    """JSON in which NaN and the infinities, which are Python's own, are null."""
    if "NaN" not in text and "Infinity" not in text:
        return text
    return json.dumps(json.loads(text, parse_constant=lambda _: None))


def json_answer(status: int, value: Any, outcome: "Fault | None" = None) -> Answer:
    """Return `value` as a JSON answer."""
    return Answer(status, json.dumps(value).encode(), JSON, outcome)
