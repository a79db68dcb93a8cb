"""Site, Celery, broker, database and MLflow are all gone: answers go on, a new gateway process begins from what is on
disk, nothing counted is lost.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.e2e.client import ROWS, Load, Rest, Seen, infer, send
from tests.support import pace
from tests.support.product import Product, prepared
from tests.support.waiting import until

pytestmark = pytest.mark.e2e

ENDPOINT = "outage"
RATE_PER_S = 40
DEAD = ("mlflow", "broker", "web", "control", "work", "beat")
DATABASE = ("mlorch.sqlite3", "mlorch.sqlite3-wal", "mlorch.sqlite3-shm")
LOST_WITH_A_PROCESS_S = 2  # the windows that a killed gateway had not closed
BACK_WITHIN_S = 120  # the supervisor waits up to 20 s before it starts again what has died often


@pytest.fixture
def outage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A product of its own that serves version 1 with one gateway process: it is going to be taken to pieces."""
    with prepared(tmp_path_factory.mktemp("outage"), "--no-demo", "--gateway-processes", "1") as product:
        rest = Rest(product)
        rest.until_mirrored()
        serve(rest, 1)
        yield product


def serve(rest: Rest, version: int) -> None:
    answer = rest.request(version, {"kind": "immediate"}, endpoint=ENDPOINT)
    assert answer.status == 201, answer
    rest.approve(answer.body["id"])
    rest.reach(answer.body["id"], {"succeeded"})


@contextmanager
def held_down(product: Product) -> Iterator[None]:
    """Kill everything but gateway, agent and workers, and again whenever it comes back; take the database away
    meanwhile.
    """
    ended, away = threading.Event(), product.data_dir / "away"

    def hold() -> None:
        while not ended.wait(0.02):
            for name in DEAD:
                with suppress(ProcessLookupError, ValueError, StopIteration):
                    if pid := product.process_named(name)["pid"]:
                        os.killpg(pid, signal.SIGKILL)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        until(lambda: not product.answers(f"{product.web}/healthz"), "the site is dead")
        away.mkdir()
        move(product.data_dir, away)
        yield
    finally:
        ended.set()
        holder.join()
        move(away, product.data_dir)


def move(source: Path, target: Path) -> None:
    for name in DATABASE:
        if (source / name).exists():
            (source / name).replace(target / name)


def killed(product: Product, name: str) -> float:
    """Kill a process and return the time once its successor is ready."""
    before = product.process_named(name)["pid"]
    product.kill(name)

    def back() -> bool:
        now = product.process_named(name)
        return now["pid"] != before and now["state"] == "ready"

    until(back, f"{name} is back")
    return time.time()


def kill_worker(product: Product) -> float:
    """Kill the only worker and return the time."""
    (record,) = (product.data_dir / "run" / "agent").glob("*.json")
    os.kill(json.loads(record.read_text())["pid"], signal.SIGKILL)
    return time.time()


def answers_again(load: Load, since: float) -> None:
    def answered() -> bool:
        seen = load.since(since)
        wanted = round(load.rate_per_s)
        return len(seen) > wanted and all(row.status == 200 for row in seen[-wanted:])

    until(answered, "a second of answers without a failure")


def failed(seen: list[Seen]) -> list[Seen]:
    return [row for row in seen if row.status != 200]


def counted(rest: Rest) -> int:
    """How many requests the site has counted, 0 while it is not back."""
    with suppress(OSError, AssertionError):
        told = rest.get(f"/endpoints/production/{ENDPOINT}/metrics?minutes=30")
        return next(int(arm["requests"]) for arm in told["arms"] if arm["arm"] == "all")
    return 0


def test_outage__everything_but_the_data_plane_is_dead__answers_keys_and_counts_go_on(outage: Product) -> None:
    rest = Rest(outage)
    before = counted(rest)
    with Load(outage, RATE_PER_S, ENDPOINT) as load:
        load.go_on(2)
        with held_down(outage):
            load.go_on(5)
            assert not failed(load.answers), "the end of the control plane was noticed"
            refused = send("POST", f"{outage.gateway}/production/endpoints/{ENDPOINT}/invocations", "mlk_wrong", b"{}")
            assert refused.status == 401

            restarted = killed(outage, "gateway")
            answers_again(load, restarted)
            assert not failed(load.since(restarted + 0.5)), "the new gateway process does not serve from disk"
            assert not outage.answers(f"{outage.web}/healthz")

            killed(outage, "agent")
            load.go_on(2)
            assert not failed(load.since(restarted + 0.5)), "the end of the agent was noticed"
            worker_killed = kill_worker(outage)
            answers_again(load, worker_killed)
            form = {"dataframe_split": ROWS.iloc[:3].to_dict(orient="split", index=False)}
            answer = infer(outage, f"/production/endpoints/{ENDPOINT}/invocations", form)
            assert (answer.status, answer.headers["x-mlorch-version"]) == (200, "1")
        until(lambda: outage.answers(f"{outage.web}/healthz"), "the site is back", within_s=BACK_WITHIN_S)
    asked = pace.TRIES + len(load.answers) + 1

    def delivered() -> bool:
        return counted(rest) - before >= asked - load.rate_per_s * LOST_WITH_A_PROCESS_S - len(failed(load.answers))

    until(delivered, "the windows of the outage are delivered")
    assert counted(rest) - before <= asked
    until(lambda: outage.answers(f"{outage.mlflow}/health"), "MLflow is back", within_s=BACK_WITHIN_S)
    serve(rest, 2)
