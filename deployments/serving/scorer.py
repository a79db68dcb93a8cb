"""Load one version with MLflow and answer requests with it, as `mlflow models serve` does and as OIP v2 asks."""

import json
import os
from pathlib import Path
from typing import Any

import mlflow.pyfunc
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server

from deployments.serving import oip
from deployments.serving.answers import CLIENT_ERROR, SERVER_ERROR, Answer, BadInput, json_answer

SERVING_EXAMPLE = "serving_input_example.json"
# MLflow answers 400 with this error code both for bad input and for a model that raised; only the latter carries a stack trace.
STACK_TRACE = "stack_trace"


class Scorer:
    """One loaded version."""

    def __init__(self, artifacts: Path, version: str) -> None:
        os.environ["IS_IN_MLFLOW_SERVING_ENVIRONMENT"] = "true"
        self._artifacts = artifacts
        self._version = version
        self.model = mlflow.pyfunc.load_model(str(artifacts))
        self._input_schema = self.model.metadata.get_input_schema()

    def warm_up(self) -> bool:
        """Answer the version's own input example once; return whether it has one. Raises RuntimeError when that fails."""
        example = self._example()
        if example is None:
            return False
        answer = self.invocations(example, "application/json")
        if answer.status != 200:
            raise RuntimeError(
                f"the input example was answered with {answer.status}: {answer.body[:300].decode(errors='replace')}"
            )
        return True

    def _example(self) -> bytes | None:
        stored = self._artifacts / SERVING_EXAMPLE
        if stored.is_file():
            return stored.read_bytes()
        if not self.model.metadata.saved_input_example_info:
            return None
        example = self.model.metadata.load_input_example(str(self._artifacts))
        converted = mlflow.models.convert_input_example_to_serving_input(example)
        return converted.encode() if isinstance(converted, str) else json.dumps(converted).encode()

    def invocations(self, body: bytes, content_type: str) -> Answer:
        """Answer a request of MLflow's scoring protocol."""
        try:
            result = scoring_server.invocations(body, content_type or "", self.model, self._input_schema)
        except MlflowException as error:
            return self._refusal(error)
        outcome = CLIENT_ERROR if result.status >= 400 else None
        text = result.response
        return Answer(result.status, text.encode() if isinstance(text, str) else text, result.mimetype, outcome)

    def _refusal(self, error: MlflowException) -> Answer:
        content = json.loads(error.serialize_as_json())
        failed = content.pop(STACK_TRACE, None) is not None
        status = error.get_http_status_code()
        outcome = SERVER_ERROR if failed or status >= 500 else CLIENT_ERROR
        if failed:
            cause = error.__cause__ or error.__context__
            content["message"] += f" The model raised {type(cause).__name__}: {cause}" if cause else ""
        return json_answer(status, content, outcome)

    def infer(self, body: bytes, model_name: str) -> Answer:
        """Answer an OIP v2 inference request."""
        try:
            request = oip.parse_request(body)
            data = oip.model_input([oip.decode_tensor(tensor) for tensor in request["inputs"]], self._input_schema)
            result = self._predict(data, self._params(request))
            outputs = oip.encode_outputs(result, [output["name"] for output in request.get("outputs", [])])
        except BadInput as error:
            return json_answer(400, {"error": str(error)}, CLIENT_ERROR)
        except MlflowException as error:
            return json_answer(400, {"error": error.message}, CLIENT_ERROR)
        except Exception as error:  # whatever a model raises is its failure, not the client's
            return json_answer(500, {"error": f"the model raised {type(error).__name__}: {error}"}, SERVER_ERROR)
        answer = {"model_name": model_name, "model_version": self._version, "outputs": outputs}
        if "id" in request:
            answer["id"] = request["id"]
        return json_answer(200, answer)

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
        return json_answer(200, oip.metadata(model_name, self._version, self.model.metadata.signature))
