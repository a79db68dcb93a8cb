"""`scripts/up`: start everything, keep it running, end it in order."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mlorch_site.launch.supervisor import family, ports, running, secrets_file
from mlorch_site.launch.supervisor.logs import LogBook
from mlorch_site.launch.supervisor.options import Options, options_from
from mlorch_site.launch.supervisor.ordinary_user import ordinary_user
from mlorch_site.launch.supervisor.process import Spec, Supervised
from mlorch_site.launch.supervisor.process_specs import Plan, made_run_dir

# Who sends work ends first, who others stand on ends last.
STOP_ORDER = (("demo", "beat"), ("gateway", "agent", "control", "work", "mlflow"), ("web",), ("broker",))


class CannotStart(Exception):
    """The product cannot be started; the text says why."""


class Up:
    """The whole product, running."""

    def __init__(self, options: Options, plan: Plan, book: LogBook) -> None:
        self._options = options
        self._book = book
        self._plan = plan
        self._running: list[Supervised] = []
        self._step = 0
        self._total = 7 + (self._plan.mlflow() is not None) + options.demo
        self._stopping = asyncio.Event()
        self._told_to_reload = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def _say(self, text: str) -> None:
        self._book.line("up", text)

    def _begin_step(self, what: str) -> float:
        self._step += 1
        self._say(f"{self._step}/{self._total} {what} …")
        return time.monotonic()

    def _save_status(self) -> None:
        path = self._options.data_dir / running.STATUS_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [asdict(process.status) for process in self._running]
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        user = self._plan.user
        rights = {"sentence": user.sentence, "is_warning": user.is_warning}
        # The folder may be somebody else's too, who could have put a link there.
        temporary.unlink(missing_ok=True)
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump({"supervisor": os.getpid(), "rights": rights, "processes": rows}, file)
            if user.uid:
                os.fchown(file.fileno(), 0, user.gid)
                os.fchmod(file.fileno(), 0o640)
        temporary.replace(path)

    def _launch(self, spec: Spec) -> Supervised:
        process = Supervised(spec, self._book, self._save_status)
        self._running.append(process)
        process.begin()
        return process

    async def _start(self, *specs: Spec, title: str) -> None:
        began = self._begin_step(f"starting {title}")
        step = self._step
        processes = [self._launch(spec) for spec in specs]
        if all(spec.waited_for for spec in specs):
            await asyncio.gather(*(process.is_ready.wait() for process in processes))
            word = "ready" if any(spec.ready for spec in specs) else "started"
            self._say(f"{step}/{self._total} starting {title} … {word} in {time.monotonic() - began:.1f} s")

    async def _command(self, title: str, *arguments: str, keep_output: bool = True) -> None:
        began = self._begin_step(title)
        process = await asyncio.create_subprocess_exec(
            *self._plan.manage(*arguments),
            env=self._plan.site_env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            **self._plan.user.of_process(),
        )
        try:
            output, _ = await process.communicate()
        finally:
            family.kill_group(process.pid)
        for line in output.decode(errors="replace").splitlines():
            self._book.line("up", line, keep=keep_output)
        if process.returncode:
            raise CannotStart(f"{title} failed; the lines above say why.")
        self._say(f"{self._step}/{self._total} {title} … done in {time.monotonic() - began:.1f} s")

    def _on_signal(self) -> None:
        if self._stopping.is_set():
            self._say("told to end again: ending everything at once")
            for process in self._running:
                process.kill()
        self._stopping.set()

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reload_forever(self) -> None:
        """Each time when told so, replace every process that can be replaced while it serves, one after the other."""
        while True:
            await self._told_to_reload.wait()
            self._told_to_reload.clear()
            for process in [process for process in self._running if process.can_be_replaced]:
                await self._replace(process)

    async def _replace(self, old: Supervised) -> None:
        """Start a successor, and once it answers let the old process finish what it has begun.

        Without one the old process goes on.
        """
        name, began = old.spec.name, time.monotonic()
        new = Supervised(old.spec, self._book, self._save_status)
        self._running.append(new)
        new.begin(is_trial=True)
        waits = [asyncio.create_task(event.wait()) for event in (new.is_ready, new.has_died)]
        await asyncio.wait(waits, timeout=old.spec.ready_timeout_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if not new.is_ready.is_set() or self._stopping.is_set():
            await new.stop()
            self._running.remove(new)
            self._save_status()
            self._say(f"{name} was not replaced; process {old.status.pid} goes on")
            return
        self._running.remove(new)
        self._running.insert(self._running.index(old), new)
        seconds = time.monotonic() - began
        self._say(f"{name} was replaced: process {new.status.pid} instead of {old.status.pid}, in {seconds:.1f} s")
        self._in_background(self._retire(old))

    async def _retire(self, old: Supervised) -> None:
        await old.drain()
        if not self._stopping.is_set():
            self._running.remove(old)
            self._save_status()

    async def run(self) -> None:
        """Start everything in order and wait until told to end. Raises CannotStart, after everything has ended."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(running.RELOAD_SIGNAL, self._told_to_reload.set)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal)
        reaping = asyncio.create_task(family.reap_forever(self._own))
        self._in_background(self._reload_forever())
        starting = asyncio.create_task(self._start_all())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await stopping
        finally:
            for task in (starting, stopping, reaping, *self._tasks):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError, CannotStart):
                await starting
            await self._stop_all()

    def _own(self) -> set[int]:
        return {process.status.pid for process in self._running if process.status.pid}

    async def _start_all(self) -> None:
        plan, options = self._plan, self._options
        if mlflow := plan.mlflow():
            await self._start(mlflow, title="MLflow (takes a while; nothing waits for it)")
        if broker := plan.broker():
            await self._start(broker, title="broker")
        else:
            self._begin_step("using the broker of REDIS_URL")
        await self._command("migrating the database", "migrate", "--no-input", "-v", "0")
        urls = ["--web", options.web_url, "--gateway", options.gateway_url, "--mlflow", options.mlflow_url]
        if options.grpc_port:
            urls += ["--gateway-grpc", f"127.0.0.1:{options.grpc_port}"]
        # What it prints are passwords; they belong into no log.
        await self._command("setting up environments and people", "bootstrap", *urls, keep_output=False)
        workers = plan.celery("control", "control", 2), plan.celery("work", "work", 2), plan.beat()
        await asyncio.gather(
            self._start(plan.web(), title="web"),
            self._start(*plan.gateways(), plan.agent(), title="gateway and agent"),
            self._start(*workers, title="Celery"),
        )
        if options.demo:
            await self._start(plan.demo(), title="demo (in the background; the overview shows its progress)")
        people = options.data_dir / "credentials.json"
        self._say(f"{self._total}/{self._total} mlorch is up: {options.web_url}  (people and passwords: {people})")

    async def _stop_all(self) -> None:
        self._say("ending …")
        for names in STOP_ORDER:
            await asyncio.gather(*(process.stop() for process in self._running if process.spec.name.startswith(names)))
        self._say("everything has ended")


