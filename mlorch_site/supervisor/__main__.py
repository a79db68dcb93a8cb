"""`scripts/up`: start everything, keep it running, end it in order."""

import argparse
import asyncio
import contextlib
import fcntl
import json
import os
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path

from mlorch_site.supervisor import ports, secrets_file
from mlorch_site.supervisor.logs import LogBook
from mlorch_site.supervisor.plan import ROOT, Options, Plan, run_dir
from mlorch_site.supervisor.process import Spec, Supervised

# Who sends work ends first, who others stand on ends last.
STOP_ORDER = ({"demo", "beat"}, {"gateway", "agent", "control", "work", "mlflow"}, {"web"}, {"broker"})
DESCRIPTION = "Start mlorch on this machine: site, gateway, Celery, broker, agent and MLflow. Ctrl-C ends everything."


def options_from(arguments: list[str]) -> Options:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="scripts/up", description=DESCRIPTION)
    parser.add_argument(
        "--data", type=Path, default=ROOT / "var", metavar="DIR", help="where all state is kept (default: var)"
    )
    parser.add_argument("--web-port", type=int, default=8000, metavar="PORT", help="the site (default: 8000)")
    parser.add_argument("--gateway-port", type=int, default=8080, metavar="PORT", help="inference (default: 8080)")
    parser.add_argument("--mlflow-port", type=int, default=5000, metavar="PORT", help="MLflow (default: 5000)")
    parser.add_argument("--no-demo", action="store_true", help="do not train the demo's models and send no traffic")
    given = parser.parse_args(arguments)
    return Options(given.data.resolve(), given.web_port, given.gateway_port, given.mlflow_port, not given.no_demo)


class Up:
    """The whole product, running."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._book = LogBook(options.data_dir / "logs")
        self._plan = Plan(options, secrets_file.load_or_make(options.data_dir))
        self._running: list[Supervised] = []
        self._step = 0
        self._total = 7 + (self._plan.mlflow() is not None) + options.demo
        self._stopping = asyncio.Event()

    def _say(self, text: str) -> None:
        self._book.line("up", text)

    def _begin_step(self, what: str) -> float:
        self._step += 1
        self._say(f"{self._step}/{self._total} {what} …")
        return time.monotonic()

    def _save_status(self) -> None:
        folder = self._options.data_dir / "run"
        folder.mkdir(parents=True, exist_ok=True)
        rows = [asdict(process.status) for process in self._running]
        temporary = folder / f".processes.{os.getpid()}"
        temporary.write_text(json.dumps({"supervisor": os.getpid(), "processes": rows}))
        temporary.replace(folder / "processes.json")

    def _launch(self, spec: Spec) -> Supervised:
        process = Supervised(spec, self._book, self._save_status)
        self._running.append(process)
        process.begin()
        return process

    async def _start(self, *specs: Spec, title: str) -> None:
        began = self._begin_step(f"starting {title}")
        processes = [self._launch(spec) for spec in specs]
        if all(spec.waited_for for spec in specs):
            await asyncio.gather(*(process.is_ready.wait() for process in processes))
            self._say(f"{self._step}/{self._total} starting {title} … ready in {time.monotonic() - began:.1f} s")

    async def _command(self, title: str, *arguments: str) -> None:
        began = self._begin_step(title)
        process = await asyncio.create_subprocess_exec(
            *self._plan.manage(*arguments),
            env=self._plan.site_env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        for line in output.decode(errors="replace").splitlines():
            self._book.line("up", line) if arguments[0] == "bootstrap" else self._book.line("migrate", line)
        if process.returncode:
            raise SystemExit(f"{title} failed; the lines above say why.")
        self._say(f"{self._step}/{self._total} {title} … done in {time.monotonic() - began:.1f} s")

    async def run(self) -> None:
        """Start everything in order and wait until told to end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._stopping.set)
        starting = asyncio.create_task(self._start_all())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await stopping
        finally:
            starting.cancel()
            with contextlib.suppress(asyncio.CancelledError, SystemExit):
                await starting
            await self._stop_all()

    async def _start_all(self) -> None:
        plan, options = self._plan, self._options
        if mlflow := plan.mlflow():
            await self._start(mlflow, title="MLflow (takes a while; nothing waits for it)")
        if broker := plan.broker():
            await self._start(broker, title="broker")
        else:
            self._begin_step("using the broker of REDIS_URL")
        await self._command("migrating the database", "migrate", "--no-input", "-v", "0")
        urls = ("--web", options.web_url, "--gateway", options.gateway_url, "--mlflow", options.mlflow_url)
        await self._command("setting up environments and people", "bootstrap", *urls)
        await self._start(plan.web(), title="web")
        await self._start(plan.gateway(), plan.agent(), title="gateway and agent")
        workers = plan.celery("control", "control", 2), plan.celery("work", "work", 2), plan.beat()
        await self._start(*workers, title="Celery")
        if options.demo:
            await self._start(plan.demo(), title="demo (in the background; the overview shows its progress)")
        self._step += 1
        self._say(
            f"{self._total}/{self._total} mlorch is up: {options.web_url}  (people and passwords: {options.data_dir / 'credentials.json'})"
        )

    async def _stop_all(self) -> None:
        self._say("ending …")
        for names in STOP_ORDER:
            await asyncio.gather(*(process.stop() for process in self._running if process.spec.name in names))
        self._say("everything has ended")


def lock(data_dir: Path) -> int:
    """Take the data directory's lock; exit when another instance has it."""
    data_dir.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(data_dir / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        pid = os.read(descriptor, 20).decode().strip()
        sys.exit(
            f"mlorch is running on {data_dir} already (process {pid}). End it first, or give another directory with --data DIR."
        )
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor


def check_ports(options: Options) -> None:
    """Exit with a sentence for each port that is taken."""
    wanted = [(options.web_port, "the site", "--web-port"), (options.gateway_port, "the gateway", "--gateway-port")]
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        wanted.append((options.mlflow_port, "MLflow", "--mlflow-port"))
    problems = [text for port, name, option in wanted if (text := ports.problem_with(port, name, option))]
    if problems:
        sys.exit("\n".join(problems))


def main() -> None:
    options = options_from(sys.argv[1:])
    lock(options.data_dir)
    check_ports(options)
    run_dir(options.data_dir)
    asyncio.run(Up(options).run())


if __name__ == "__main__":
    main()
