"""Begin a worker: forked from a warm template, or launched the slower way."""

import asyncio
import subprocess
from pathlib import Path
from typing import NamedTuple

import psutil
import structlog

from dataplane.agent import worker_process
from dataplane.agent.config import AgentConfig
from dataplane.agent.sandboxes import Sandboxes
from dataplane.agent.templates import NoTemplate, Templates
from dataplane.agent.worker_channels import NotStarted, WorkerChannels
from dataplane.agent.worker_process import Record
from dataplane.wire.agent_sync import ReplicaGoal
from dataplane.wire.worker_profile import WorkerProfile

log = structlog.get_logger(__name__)

LAUNCH_TIMEOUT_S = 30.0


class Beginning(NamedTuple):
    """The level of the sandbox that a launched worker gets, and the profile that an earlier start decided."""

    level: str
    profile: WorkerProfile | None


class WorkerStarter:
    """Begins the workers of one replica, one after the other. Each attempt has `channels` of its own, which are open
    until `hang_up`; `log_begins` is where its part of the log begins.
    """

    def __init__(
        self, config: AgentConfig, templates: Templates, sandboxes: Sandboxes, socket: Path, log_file: Path
    ) -> None:
        self._config = config
        self._templates = templates
        self._sandboxes = sandboxes
        self._socket = socket
        self._log_file = log_file
        self.channels: WorkerChannels | None = None
        self.log_begins = 0

    def hang_up(self) -> None:
        """Close what joins us to the attempt."""
        if self.channels:
            self.channels.close()
            self.channels = None

    def _open(self) -> WorkerChannels:
        self.hang_up()
        self.channels = WorkerChannels(self._log_file, self._socket)
        self.log_begins = self.channels.log_begins
        return self.channels

    async def start(
        self, goal: ReplicaGoal, python: Path, beginning: Beginning
    ) -> "tuple[Record, subprocess.Popen[bytes] | None]":
        """The record of a worker that has begun, and its handle when it is our own child. Raises NotStarted."""
        if not goal.runtime:
            try:
                return await self._templates.start(goal, python, self._socket, self._open(), beginning.profile), None
            except (NoTemplate, OSError) as error:
                log.info("replica.not_forked", replica=goal.id, why=str(error))
        return await self._launch(goal, python, self._open(), beginning)

    async def _launch(
        self, goal: ReplicaGoal, python: Path, channels: WorkerChannels, beginning: Beginning
    ) -> "tuple[Record, subprocess.Popen[bytes]]":
        spec = self._sandboxes.for_worker(goal, python, worker_process.home_of(goal, self._socket))
        arguments = worker_process.arguments_of(goal, self._socket, beginning.profile)
        handle = worker_process.launched(goal, python, arguments, spec, channels, self._config.path)
        try:
            pid = await asyncio.to_thread(channels.meet, LAUNCH_TIMEOUT_S)
            record = worker_process.record_of(goal, pid, self._socket, beginning.level)
            record.save(self._config.records)
            channels.go()
        except psutil.Error as error:
            raise NotStarted(f"it is gone: {error}") from error
        return record, handle