def end_leftovers(data_dir: Path) -> None:
    """End what outlived an earlier supervisor that could not clean up. The caller has the lock."""
    left = family.leftovers(data_dir / running.STATUS_FILE)
    if left:
        print(f"ending {len(left)} processes that an earlier run left behind …", flush=True)
        family.end_processes(left, family.LEFTOVER_GRACE_S)


def check_ports(options: Options) -> None:
    """Exit with a sentence for each port that is taken."""
    wanted = options.ports()
    problems = [text for option, (port, name) in wanted.items() if (text := ports.problem_with(port, name, option))]
    if problems:
        sys.exit("\n".join(problems))


def main() -> None:
    options = options_from(sys.argv[1:])
    if options.reload:
        running.reload(options.data_dir)
        return
    # Database, artifacts and logs are nobody else's business on this machine.
    os.umask(0o077)
    running.lock(options.data_dir)
    end_leftovers(options.data_dir)
    check_ports(options)
    family.become_subreaper()
    user = ordinary_user(options)
    if user.sentence:
        print(f"{user.sentence}.", flush=True)
    try:
        with made_run_dir(options.data_dir, user):
            plan = Plan(options, secrets_file.load_or_make(options.data_dir), user)
            asyncio.run(Up(options, plan, LogBook(options.data_dir / "logs")).run())
    except (CannotStart, OSError) as error:
        sys.exit(f"mlorch cannot start: {error}")
    finally:
        family.end_rest()


if __name__ == "__main__":
    main()
