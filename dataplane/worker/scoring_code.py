"""MLflow's own scoring code, whichever of its versions a model's environment has (2.9 and later).

What differs between them is asked by what is there, never by a number.
"""

import json
from typing import Any, NamedTuple

import mlflow.models
import numpy as np
import pandas as pd
from mlflow.pyfunc import scoring_server

# Servers on Flask took text, and ask the request at hand for its media type.
IS_ON_FLASK = hasattr(scoring_server, "flask")
UNSUPPORTED = "This predictor only supports the following content types: {}. Got '{}'."


class Parsed(NamedTuple):
    """The data of a request, its parameters, and whether it is in the form of a language model's."""

    data: Any
    params: Any
    is_unified_llm_input: bool = False


def parse(body: bytes, metadata: Any, schema: Any) -> Any:
    """A body of JSON as MLflow reads it: data, params, is_unified_llm_input. Raises what MLflow raises."""
    own = getattr(scoring_server, "_parse_json_data", None)
    if own is not None:
        return own(body, metadata, schema)
    text = body.decode()
    asked = json.loads(text)
    formats = getattr(scoring_server, "SUPPORTED_LLM_FORMATS", ())
    if isinstance(asked, dict) and any(name in asked for name in formats):
        data, params = scoring_server._split_data_and_params_for_llm_input(asked, metadata.get_params_schema())
        return Parsed(data, params, True)
    data, params = scoring_server._split_data_and_params(text)
    return Parsed(scoring_server.infer_and_parse_data(data, schema), params)


def respond(body: bytes, content_type: str, model: Any, schema: Any) -> Any:
    """MLflow's response to a body: text, status, media type. Raises what MLflow raises."""
    if not IS_ON_FLASK:
        return scoring_server.invocations(body, content_type, model, schema)
    known = scoring_server.CONTENT_TYPES
    if content_type.partition(";")[0].strip() not in known:
        return scoring_server.InvocationsResponse(UNSUPPORTED.format(known, content_type), 415, "text/plain")
    return scoring_server.invocations(body.decode(), content_type, model, schema)


def serving_example(metadata: Any, artifacts: str) -> "bytes | None":
    """The body that a client would send for the version's input example, None when it has none."""
    if not metadata.saved_input_example_info:
        return None
    example = metadata.load_input_example(artifacts)
    convert = getattr(mlflow.models, "convert_input_example_to_serving_input", _serving_input)
    converted = convert(example)
    return converted.encode() if isinstance(converted, str) else json.dumps(converted).encode()


def _serving_input(example: Any) -> "dict[str, Any]":
    """As MLflow does it since 2.15."""
    if isinstance(example, pd.DataFrame):
        split = json.loads(example.to_json(orient="split", date_format="iso"))
        return {"dataframe_split": {"columns": split["columns"], "data": split["data"]}}
    return {"inputs": _plain(example)}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
