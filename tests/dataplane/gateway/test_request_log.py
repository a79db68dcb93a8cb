"""The request log: sampled, redacted, bounded, in files and as CloudEvents; serving never waits for it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from dataplane.gateway.site import request_log
from dataplane.gateway.site.log_entry import LogEntry
from dataplane.gateway.site.redaction import redacted
from dataplane.gateway.site.request_log import RequestLog
from dataplane.gateway.state import State
from tests.dataplane.gateway.conftest import FrameWorker, call, table

PATH = "/production/endpoints/e/invocations"
BODY = json.dumps({"dataframe_split": {"columns": ["age", "ssn"], "data": [[31, "123-45"]]}}).encode()
type_Start = Callable[..., Awaitable[FrameWorker]]


def entry(**changes: Any) -> LogEntry:
    fields: dict[str, Any] = {
        "at": 1790000000.25,
        "id": "abc-123",
        "environment": "production",
        "endpoint": "e",
        "arm": "stable",
        "version": "1",
        "release": "rel-1",
        "op": "invocations",
        "content_type": "application/json",
        "status": 200,
        "outcome": "ok",
        "latency_ms": 1.5,
        "request": BODY,
        "answer_type": "application/json",
        "answer": b'{"predictions": [1]}',
        "hidden": frozenset(),
    }
    return LogEntry(**fields | changes)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in sorted(folder.rglob("*.jsonl")) for line in file.read_text().splitlines()]


async def serve(state: State, start: type_Start, share_pct: float, redacted_columns: list[str]) -> None:
    worker = await start("1", max_batch=8)
    logged = {"share_pct": share_pct, "redacted": redacted_columns}
    document = table(sockets={"1": str(worker.path), "2": "/nowhere/2.sock"}, log=logged, max_in_flight=500)
    document["endpoints"]["e"]["arms"] = document["endpoints"]["e"]["arms"][1:]
    state.apply(document)


async def test_log__all_requests__written_with_who_answered_and_without_hidden_columns(
    state: State, start_worker: type_Start
) -> None:
    await serve(state, start_worker, 100, ["ssn"])
    answer = await call(state, "POST", PATH, BODY)
    await state.request_log.drain(None)
    (row,) = lines(state.config.folder / "requests")

    assert row["id"] == answer.headers["x-request-id"]
    assert (row["environment"], row["endpoint"], row["arm"], row["version"]) == ("production", "e", "stable", "1")
    assert (row["status"], row["outcome"]) == (200, "ok")
    assert json.loads(row["request"])["dataframe_split"]["data"] == [[31, "[redacted]"]]
    assert "123-45" not in json.dumps(row)
    (file,) = (state.config.folder / "requests" / "production" / "e").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    state.close()


async def test_log__a_share__about_that_many(state: State, start_worker: type_Start) -> None:
    await serve(state, start_worker, 25, [])
    await asyncio.gather(*(call(state, "POST", PATH) for _ in range(400)))
    await state.request_log.drain(None)

    assert 60 <= state.request_log.counts[("production", "e")].written <= 140
    state.close()


async def test_log__no_share__nothing(state: State, start_worker: type_Start) -> None:
    await serve(state, start_worker, 0, [])
    await call(state, "POST", PATH)
    await state.request_log.drain(None)

    assert state.request_log.counts == {}
    state.close()


async def test_offer__no_room__counted_as_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_log, "ENTRIES_MAX", 3)
    log = RequestLog(tmp_path)
    for _ in range(5):
        log.offer(entry())
    log.offer(entry(request=b"x" * (request_log.BODY_MAX_BYTES + 1)))
    await log.drain(None)
    counts = log.counts[("production", "e")]

    assert (counts.written, counts.dropped) == (3, 3)


async def test_drain__folder_cannot_be_written__counted_as_dropped(tmp_path: Path) -> None:
    (tmp_path / "production").write_text("a file where a folder should be")
    log = RequestLog(tmp_path)
    log.offer(entry())
    await log.drain(None)

    assert log.counts[("production", "e")].dropped == 1


async def test_drain__folder_is_full__oldest_file_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_log, "FOLDER_MAX_BYTES", 1500)
    log = RequestLog(tmp_path)
    for hour in range(5):
        log.offer(entry(at=1790000000.0 + 3600 * hour))
        await log.drain(None)
    kept = sorted(file.name for file in (tmp_path / "production" / "e").iterdir())

    assert len(kept) < 5
    assert kept[-1] == "20260921T18.jsonl"
    assert sum(file.stat().st_size for file in (tmp_path / "production" / "e").iterdir()) <= 2500


async def test_export__sink__gets_a_pair_of_cloudevents(tmp_path: Path) -> None:
    seen: list[tuple[dict[str, str], bytes]] = []

    async def take(request: web.Request) -> web.Response:
        seen.append((dict(request.headers), await request.read()))
        return web.Response(status=202)

    app = web.Application()
    app.router.add_post("/events", take)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        log = RequestLog(tmp_path, str(server.make_url("/events")))
        log.offer(entry(hidden=frozenset({"ssn"})))
        await log.drain(session)
    (request, request_body), (answer, answer_body) = seen

    assert request["ce-type"] == "org.kubeflow.serving.inference.request"
    assert answer["ce-type"] == "org.kubeflow.serving.inference.response"
    assert request["ce-id"] == answer["ce-id"] == "abc-123"
    assert (request["ce-specversion"], request["ce-inferenceservicename"], request["ce-namespace"]) == (
        "1.0",
        "e",
        "production",
    )
    assert b"123-45" not in request_body
    assert json.loads(answer_body) == {"predictions": [1]}
    assert log.counts[("production", "e")].exported == 1


async def test_export__sink_is_away__counted_and_written_all_the_same(tmp_path: Path) -> None:
    log = RequestLog(tmp_path, "http://127.0.0.1:1/")
    log.offer(entry())
    async with aiohttp.ClientSession() as session:
        await log.drain(session)
    counts = log.counts[("production", "e")]

    assert (counts.written, counts.exported, counts.dropped) == (1, 0, 1)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"dataframe_records": [{"age": 3, "ssn": "123-45"}]}', "application/json"),
        (b'{"instances": [{"ssn": "123-45"}]}', "application/json; charset=utf-8"),
        (b'{"inputs": {"ssn": ["123-45"], "age": [3]}}', "application/json"),
        (b'{"inputs": [{"name": "ssn", "shape": [1], "datatype": "BYTES", "data": ["123-45"]}]}', "application/json"),
        (b"age,ssn\n3,123-45\n", "text/csv"),
        (b'{"inputs": {"ssn": ["123-45"]', "application/json"),
        (b"\xff\xfe123-45", "application/octet-stream"),
        (b'{"dataframe_split": {"columns": ["ssn"], "data": ["123-45"]}}', "application/json"),
    ],
)
def test_redacted__every_form__hidden_value_is_gone(body: bytes, content_type: str) -> None:
    assert b"123-45" not in redacted(body, content_type, frozenset({"ssn"}))


def test_redacted__other_columns__stay() -> None:
    told = redacted(b"age,ssn\n3,123-45\n", "text/csv", frozenset({"ssn"}))

    assert told == b"age,ssn\n3,[redacted]\n"


@pytest.mark.parametrize(
    "body", [b'{"name": [], "data": 1}', b'{"columns": [{}], "data": [[1]]}', b"[" * 100_000, b'{"a": "\\ud800"}']
)
def test_redacted__hostile_body__is_told_without_a_failure(body: bytes) -> None:
    assert json.loads(redacted(body, "application/json", frozenset({"ssn"})))
