"""The order of start and end, with shell commands in the place of the real processes."""

import asyncio
import json
import os
import signal

import pytest

from mlorch_site.launch.supervisor.__main__ import STOP_ORDER, CannotStart, Up
from mlorch_site.launch.supervisor.logs import LogBook
from mlorch_site.launch.supervisor.options import Options
from mlorch_site.launch.supervisor.ordinary_user import NOBODY_ELSE
from mlorch_site.launch.supervisor.process import Spec
from mlorch_site.launch.supervisor.running import STATUS_FILE
from tests.support.waiting import auntil, patience

NAMES = ("mlflow", "broker", "web", "gateway", "agent", "control", "work", "beat")


class FakePlan:
    """Every process writes its name into a diary when it starts and when it ends."""

    def __init__(self, folder, failing: str = "") -> None:
        self.diary = folder / "diary"
        self.failing = failing
        self.site_env = {"PATH": os.environ["PATH"]}
        self.user = NOBODY_ELSE

    def _spec(self, name: str) -> Spec:
        script = (
            f"trap 'echo -{name} >> {self.diary}; exit 0' TERM; echo +{name} >> {self.diary}; while "
            ":; do sleep 0.02; done"
        )
        ready = self._has_started(name)
        return Spec(name, ["sh", "-c", script], self.site_env, ready, waited_for=name not in ("mlflow", "demo"))

    def _has_started(self, name: str):
        async def probe() -> bool:
            return f"+{name}" in self.entries()

        return probe

    def entries(self) -> list[str]:
        return self.diary.read_text().split() if self.diary.exists() else []

    def manage(self, command: str, *_: str) -> list[str]:
        code = 1 if command == self.failing else 0
        return ["sh", "-c", f"echo said by {command}; echo ={command} >> {self.diary}; exit {code}"]

    def celery(self, name: str, queue: str, concurrency: int) -> Spec:
        return self._spec(name)

    def gateways(self) -> list[Spec]:
        return [self._spec("gateway")]

    def __getattr__(self, name: str):
        if name in (*NAMES, "demo"):
            return lambda: self._spec(name)
        raise AttributeError(name)


def up_with(plan: FakePlan, folder, *, demo: bool = False) -> Up:
    return Up(Options(folder, 8000, 8080, 5000, demo), plan, LogBook(folder / "logs"))


async def run_until_up(up: Up, plan: FakePlan, wanted: tuple[str, ...]) -> asyncio.Task:
    task = asyncio.create_task(up.run())
    await auntil(
        lambda: {f"+{name}" for name in wanted} <= set(plan.entries()), "all of them have started", seen=plan.entries
    )
    return task


async def ended(task: asyncio.Task, number: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)
    async with asyncio.timeout(patience()):
        await task


@pytest.fixture
def plan(tmp_path):
    return FakePlan(tmp_path)


async def test_up__start__broker_then_migration_then_people_then_the_rest(plan, tmp_path):
    task = await run_until_up(up_with(plan, tmp_path), plan, NAMES)
    await ended(task)
    entries = [entry for entry in plan.entries() if entry != "+mlflow"]
    assert entries[:3] == ["+broker", "=migrate", "=bootstrap"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_up__told_to_end__everything_ends_in_order(plan, tmp_path, number):
    task = await run_until_up(up_with(plan, tmp_path, demo=True), plan, (*NAMES, "demo"))
    await ended(task, number)
    ends = [entry[1:] for entry in plan.entries() if entry.startswith("-")]
    ranks = [next(rank for rank, names in enumerate(STOP_ORDER) if name in names) for name in ends]
    assert sorted(ends) == sorted([*NAMES, "demo"])
    assert ranks == sorted(ranks)


async def test_up__migration_fails__says_so_and_ends_what_it_had_started(tmp_path, capsys):
    plan = FakePlan(tmp_path, failing="migrate")
    with pytest.raises(CannotStart, match="migrating the database failed"):
        await up_with(plan, tmp_path).run()
    assert plan.entries()[-1].startswith("-")
    assert "-broker" in plan.entries()
    assert "+web" not in plan.entries()
    assert "said by migrate" in capsys.readouterr().out


async def test_up__progress__is_told_in_plain_numbered_lines(plan, tmp_path, capsys):
    task = await run_until_up(up_with(plan, tmp_path), plan, NAMES)
    await ended(task)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("up ")]
    assert any("2/8 starting broker … ready in" in line for line in lines)
    assert lines[-1].endswith("everything has ended")


async def test_up__bootstrap_prints_passwords__they_are_in_no_file(plan, tmp_path, capsys):
    task = await run_until_up(up_with(plan, tmp_path), plan, NAMES)
    await ended(task)
    assert "said by bootstrap" in capsys.readouterr().out
    assert not [file for file in (tmp_path / "logs").iterdir() if "said by bootstrap" in file.read_text()]


async def test_up__link_in_the_place_of_the_status__what_it_leads_to_stays(plan, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / f".processes.json.{os.getpid()}").symlink_to(precious)
    await ended(await run_until_up(up_with(plan, tmp_path), plan, NAMES))
    assert precious.read_text() == "precious"
    assert json.loads((tmp_path / STATUS_FILE).read_text())["processes"]


async def test_up__process_killed__file_tells_the_new_process(plan, tmp_path):
    def row() -> dict:
        rows = json.loads((tmp_path / STATUS_FILE).read_text())["processes"]
        return next((row for row in rows if row["name"] == "gateway"), {"pid": None})

    task = await run_until_up(up_with(plan, tmp_path), plan, NAMES)
    first = await auntil(lambda: row()["pid"] and row(), "the file tells the process", seen=row)
    os.kill(first["pid"], signal.SIGKILL)
    await auntil(lambda: row()["pid"] not in (first["pid"], None), "the file tells the new process", seen=row)
    assert row()["restarts"] == 1
    await ended(task)
