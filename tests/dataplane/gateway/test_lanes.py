"""Lanes: how requests go together, what happens to those whose worker is gone, and what is counted."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from dataplane.gateway.core.pending_request import PendingRequest, RequestBatch, TimedOut
from dataplane.gateway.site.poll_stats import stats_of
from dataplane.gateway.state import State
from dataplane.wire.frames import AnswerHeader, FrameError, RequestHeader, encode_frame, read_frame
from tests.dataplane.gateway.conftest import Answer, FrameWorker, call, fine, table
from tests.support.waiting import auntil

PATH = "/production/endpoints/e/invocations"
INFER = "/production/v2/models/e/infer"
DIES_AFTER_S = 0.05
type_Start = Callable[..., Awaitable[FrameWorker]]


class Gate:
    """A behaviour that answers when it is opened."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.entered = asyncio.Event()

    async def __call__(self, header: Any, body: bytes) -> dict[str, Any]:
        self.entered.set()
        await self.opened.wait()
        return await fine(header, body)


def only_stable(worker: FrameWorker, **endpoint: Any) -> dict[str, Any]:
    document = table(sockets={"1": str(worker.path), "2": "/nowhere/2.sock"}, **{"max_in_flight": 100, **endpoint})
    document["endpoints"]["e"]["arms"] = document["endpoints"]["e"]["arms"][1:]
    return document


async def gather(state: State, count: int, path: str = PATH, body: bytes = b"{}") -> list[Answer]:
    return list(await asyncio.gather(*(call(state, "POST", path, body) for _ in range(count))))


async def queued(state: State, count: int) -> None:
    """Return when so many requests wait in the lane."""
    (lane,) = state.lanes.values()
    await auntil(lambda: lane.queued == count, f"{count} wait", seen=lambda: lane.queued)


async def test_batch__worker_idle__one_request_goes_at_once(state: State, start_worker: type_Start) -> None:
    worker = await start_worker("1", max_batch=64)
    state.apply(only_stable(worker))
    answer = await call(state, "POST", PATH)

    assert (answer.status, worker.sizes) == (200, [1])
    state.close()


async def test_batch__worker_busy__those_that_wait_go_together(state: State, start_worker: type_Start) -> None:
    gate = Gate()
    worker = await start_worker("1", gate, max_batch=64)
    state.apply(only_stable(worker, max_batch_rows=8, max_batch_delay_ms=60_000))
    first = asyncio.create_task(call(state, "POST", PATH))
    await gate.entered.wait()
    others = asyncio.create_task(gather(state, 5, body=b"{}  "))
    await queued(state, 5)
    gate.opened.set()
    answers = [await first, *await others]

    assert {answer.status for answer in answers} == {200}
    assert worker.sizes == [1, 5]
    assert [answer.json["got"] for answer in answers] == [2, 4, 4, 4, 4, 4]
    state.close()


async def test_batch__bound_reached_while_busy__does_not_wait(state: State, start_worker: type_Start) -> None:
    gate = Gate()
    worker = await start_worker("1", gate, max_batch=64)
    state.apply(only_stable(worker, max_batch_rows=3, max_batch_delay_ms=60_000))
    first = asyncio.create_task(call(state, "POST", PATH))
    await gate.entered.wait()
    others = asyncio.create_task(gather(state, 4))
    lane = next(iter(state.lanes.values()))
    await queued(state, 1)

    assert (lane.queued, lane.replicas.in_flight()) == (1, {"r-1": 4})
    gate.opened.set()
    await asyncio.gather(first, others)
    assert worker.sizes == [1, 3, 1]
    assert lane.counts.batch_sizes == {1: 2, 4: 1}
    state.close()


async def test_batch__worker_takes_one_at_a_time__never_more(state: State, start_worker: type_Start) -> None:
    worker = await start_worker("1", max_batch=1)
    state.apply(only_stable(worker))
    await gather(state, 6)

    assert worker.sizes == [1] * 6
    state.close()


