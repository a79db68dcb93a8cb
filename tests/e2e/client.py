"""What a user's programs do: REST calls by API token, inference calls by gateway key, and a steady load with its
answers kept.
"""

import asyncio
import json
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

import aiohttp
from sklearn.datasets import load_breast_cancer

from tests.support.pace import affordable_per_s
from tests.support.product import Product
from tests.support.waiting import PATIENCE_S, patience, until

CALL_TIMEOUT_S = 30
ROWS = load_breast_cancer(as_frame=True).data
ENDED = {"succeeded", "rolled_back", "aborted", "rejected", "expired", "failed"}


@dataclass(frozen=True)
class Answer:
    """A status, a JSON body, and the headers in lower case."""

    status: int
    body: Any
    headers: dict[str, str]


def send(
    method: str, url: str, token: str, body: bytes | None, content_type: str = "application/json", **headers: str
) -> Answer:
    """Send one request and return its answer, whatever its status."""
    named = {"Authorization": f"Bearer {token}", "Content-Type": content_type, **headers}
    request = urllib.request.Request(url, data=body, headers=named, method=method)
    try:
        with urllib.request.urlopen(request, timeout=CALL_TIMEOUT_S) as answer:
            status, content, told = answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        status, content, told = error.code, error.read(), error.headers
    try:
        parsed = json.loads(content)
    except ValueError:
        parsed = content.decode(errors="replace")
    return Answer(status, parsed, {name.lower(): value for name, value in told.items()})


def infer(product: Product, path: str, body: Any, content_type: str = "application/json", **headers: str) -> Answer:
    """Send one inference request with the first gateway key."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return send(
        "POST", f"{product.gateway}{path}", product.credentials["gateway_key"], content, content_type, **headers
    )


class Rest:
    """The REST API as the people of the credentials file."""

    def __init__(self, product: Product) -> None:
        self._product = product
        self.people = product.credentials["people"]

    def call(self, who: str, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        data = None if body is None else json.dumps(body).encode()
        return send(method, f"{self._product.web}/api/v1{path}", self.people[who]["token"], data, **headers)

    def get(self, path: str, who: str = "engineer") -> Any:
        answer = self.call(who, "GET", path)
        assert answer.status == 200, answer
        return answer.body

    def until_mirrored(self) -> None:
        """Wait until the demo's three versions are known with their digests."""

        def mirrored() -> bool:
            answer = self.call("engineer", "GET", "/models/breast-cancer/versions")
            return answer.status == 200 and sum(bool(version["digest"]) for version in answer.body["results"]) == 3

        until(mirrored, "three versions are mirrored with their digests")

    def request(
        self, version: int, strategy: dict[str, Any], environment: str = "production", **changes: Any
    ) -> Answer:
        """Request a release of the demo's model."""
        guardrails = [
            {"metric": "error_rate", "margin": 0.03},
            {"metric": "latency_over_slo", "slo_ms": 140, "margin": 0.1},
        ]
        body = {
            "model": "breast-cancer",
            "version": version,
            "environment": environment,
            "endpoint": "cancer",
            "reason": "a test",
        }
        return self.call(
            "engineer", "POST", "/releases", body | {"strategy": strategy, "guardrails": guardrails} | changes
        )

    def approve(self, release: str) -> None:
        """Let reviewer and risk officer approve once the gates have passed."""
        self.reach(release, {"awaiting_approval"})
        for who in ("reviewer", "risk"):
            answer = self.call(
                who, "POST", f"/releases/{release}/decisions", {"decision": "approve", "comment": "fine"}
            )
            assert answer.status == 200, answer

    def release(self, version: int, strategy: dict[str, Any]) -> str:
        """Request and approve a release; return its id."""
        answer = self.request(version, strategy)
        assert answer.status == 201, answer
        self.approve(answer.body["id"])
        return str(answer.body["id"])

    def reach(self, release: str, statuses: set[str], within_s: float = 2 * PATIENCE_S) -> dict[str, Any]:
        """Wait until the release has one of `statuses`; fail at once when it has ended with another."""
        seen: dict[str, Any] = {}

        def reached() -> bool:
            # The site may be down for a moment when a test has ended it.
            try:
                seen.update(self.get(f"/releases/{release}"))
            except (OSError, AssertionError):
                return False
            assert seen["status"] in statuses or seen["status"] not in ENDED, seen["status_reason"]
            return seen["status"] in statuses

        what = f"release {release} is one of {statuses}"
        until(reached, what, within_s=within_s, seen=lambda: (seen.get("status"), seen.get("status_reason")))
        return seen


@dataclass(frozen=True)
class Seen:
    """One answer of the gateway under load: when it was asked and answered. `status` 0 stands for no answer at all."""

    at: float
    status: int
    version: str
    outcome: str
    answered_at: float = 0.0


class Load:
    """A steady load on an endpoint from a thread of its own; every answer is kept.

    With 0 `units` the arm is drawn for each request.

    It asks at the wanted rate, or at what this machine can give when that is less: `rate_per_s`.
    """

    def __init__(
        self,
        product: Product,
        wanted_per_s: float,
        endpoint: str = "cancer",
        environment: str = "production",
        units: int = 4001,
    ) -> None:
        self._url = f"{product.gateway}/{environment}/endpoints/{endpoint}/invocations"
        self._units = units
        self._key = product.credentials["gateway_key"]
        self._headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        self._bodies = [json.dumps({"dataframe_records": [row]}).encode() for row in ROWS.to_dict(orient="records")]
        self.rate_per_s = affordable_per_s(self._ask_once, wanted_per_s)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self.answers: list[Seen] = []

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(patience())

    def since(self, moment: float) -> list[Seen]:
        return [seen for seen in self.answers if seen.at >= moment]

    def go_on(self, seconds: float = 1.0) -> None:
        """Return once as many more requests are answered as are asked in that time."""
        wanted = len(self.answers) + max(1, round(seconds * self.rate_per_s))
        until(lambda: len(self.answers) >= wanted, f"{wanted} requests are answered", seen=lambda: len(self.answers))

    def _ask_once(self) -> None:
        send("POST", self._url, self._key, self._bodies[0])

    def _unit(self, number: int) -> dict[str, str]:
        return {"X-Mlorch-Unit": f"unit-{number % self._units}"} if self._units else {}

    async def _run(self) -> None:
        bodies, tasks = self._bodies, set[asyncio.Task[None]]()
        async with aiohttp.ClientSession() as session:
            number = 0
            while not self._ended.is_set():
                task = asyncio.create_task(self._send(session, bodies[number % len(bodies)], self._unit(number)))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                number += 1
                await asyncio.sleep(1 / self.rate_per_s)
            await asyncio.gather(*tasks)

    async def _send(self, session: aiohttp.ClientSession, body: bytes, unit: dict[str, str]) -> None:
        began = time.time()
        timeout = aiohttp.ClientTimeout(total=CALL_TIMEOUT_S)
        try:
            async with session.post(self._url, data=body, headers={**self._headers, **unit}, timeout=timeout) as answer:
                await answer.read()
                told = answer.headers
                self.answers.append(
                    Seen(
                        began,
                        answer.status,
                        told.get("X-Mlorch-Version", ""),
                        told.get("X-Mlorch-Outcome", ""),
                        time.time(),
                    )
                )
        except (aiohttp.ClientError, TimeoutError):
            self.answers.append(Seen(began, 0, "", "lost"))
