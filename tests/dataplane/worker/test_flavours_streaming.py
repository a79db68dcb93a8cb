"""Streamed answers of a real model: server-sent events whose data are the parts that `mlflow.pyfunc` streams."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import msgspec
import pytest

from dataplane.wire.frames import RequestHeader
from dataplane.worker.answers import Answer
from dataplane.worker.scorer import Scorer
from tests.dataplane.worker import flavours_models as models

pytestmark = pytest.mark.slow
HEADER = RequestHeader("stream", content_type="application/json", accept="*/*")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The streaming model; what the scorer sets for its process is forgotten afterwards."""
    path = tmp_path_factory.mktemp("streaming") / "model"
    models.streaming(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IS_IN_MLFLOW_SERVING_ENVIRONMENT", "true")
        yield path


@pytest.fixture(scope="module")
def talking(folder: Path) -> Scorer:
    scorer = Scorer(folder, "7")
    scorer.warm_up()
    return scorer


def request(text: str, **further: Any) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": text}], **further}).encode()


def events(parts: Any) -> list[tuple[str, str]]:
    """The events of a stream as (type, data), read as a browser reads them."""
    assert not isinstance(parts, Answer), parts
    found = []
    for block in b"".join(parts).decode().removesuffix("\n\n").split("\n\n"):
        fields = [line.partition(":")[::2] for line in block.split("\n")]
        named = {name: value.removeprefix(" ") for name, value in fields}
        found.append((named.get("event", "message"), named["data"]))
    return found


def test_stream__asked_for_in_the_body__the_parts_that_pyfunc_streams(talking: Scorer, folder: Path) -> None:
    data = json.loads(request("one two three"))
    expected = list(mlflow.pyfunc.load_model(str(folder)).predict_stream(data))

    *parts, end = events(talking.stream(HEADER, request("one two three", stream=True)))

    assert expected == ["ONE", "TWO", "THREE"]
    assert [(kind, json.loads(text)["predictions"]) for kind, text in parts] == [("message", word) for word in expected]
    assert end == ("message", "[DONE]")


def test_stream__asked_for_by_the_accept_header__the_same_events(talking: Scorer) -> None:
    by_header = events(talking.stream(msgspec.structs.replace(HEADER, accept="text/event-stream"), request("one two")))

    assert by_header == events(talking.stream(HEADER, request("one two", stream=True)))


def test_stream__each_part__is_made_when_it_is_taken(talking: Scorer) -> None:
    parts = talking.stream(HEADER, request("one stop", stream=True))

    assert not isinstance(parts, Answer)
    assert b"ONE" in next(parts)
    assert next(parts).startswith(b"event: error")


def test_stream__model_raises_midway__ends_with_an_error_event(talking: Scorer) -> None:
    *_, last = events(talking.stream(HEADER, request("one two stop three", stream=True)))

    assert last[0] == "error"
    assert "ValueError: stopped" in json.loads(last[1])["message"]


def test_stream__model_raises_at_once__a_status_of_its_own(talking: Scorer) -> None:
    answer = talking.stream(HEADER, request("stop", stream=True))

    assert isinstance(answer, Answer)
    assert (answer.status, answer.outcome) == (500, "server_error")


def test_stream__nothing_said__ends_at_once(talking: Scorer) -> None:
    assert events(talking.stream(HEADER, request("", stream=True))) == [("message", "[DONE]")]


def test_stream__not_asked_for__the_whole_answer(talking: Scorer) -> None:
    answer = talking.stream(HEADER, request("one two"))

    assert isinstance(answer, Answer)
    assert (answer.status, json.loads(answer.body)) == (200, "ONE; TWO")


def test_stream__model_that_does_not_stream__refused(tmp_path: Path, folder: Path) -> None:
    models.without_signature(tmp_path / "model")
    scorer = Scorer(tmp_path / "model", "7")
    scorer.warm_up()
    body = json.dumps({"dataframe_split": models.rows(1).to_dict(orient="split", index=False), "stream": True})

    answer = scorer.stream(HEADER, body.encode())

    assert isinstance(answer, Answer)
    assert (answer.status, answer.outcome) == (400, "client_error")
    assert "does not support predict_stream" in json.loads(answer.body)["message"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"stream": true}', b'{"inputs": 1, "instances": 1, "stream": true}']
)
def test_stream__malformed__the_clients_error(talking: Scorer, body: bytes) -> None:
    answer = talking.stream(msgspec.structs.replace(HEADER, accept="text/event-stream"), body)

    assert isinstance(answer, Answer)
    assert (answer.status, answer.outcome) == (400, "client_error")


def test_stream__nested_too_deep__the_clients_error(talking: Scorer) -> None:
    body = b'{"stream": true, "messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"

    answer = talking.stream(HEADER, body)

    assert isinstance(answer, Answer)
    assert (answer.status, answer.outcome) == (400, "client_error")
