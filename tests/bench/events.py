"""What happens to a running product while it is under load, seen from outside: by its files."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tests.bench.steady import Seen
from tests.support.product import Product

LOOK_S = 0.02
AROUND_S = 1.0  # an event touches the requests that are open so long before and after it


class Event(NamedTuple):
    """Something that must not cost a request. Times are Unix time."""

    kind: str
    began: float
    ended: float

    def touches(self, row: Seen) -> bool:
        return row.sent < self.ended + AROUND_S and row.ended > self.began - AROUND_S


class Watch:
    """Notes from a thread of its own what changes: applied route tables, workers, gateway processes."""

    def __init__(self, product: Product, environment: str) -> None:
        self._data = product.data_dir
        self._environment = environment
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.events: list[Event] = []

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> dict[str, set[str]]:
        tables = self._data.glob(f"gateway/*/routes/{self._environment}.json")
        with suppress(OSError, ValueError):
            rows = json.loads((self._data / "run" / "processes.json").read_text())["processes"]
            gateways = {str(row["pid"]) for row in rows if row["name"].startswith("gateway") and row["pid"]}
            workers = {path.name for path in (self._data / "run" / "agent").glob("*.json")}
            return {"table": _stamps(tables), "replica": workers, "gateway": gateways}
        return {}

    def _run(self) -> None:
        before, at = self._look(), time.time()
        while not self._ended.wait(LOOK_S):
            now, later = self._look(), time.time()
            if now and before:
                self._compare(before, now, at, later)
            before, at = now or before, later

    def _compare(self, before: dict[str, set[str]], now: dict[str, set[str]], began: float, ended: float) -> None:
        said = {
            "weight change": now["table"] - before["table"],
            "replica start": now["replica"] - before["replica"],
            "replica stop": before["replica"] - now["replica"],
            "gateway process takes over": now["gateway"] - before["gateway"],
            "gateway process ends": before["gateway"] - now["gateway"],
        }
        self.events += [Event(kind, began, ended) for kind, which in said.items() for _ in which]


def _stamps(paths: Iterable[Path]) -> set[str]:
    return {f"{path} {path.stat().st_mtime_ns}" for path in paths}


def failures(events: list[Event], answers: list[Seen]) -> dict[str, tuple[int, int, int]]:
    """Kind → (events, requests that one of them touched, those of them that failed)."""
    told = {}
    for kind, count in Counter(event.kind for event in events).items():
        spans = [event for event in events if event.kind == kind]
        touched = [row for row in answers if any(event.touches(row) for event in spans)]
        told[kind] = count, len(touched), sum(row.status != 200 for row in touched)
    return told
