"""Streamed answers: the parts of pyfunc's `predict_stream` as server-sent events (WHATWG HTML, section 9.2)."""

import itertools
import json
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server

from dataplane.wire.frames import RequestHeader
from dataplane.worker import scoring_code
from dataplane.worker.answers import CLIENT_ERROR, SERVER_ERROR, Answer, json_answer

EVENT_STREAM = "text/event-stream"
END = b"data: [DONE]\n\n"


def parts(scorer: Any, header: RequestHeader, body: bytes) -> "Iterator[bytes] | Answer":
    """The events of a streamed prediction, or one answer when the request does not ask for a stream or is refused.

    A stream is asked for by `Accept: text/event-stream` or by `"stream": true` beside the data. The first part is made
    here, so that a refusal still has a status of its own.
    """
    asks, request = _asks(header, body)
    if not asks:
        answer: Answer = scorer.score_one(header, body)
        return answer
    try:
        parsed = scoring_code.parse(json.dumps(request).encode(), scorer.model.metadata, scorer.input_schema)
        stream = iter(scorer.model.predict_stream(parsed.data, params=parsed.params))
        first = next(stream, None)
    except MlflowException as error:
        if "does not support" in error.message:
            return json_answer(400, {"error_code": "BAD_REQUEST", "message": error.message}, CLIENT_ERROR)
        refused: Answer = scorer.refusal(error)
        return refused
    except Exception as error:  # whatever a model raises is its failure, not the client's
        message = f"The model raised {type(error).__name__}: {error}"
        return json_answer(500, {"error_code": "INTERNAL_ERROR", "message": message}, SERVER_ERROR)
    return _events(itertools.chain([] if first is None else [first], stream), scorer.as_json)


def _asks(header: RequestHeader, body: bytes) -> "tuple[bool, Any]":
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        return False, None
    if not isinstance(request, dict):
        return False, None
    wanted = request.pop("stream", False) is True
    return wanted or EVENT_STREAM in header.accept, request


def _events(chunks: "Iterator[Any]", as_json: "Callable[[str], str]") -> "Iterator[bytes]":
    try:
        for chunk in chunks:
            text = StringIO()
            scoring_server.predictions_to_json(chunk, text)
            yield b"data: " + as_json(text.getvalue()).encode() + b"\n\n"
    except Exception as error:  # the status is sent already: the stream itself says how it ended
        failure = json.dumps(
            {"error_code": "INTERNAL_ERROR", "message": f"The model raised {type(error).__name__}: {error}"}
        )
        yield b"event: error\ndata: " + failure.encode() + b"\n\n"
        return
    yield END
