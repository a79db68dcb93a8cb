"""What the demo sets up: version 1 everywhere, a canary of version 2, and version 3 waiting for an approval.

Every step looks first at what is there already, so that the story goes on where it stopped.
"""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import structlog

from mlorch_site.launch.demo import ENDPOINT, MODEL
from mlorch_site.launch.demo.client import CallFailed, Site
from mlorch_site.lib.setup_progress import SetupProgress, write

log = structlog.get_logger(__name__)

STEPS = (
    "Waiting for MLflow",
    "Training three versions",
    "Waiting for the mirror",
    "Version 1 into staging",
    "Version 1 into production",
    "Canary of version 2 in production",
    "Release of version 3 waits for approval",
)
POLL_S = 1.0
RETRY_S = 3.0
STEP_TIMEOUT_S = 600
GUARDRAILS = [
    {"metric": "error_rate", "margin": 0.02},
    {"metric": "latency_over_slo", "slo_ms": 100, "margin": 0.05},
]
CANARY = {
    "kind": "canary",
    "steps": [
        {"weight": 10, "bake_s": 45, "min_requests": 60},
        {"weight": 25, "bake_s": 45, "min_requests": 100},
        {"weight": 50, "bake_s": 45, "min_requests": 200},
    ],
}
BOLD_CANARY = {
    "kind": "canary",
    "steps": [{"weight": 25, "bake_s": 30, "min_requests": 60}, {"weight": 50, "bake_s": 30, "min_requests": 100}],
}
ENDED = {"succeeded", "rolled_back", "aborted", "rejected", "expired", "failed"}


@dataclass(frozen=True)
class People:
    """The demo's people, each with an own client."""

    engineer: Site
    reviewer: Site
    risk: Site


async def mlflow_answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(f"{url.rstrip('/')}/health", timeout=aiohttp.ClientTimeout(total=2)) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


async def train(tracking_uri: str) -> None:
    """Run the training program; its output goes to ours. Raises CallFailed when it fails."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mlorch_site.launch.demo.train", "--tracking-uri", tracking_uri
    )
    if await process.wait() != 0:
        raise CallFailed("training failed; the log has the reason")


async def mirrored(people: People) -> bool:
    """Whether all three versions are mirrored with their digests."""
    answer = await people.engineer.get(f"/models/{MODEL}/versions")
    return sum(1 for version in answer["results"] if version["digest"]) >= 3


async def releases(people: People, environment: str, version: int) -> list[dict[str, Any]]:
    """The releases there have been of a version to an environment, newest first."""
    answer = await people.engineer.get(f"/releases?environment={environment}&model={MODEL}")
    return [row for row in answer["results"] if int(row["version"]) == version]


async def request(
    people: People, environment: str, version: int, strategy: dict[str, Any], reason: str
) -> dict[str, Any]:
    """The release of a version to an environment, requesting it when there is none yet."""
    known = await releases(people, environment, version)
    if known:
        return known[0]
    return await people.engineer.post(
        "/releases",
        {
            "model": MODEL,
            "version": version,
            "environment": environment,
            "endpoint": ENDPOINT,
            "reason": reason,
            "strategy": strategy,
            "guardrails": GUARDRAILS,
        },
    )


async def reach(people: People, release: dict[str, Any], statuses: set[str]) -> dict[str, Any]:
    """Wait until the release has one of `statuses`. Raises CallFailed when it ends otherwise or takes too long."""
    deadline = asyncio.get_running_loop().time() + STEP_TIMEOUT_S
    while release["status"] not in statuses:
        if release["status"] in ENDED or asyncio.get_running_loop().time() > deadline:
            raise CallFailed(
                f"release of version {release['version']} is {release['status']}: {release['status_reason']}"
            )
        await asyncio.sleep(POLL_S)
        release = await people.engineer.get(f"/releases/{release['id']}")
    return release


async def approve(people: People, release: dict[str, Any], deciders: list[Site], until: set[str]) -> dict[str, Any]:
    """Let `deciders` approve when approval is needed, then wait for one of `until`."""
    release = await reach(people, release, {"awaiting_approval", *until, *ENDED})
    if release["status"] == "awaiting_approval":
        for decider in deciders:
            await decider.post(
                f"/releases/{release['id']}/decisions", {"decision": "approve", "comment": "Offline metrics hold."}
            )
    return await reach(people, release, until)


class Story:
    """The steps of the demo, in order; `run` repeats a step that failed until it works."""

    def __init__(self, session: aiohttp.ClientSession, data_dir: Path, credentials: dict[str, Any]) -> None:
        self._session = session
        self._data_dir = data_dir
        self._mlflow = credentials["mlflow"]
        sites = {
            name: Site(session, credentials["web"], credentials["people"][name]["token"])
            for name in ("engineer", "reviewer", "risk")
        }
        self._people = People(**sites)
        self.production_serves = asyncio.Event()

    async def run(self) -> None:
        """Do every step; a failed one is said and tried again."""
        steps = (
            self._wait_for_mlflow,
            self._train,
            self._wait_for_mirror,
            self._into_staging,
            self._into_production,
            self._canary,
            self._await_approval,
        )
        for number, step in enumerate(steps, start=1):
            self._say(number)
            while True:
                try:
                    await step()
                    break
                except CallFailed as error:
                    log.warning("demo.step_failed", step=STEPS[number - 1], error=str(error))
                    self._say(number, error=str(error))
                    await asyncio.sleep(RETRY_S)
        write(self._data_dir, SetupProgress(len(STEPS), len(STEPS), "The demo is set up.", done=True))

    def _say(self, number: int, error: str = "") -> None:
        write(self._data_dir, SetupProgress(number, len(STEPS), STEPS[number - 1], error=error))
        log.info("demo.step", number=number, total=len(STEPS), sentence=STEPS[number - 1])

    async def _wait_for_mlflow(self) -> None:
        while not await mlflow_answers(self._session, self._mlflow):
            await asyncio.sleep(POLL_S)

    async def _train(self) -> None:
        await train(self._mlflow)

    async def _wait_for_mirror(self) -> None:
        while not await mirrored(self._people):
            await asyncio.sleep(POLL_S)

    async def _into_staging(self) -> None:
        people = self._people
        release = await request(people, "staging", 1, {"kind": "immediate"}, "First version, to try it out")
        await approve(people, release, [people.reviewer], {"succeeded"})

    async def _into_production(self) -> None:
        people = self._people
        release = await request(people, "production", 1, {"kind": "immediate"}, "First version for the clinics")
        await approve(people, release, [people.reviewer, people.risk], {"succeeded"})
        self.production_serves.set()

    async def _canary(self) -> None:
        people = self._people
        release = await request(people, "production", 2, CANARY, "Better recall on malignant tumours")
        if release["status"] not in ENDED:
            await approve(people, release, [people.reviewer, people.risk], {"rolling_out", "paused", *ENDED})

    async def _await_approval(self) -> None:
        await request(self._people, "staging", 3, BOLD_CANARY, "Simple bands that clinicians can read")
