"""Load one version with MLflow and answer requests with it, as `mlflow models serve` does and as OIP v2 asks."""

import json
import math
import os
import warnings
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server

from dataplane.wire.frames import RequestHeader
from dataplane.wire.worker_profile import WorkerProfile
from dataplane.worker import scoring_code, streaming
from dataplane.worker.answers import CLIENT_ERROR, SERVER_ERROR, Answer, BadInput, json_answer, without_literals
from dataplane.worker.batch_scorer import Batches
from dataplane.worker.oip import protocol

SERVING_EXAMPLE = "serving_input_example.json"
# MLflow answers 400 with this error code both for bad input and for a model that raised; only the latter carries a
# stack trace.
STACK_TRACE = "stack_trace"
# ... or what pandas could not read, which is the client's doing.
UNREADABLE = "Failed to parse input as a Pandas DataFrame."
# scikit-learn says it on every call with an array; that the answers are the same was proved at load.
NAMELESS = "X does not have valid feature names"


class Scorer:
    """One loaded version. `max_batch` is how many requests it takes at once, 1 when they must stay apart."""

    def __init__(
        self,
        artifacts: Path,
        version: str,
        *,
        rows_independent: bool = False,
        nan_literal: bool = False,
        decide_s: float = math.inf,
    ) -> None:
        os.environ["IS_IN_MLFLOW_SERVING_ENVIRONMENT"] = "true"
        warnings.filterwarnings("ignore", message=NAMELESS)
        self._artifacts = artifacts
        self.version = version
        self._nan_literal = nan_literal
        self.model = mlflow.pyfunc.load_model(str(artifacts))
        self.input_schema = self.model.metadata.get_input_schema()
        self.output_schema = self.model.metadata.get_output_schema()
        # Of a model whose type hints are its signature; MLflow before 2.20 knows none.
        is_from_hints = getattr(self.model.metadata, "_is_signature_from_type_hint", None)
        self._takes_a_list = bool(is_from_hints and is_from_hints())
        self._batches = Batches(self, rows_independent=rows_independent, decide_s=decide_s)

    @property
    def max_batch(self) -> int:
        return self._batches.max_batch

    def warm_up(self, kept: "WorkerProfile | None" = None) -> bool:
        """Answer the version's own input example once; return whether it has one. Raises RuntimeError when that fails.

        Afterwards it is decided which requests are answered natively and which joined; `kept` is what an earlier start
        of the same files in the same environment decided.
        """
        example = self._example()
        if example is not None:
            answer = self.invocations(example, "application/json")
            if answer.status != 200:
                raise RuntimeError(
                    f"the input example was answered with {answer.status}: {answer.body[:300].decode(errors='replace')}"
                )
        self._batches.decide(self._example_frame(example), kept)
        return example is not None

    @property
    def profile(self) -> WorkerProfile:
        """How requests are answered, and why so."""
        return self._batches.profile

    def replay(self) -> None:
        """Look, while nothing else is asked, whether joined requests were answered as they would have been alone."""
        self._batches.replay()

    def _example(self) -> bytes | None:
        stored = self._artifacts / SERVING_EXAMPLE
        if stored.is_file():
            return stored.read_bytes()
        return scoring_code.serving_example(self.model.metadata, str(self._artifacts))

    def _example_frame(self, example: bytes | None) -> pd.DataFrame | None:
        """The input example as a DataFrame, None when it is none."""
        if example is None:
            return None
        try:
            data = scoring_code.parse(example, self.model.metadata, self.input_schema).data
            frame = pd.DataFrame(data) if isinstance(data, dict) else data
        except Exception:  # several tensors, for example, are no table
            return None
        return frame if isinstance(frame, pd.DataFrame) and len(frame) else None

    def score(self, header: RequestHeader, bodies: "list[bytes]") -> "list[Answer]":
        """Answer requests of one kind. The header is that of the frame (docs/wire.md section 6)."""
        return self._batches.score(header, bodies)

    def score_one(self, header: RequestHeader, body: bytes) -> Answer:
        """Answer one request the general way."""
        op, model_name = header.op, header.model_name
        if op in ("invocations", "stream"):
            return self.invocations(body, header.content_type)
        if op == "infer":
            return self.infer(body, model_name, header.header_length)
        if op == "metadata":
            return self.metadata(model_name)
        return json_answer(501, {"error": f"the worker does not know the operation {op!r}"})

    def stream(self, header: RequestHeader, body: bytes) -> "Iterator[bytes] | Answer":
        """Answer a request part by part as server-sent events; as a whole when it does not ask for a stream."""
        return streaming.parts(self, header, body)

    def invocations(self, body: bytes, content_type: str) -> Answer:
        """Answer a request of MLflow's scoring protocol."""
        try:
            result = scoring_code.respond(body, content_type or "", self.model, self.input_schema)
        except MlflowException as error:
            refused = self.refusal(error)
            is_clients = refused.outcome == SERVER_ERROR and self._has_no_rows(body, content_type)
            return refused._replace(outcome=CLIENT_ERROR) if is_clients else refused
        except Exception as error:  # where MLflow's own server would only say "Internal Server Error"
            return _unexpected(body, error)
        outcome = CLIENT_ERROR if result.status >= 400 else None
        text = result.response
        body = self.as_json(text).encode() if isinstance(text, str) else text
        return Answer(result.status, body, result.mimetype, outcome)

    def as_json(self, text: str) -> str:
        """MLflow's JSON as every client can read it, unless the serving config asks for Python's literals."""
        return text if self._nan_literal else without_literals(text)

    def _has_no_rows(self, body: bytes, content_type: str) -> bool:
        """Whether a request that the model failed on has no row: no model has an answer to give then."""
        try:
            if content_type.startswith("text/csv"):
                return not len(scoring_server.parse_csv_input(StringIO(body.decode()), self.input_schema))
            data = scoring_code.parse(body, self.model.metadata, self.input_schema).data
            if isinstance(data, dict):
                return bool(data) and all(np.size(value) == 0 for value in data.values())
            return np.asarray(data).item() is None if np.ndim(data) == 0 else len(data) == 0
        except Exception:  # what cannot be read was not given to the model
            return False

    def refusal(self, error: MlflowException) -> Answer:
        """MLflow's own answer for an error, without its stack trace; it says what the model raised."""
        content = json.loads(error.serialize_as_json())
        has_trace = content.pop(STACK_TRACE, None) is not None
        failed = has_trace and not content["message"].startswith(UNREADABLE)
        status = error.get_http_status_code()
        outcome = SERVER_ERROR if failed or status >= 500 else CLIENT_ERROR
        if failed:
            cause = error.__cause__ or error.__context__
            content["message"] += f" The model raised {type(cause).__name__}: {cause}" if cause else ""
        return json_answer(status, content, outcome)

    def infer(self, body: bytes, model_name: str, header_length: int | None = None) -> Answer:
        """Answer an OIP v2 inference request."""
        tensors: list[tuple[str, np.ndarray]] = []
        try:
            request = protocol.parse_request(body, header_length)
            tensors = [protocol.decode_tensor(tensor) for tensor in request["inputs"]]
            data = protocol.model_input(tensors, self.input_schema, as_list=self._takes_a_list)
            result = self._predict(data, self._params(request))
            return protocol.answer(request, result, model_name, self.version, self.output_schema)
        except BadInput as error:
            return json_answer(400, {"error": str(error)}, CLIENT_ERROR)
        except MlflowException as error:
            return json_answer(400, {"error": error.message}, CLIENT_ERROR)
        except Exception as error:  # whatever a model raises is its failure, not the client's
            raised = f"the model raised {type(error).__name__}: {error}"
            if tensors and all(array.ndim and array.shape[0] == 0 for _, array in tensors):
                return json_answer(400, {"error": f"the batch has no rows; {raised}"}, CLIENT_ERROR)
            return json_answer(500, {"error": raised}, SERVER_ERROR)

    def _params(self, request: "dict[str, Any]") -> "dict[str, Any] | None":
        schema = self.model.metadata.get_params_schema()
        if schema is None:
            return None
        known = {param.name for param in schema.params}
        return {name: value for name, value in request.get("parameters", {}).items() if name in known} or None

    def _predict(self, data: Any, params: "dict[str, Any] | None") -> Any:
        return self.model.predict(data, params=params) if params else self.model.predict(data)

    def metadata(self, model_name: str) -> Answer:
        """Answer with OIP v2 model metadata."""
        return json_answer(200, protocol.metadata(model_name, self.version, self.model.metadata.signature))


def _unexpected(body: bytes, error: Exception) -> Answer:
    """The answer to a request that MLflow's code did not foresee: a body that no parser can read, or a result without a
    JSON form.
    """
    try:
        json.loads(body)
    except (RecursionError, ValueError) as unreadable:
        message = f"The body cannot be read: {type(unreadable).__name__}: {unreadable}"
        return json_answer(400, {"error_code": "BAD_REQUEST", "message": message}, CLIENT_ERROR)
    message = f"The model's answer has no JSON form. {type(error).__name__}: {error}"
    return json_answer(500, {"error_code": "INTERNAL_ERROR", "message": message}, SERVER_ERROR)
