"""What the product costs while nobody asks anything of it, by kind of process, and how soon it reacts all the same.

Endpoints with a replica each are made in development, then left alone. Processor time is read from /proc by process id.
"""

import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import psutil

from tests.bench.report import Row, hand_over
from tests.e2e.client import Rest
from tests.support.product import Product, prepared
from tests.support.waiting import until

BUDGETS_PCT = {0: None, 20: 3.0, 100: 10.0}
MEASURED_S = 60.0
SETTLE_S = 15.0
REACTIONS = 10
READY_WITHIN_S = 300
ENVIRONMENT = "development"
OWN = ("web", "control", "work", "beat", "gateway", "agent", "up", "broker")
OTHERS = ("workers", "mlflow")


def _kinds(product: Product) -> Iterator[tuple[str, int]]:
    """Yield (kind, process id) of every process of the product."""
    told = json.loads((product.data_dir / "run" / "processes.json").read_text())
    yield "up", told["supervisor"]
    for row in told["processes"]:
        yield row["name"], row["pid"]
        for child in psutil.Process(row["pid"]).children(recursive=True):
            yield ("workers" if row["name"] == "agent" else row["name"]), child.pid


def spent_s(pid: int) -> float:
    """The processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle_pct(product: Product) -> dict[str, float]:
    """Kind → percent of a core over `MEASURED_S`, of the processes that live all the time."""
    before = {pid: (kind, spent_s(pid)) for kind, pid in _kinds(product)}
    began = time.monotonic()
    time.sleep(MEASURED_S)
    took = time.monotonic() - began
    spent = dict.fromkeys((*OWN, *OTHERS), 0.0)
    for pid, (kind, earlier) in before.items():
        with suppress(FileNotFoundError):
            spent[kind] += 100 * (spent_s(pid) - earlier) / took
    return spent


class House:
    """A running product whose endpoints all serve one version."""

    def __init__(self, product: Product) -> None:
        self.product = product
        self._rest = Rest(product)
        self._rest.until_mirrored()
        self._endpoints = 0
        with self._database() as database:
            database.execute("update registry_policy set replicas_max = null")
            database.commit()

    def _database(self) -> "closing[sqlite3.Connection]":
        (path,) = self.product.data_dir.glob("*.sqlite3")
        return closing(sqlite3.connect(path, timeout=20))

    def rows(self, query: str) -> list[tuple[str, ...]]:
        """What the site's database answers."""
        with self._database() as database:
            return database.execute(query).fetchall()

    def grow_to(self, count: int) -> None:
        """Make endpoints until there are `count`, and wait until all of them are served."""
        while self._endpoints < count:
            self._endpoints += 1
            name = f"e-{self._endpoints}"
            answer = self._rest.request(1, {"kind": "immediate"}, environment=ENVIRONMENT, endpoint=name)
            assert answer.status == 201, answer
        open_ones = "select count(*) from deployments_release where ended_at is null"
        until(lambda: self.rows(open_ones) == [(0,)], f"{count} endpoints are served", within_s=READY_WITHIN_S)

    def idle(self, count: int) -> list[Row]:
        """What `count` endpoints cost while nobody calls them."""
        self.grow_to(count)
        time.sleep(SETTLE_S)
        pct = idle_pct(self.product)
        total = sum(pct[kind] for kind in OWN)
        rows = [Row(f"{count} endpoints, idle: all of ours", total, "%", BUDGETS_PCT[count])]
        return rows + [Row(f"{count} endpoints, idle: {kind}", pct[kind], "%") for kind in (*OWN, *OTHERS)]

    def reactions(self) -> list[Row]:
        """How soon agent and gateway follow, over further endpoints made one after the other."""
        first = self._endpoints + 1
        for _ in range(REACTIONS):
            self.grow_to(self._endpoints + 1)
        made = self.rows(
            "select r.id, r.created_at, s.ready_at from deployments_replica r"
            " join deployments_replicastate s on s.replica_id = r.id"
            f" join deployments_endpoint e on e.id = r.endpoint_id where cast(substr(e.name, 3) as int) >= {first}"
        )
        starts = [self._started_at(replica) - _unix(created_at) for replica, created_at, _ in made]
        published, obeyed = self._routes()
        to_routes = [min(at for at in published if at > _unix(ready_at)) - _unix(ready_at) for _, _, ready_at in made]
        return [
            *_spread("replica wanted to process started", starts),
            *_spread("replica ready to routes published", to_routes),
            *_spread("routes published to acknowledged", obeyed[-REACTIONS:]),
        ]

    def _started_at(self, replica: str) -> float:
        """Return when the agent wrote down that it started the replica's process."""
        return (self.product.data_dir / "run" / "agent" / f"{replica}.json").stat().st_mtime

    def _routes(self) -> tuple[list[float], list[float]]:
        """Return when each revision was published, and after how many seconds it was acknowledged, by the news of
        both.
        """
        published, obeyed = [], []
        for at, data in self.rows("select at, data from live_event where topic = 'gateways' order by sequence"):
            if "revision" in json.loads(data):
                published.append(_unix(at))
            elif len(obeyed) < len(published):
                obeyed.append(_unix(at) - published[-1])
        return published, obeyed


def _unix(at: str) -> float:
    return datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp()


def _spread(what: str, seconds: list[float]) -> list[Row]:
    return [Row(f"{what}, median", median(seconds), "s"), Row(f"{what}, slowest", max(seconds), "s")]


def main() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="idle-", dir="/tmp") as folder,
        prepared(Path(folder), "--no-demo") as product,
    ):
        house = House(product)
        rows = [*house.idle(0), *house.idle(20), *house.reactions(), *house.idle(100)]
    hand_over(rows)


if __name__ == "__main__":
    main()