async def test_batch__other_protocol_or_content_type__is_not_mixed(state: State, start_worker: type_Start) -> None:
    gate = Gate()
    worker = await start_worker("1", gate, max_batch=64)
    state.apply(only_stable(worker, max_batch_delay_ms=60_000))
    first = asyncio.create_task(call(state, "POST", PATH))
    await gate.entered.wait()
    others = [
        asyncio.create_task(call(state, "POST", PATH)),
        asyncio.create_task(call(state, "POST", PATH, content_type="text/csv")),
        asyncio.create_task(call(state, "POST", INFER)),
    ]
    await auntil(
        lambda: state.open_requests[("production", "e")] == 4, "all have come", seen=lambda: state.open_requests
    )
    gate.opened.set()
    await asyncio.gather(first, *others)

    kinds = {(header.op, header.content_type) for header in worker.seen}
    assert kinds == {("invocations", "application/json"), ("invocations", "text/csv"), ("infer", "")}
    assert worker.sizes == [1, 1, 1, 1]
    state.close()


async def test_deadline__passes_in_the_queue__504_and_never_sent(state: State, start_worker: type_Start) -> None:
    gate = Gate()
    worker = await start_worker("1", gate, max_batch=1)
    state.apply(only_stable(worker, timeout_ms=60))
    answers = await gather(state, 4)
    gate.opened.set()

    assert [answer.status for answer in answers] == [504] * 4
    assert len(worker.seen) <= 2
    assert next(iter(state.lanes.values())).counts.expired == 4
    state.close()


async def test_worker_gone__request_it_never_began__other_replica_answers(
    state: State, start_worker: type_Start
) -> None:
    async def die(header: Any, body: bytes) -> None:
        await asyncio.sleep(DIES_AFTER_S)

    dying, healthy = await start_worker("1", die), await start_worker("2")
    document = only_stable(dying)
    replicas = [{"id": f"r-{n}", "address": f"unix:{path}"} for n, path in enumerate([dying.path, healthy.path])]
    document["endpoints"]["e"]["arms"][0]["replicas"] = replicas
    state.apply(document)
    answers = await gather(state, 12)
    statuses = [answer.status for answer in answers]

    assert statuses.count(502) == 1
    assert statuses.count(200) == 11
    lane = next(iter(state.lanes.values()))
    assert set(lane.replicas.ejected) == {"r-0"}
    assert lane.counts.retries >= 1
    assert stats_of(state).lanes[0].ejections == {"r-0": 1}

    document["revision"] += 1
    document["endpoints"]["e"]["arms"][0]["release"] = "another"
    state.apply(document)
    assert lane.replicas.ejections == {}, "what an earlier release met is not held against this one"
    state.close()


async def test_ejection__only_replica_fails__is_tried_again_at_once_when_it_is_back(
    state: State, start_worker: type_Start, short_dir: Any
) -> None:
    document = table(sockets={"1": str(short_dir / "1.sock"), "2": "/nowhere/2.sock"})
    document["endpoints"]["e"]["arms"] = document["endpoints"]["e"]["arms"][1:]
    state.apply(document)
    refused = [(await call(state, "POST", PATH)).status for _ in range(3)]
    await start_worker("1")

    assert refused == [503, 503, 503]
    assert (await call(state, "POST", PATH)).status == 200
    state.close()


@pytest.mark.parametrize(("policy", "status", "arm"), [(True, 200, "stable"), (False, 503, "candidate")])
async def test_candidate_unreachable__policy_decides_and_the_failure_counts_on_it(
    state: State, start_worker: type_Start, policy: bool, status: int, arm: str
) -> None:
    stable = await start_worker("1")
    document = table(weight=100, sockets={"1": str(stable.path), "2": "/nowhere/2.sock"}, retry_on_stable=policy)
    state.apply(document)
    answer = await call(state, "POST", PATH)
    windows = state.windows.take(everything=True)

    assert (answer.status, answer.headers["x-mlorch-arm"]) == (status, arm)
    assert [(window.arm, window.server_errors) for window in windows] == [("candidate", 1)]
    state.close()


async def test_arm_withdrawn__requests_nobody_has_yet__go_to_the_arm_of_now(
    state: State, start_worker: type_Start
) -> None:
    gate = Gate()
    bad, good = await start_worker("2", gate, max_batch=1), await start_worker("1")
    sockets = {"1": str(good.path), "2": str(bad.path)}
    state.apply(table(1, weight=100, sockets=sockets, max_in_flight=100))
    waiting = asyncio.create_task(gather(state, 10))
    await gate.entered.wait()
    withdrawn = table(2, weight=0, sockets=sockets, max_in_flight=100)
    withdrawn["endpoints"]["e"]["arms"] = withdrawn["endpoints"]["e"]["arms"][1:]
    state.apply(withdrawn)
    await auntil(lambda: len(good.seen) >= 8, "the others have moved", seen=lambda: len(good.seen))
    gate.opened.set()
    answers = await waiting
    versions = [answer.headers["x-mlorch-version"] for answer in answers]

    assert {answer.status for answer in answers} == {200}
    assert versions.count("2") <= 2
    assert versions.count("1") >= 8
    state.forget_all_but(["production"])
    assert [key[2] for key in state.lanes] == ["stable"]
    state.close()


async def test_stream__parts_arrive_in_order(state: State, short_dir: Any) -> None:
    async def streaming(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            header, _ = await read_frame(reader, RequestHeader)
            if header.op == "hello":
                writer.write(encode_frame(AnswerHeader(header.id), b'{"max_batch": 1}'))
                continue
            told = AnswerHeader(header.id, content_type="text/event-stream")
            for part in (b"one ", b"two "):
                writer.write(encode_frame(msgspec.structs.replace(told, more=True), part))
            writer.write(encode_frame(told))

    server = await asyncio.start_unix_server(streaming, path=str(short_dir / "1.sock"))
    document = table(sockets={"1": str(short_dir / "1.sock"), "2": "/nowhere/2.sock"})
    document["endpoints"]["e"]["arms"] = document["endpoints"]["e"]["arms"][1:]
    state.apply(document)
    answer = await call(state, "POST", PATH, json.dumps({"inputs": [1], "stream": True}).encode())

    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.body == b"one two "
    state.close()
    server.close()


async def test_stream__comes_quicker_than_it_is_taken__is_cut_and_the_worker_told() -> None:
    told, cancelled = [], []
    kind = RequestHeader("stream")
    request = PendingRequest(kind, b"{}", 0.0, 1e9, lambda *end: told.append(end))
    batch = RequestBatch([request], lambda _: None)
    request.sent_to = (SimpleNamespace(cancel=lambda *which: cancelled.append(which)), 7, 0)
    more = AnswerHeader(7, content_type="text/event-stream", more=True)
    for _ in range(1 + 16 + 1 + 16):  # the answer itself, what may wait, what is cut, what may be on its way
        batch.part(more, b"x" * 2**20)
    parts = told[0][0].parts
    taken = [parts.get_nowait() for _ in range(parts.qsize())]

    assert len(taken) == 16 + 2
    assert (b"STREAM_CUT" in taken[-2], taken[-1]) == (True, None)
    assert cancelled == [(7, 0)]
    assert parts.waiting_bytes == 0
    with pytest.raises(FrameError, match="goes on"):
        batch.part(more, b"x" * 2**20)


async def test_batch__worker_answers_another_number_of_requests__they_fail_at_once(
    state: State, short_dir: Any
) -> None:
    async def answers_none(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            header, _ = await read_frame(reader, RequestHeader)
            answers = None if header.op == "hello" else []
            writer.write(encode_frame(AnswerHeader(header.id, answers=answers), b'{"max_batch": 1}'))

    server = await asyncio.start_unix_server(answers_none, path=str(short_dir / "1.sock"))
    document = table(sockets={"1": str(short_dir / "1.sock"), "2": "/nowhere/2.sock"})
    document["endpoints"]["e"]["arms"] = document["endpoints"]["e"]["arms"][1:]
    state.apply(document)
    began = time.monotonic()
    answer = await call(state, "POST", PATH)

    assert answer.status in (502, 503)
    assert time.monotonic() - began < 30  # its deadline is a minute away
    state.close()
    server.close()


async def test_deadline__request_from_another_arm_is_older__ends_in_its_own_time(
    start_worker: type_Start, state: State
) -> None:
    gate, ends = Gate(), {}
    worker = await start_worker("1", gate, max_batch=1)
    state.apply(only_stable(worker))
    (lane,) = state.lanes.values()
    now = time.perf_counter()
    for name, left_s in (("here before", 3600.0), ("moved here", 0.05)):
        kind = RequestHeader("invocations")
        lane.submit(PendingRequest(kind, b"{}", now, now + left_s, lambda *end, name=name: ends.update({name: end})))
    await auntil(lambda: ends, "one has ended")

    assert list(ends) == ["moved here"]
    assert isinstance(ends["moved here"][1], TimedOut)
    gate.opened.set()
    state.close()


async def test_stable_asked_for_a_failed_candidate__then_withdrawn__is_counted_on_no_further_arm(
    state: State, start_worker: type_Start
) -> None:
    gate = Gate()
    old, new = await start_worker("1", gate, max_batch=1), await start_worker("3")
    sockets = {"1": str(old.path), "2": "/nowhere/2.sock"}
    state.apply(table(1, weight=100, sockets=sockets, retry_on_stable=True, max_in_flight=100))
    stable = state.lanes[("production", "e", "stable", "1")]
    # A version that is named counts in no window; these keep the stable worker busy.
    busy = asyncio.create_task(gather(state, 2, "/production/v2/models/e/versions/1/infer"))
    await auntil(
        lambda: sum(stable.replicas.in_flight().values()) == 2, "the requests are where they should be", every_s=0
    )
    asking = asyncio.create_task(call(state, "POST", PATH))
    await auntil(lambda: stable.queued == 1, "the requests are where they should be", every_s=0)
    replaced = table(2, sockets={"1": str(new.path), "2": "/nowhere/2.sock"}, max_in_flight=100)
    replaced["endpoints"]["e"]["arms"] = [{**replaced["endpoints"]["e"]["arms"][1], "version": "3"}]
    state.apply(replaced)
    answer = await asking
    gate.opened.set()
    await busy

    assert (answer.status, answer.headers["x-mlorch-version"]) == (200, "3")
    windows = state.windows.take(everything=True)
    assert [(row.arm, row.version, row.requests) for row in windows] == [("candidate", "2", 1)]
    state.close()


async def test_withdrawn_arm_stands_before_a_new_one_in_the_table__its_requests_go_to_the_new_one(
    state: State, start_worker: type_Start
) -> None:
    new = await start_worker("3")
    sockets = {"1": "/nowhere/1.sock", "2": "/nowhere/2.sock"}
    state.apply(table(1, weight=100, sockets=sockets))
    candidate = state.lanes[("production", "e", "candidate", "2")]
    asking = asyncio.create_task(call(state, "POST", PATH))
    await auntil(lambda: candidate.queued == 1, "the requests are where they should be", every_s=0)
    replaced = table(2, weight=0, sockets={"1": str(new.path), "2": "/nowhere/2.sock"})
    replaced["endpoints"]["e"]["arms"][1]["version"] = "3"
    state.apply(replaced)
    answer = await asking

    assert (answer.status, answer.headers["x-mlorch-version"]) == (200, "3")
    state.close()


async def test_stable_arm_forgotten_meanwhile__candidate_that_fails__is_answered_all_the_same(
    state: State, start_worker: type_Start
) -> None:
    opened = asyncio.Event()

    async def die(header: Any, body: bytes) -> None:
        await opened.wait()

    candidate, stable = await start_worker("2", die, max_batch=1), await start_worker("1")
    sockets = {"1": str(stable.path), "2": str(candidate.path)}
    state.apply(table(1, weight=100, sockets=sockets, retry_on_stable=True, max_in_flight=100))
    lane = state.lanes[("production", "e", "candidate", "2")]
    asking = asyncio.create_task(gather(state, 2))
    await auntil(
        lambda: sum(lane.replicas.in_flight().values()) == 2, "the requests are where they should be", every_s=0
    )
    alone = table(2, weight=100, sockets=sockets, max_in_flight=100)
    alone["endpoints"]["e"]["arms"] = alone["endpoints"]["e"]["arms"][:1]
    state.apply(alone)
    state.forget_all_but(["production"])
    candidate.path.unlink()
    opened.set()
    async with asyncio.timeout(5):
        answers = await asking

    assert sorted(answer.status for answer in answers) == [502, 503]
    assert state.open_requests == {("production", "e"): 0}
    state.close()
