"""The load generator against a worker without a model: what is counted, and what is never forgotten."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane.scratch.load_generator import LoadGenerator, quantile
from dataplane.scratch.scratch_worker import Unservable
from dataplane.wire.scratch import LoadFigures
from dataplane.worker.echo import EchoScorer
from dataplane.worker.server import WorkerServer
from tests.support.folders import short_folder


class Alive:
    """A worker that nothing is wrong with."""

    def check(self) -> None:
        return


class Heavy:
    def check(self) -> None:
        raise Unservable("too heavy")


@pytest.fixture(scope="module")
def socket() -> Iterator[Path]:
    with short_folder() as folder:
        listening = WorkerServer(EchoScorer("1"), folder / "w.sock").listen_in_background()
        yield folder / "w.sock"
        listening.close()


async def figures(socket: Path, body: bytes, *, rate: int = 40, patience_s: float = 30.0) -> LoadFigures:
    return await LoadGenerator(socket, body, rate, 1, patience_s).run(Alive(), lambda _: None)


async def test_load__each_request__answered_and_timed(socket: Path) -> None:
    found = await figures(socket, b"{}")
    assert (found.planned, found.answered, found.errors, found.unanswered) == (40, 40, 0, 0)
    assert 0 < found.p50_ms <= found.p95_ms <= found.p99_ms


async def test_load__errors__counted_with_the_first_of_them(socket: Path) -> None:
    found = await figures(socket, b'{"fail": true}', rate=10)
    assert (found.answered, found.errors, "asked to fail" in found.first_error) == (0, 10, True)


async def test_load__slower_than_the_rate__the_wait_counts(socket: Path) -> None:
    """One answer takes 100 ms and 20 a second are asked: the later ones wait for those before."""
    found = await figures(socket, b'{"sleep_ms": 100}', rate=20)
    assert (found.answered, found.p95_ms > 900) == (20, True)


async def test_load__without_an_answer_in_time__is_not_forgotten(socket: Path) -> None:
    found = await figures(socket, b'{"sleep_ms": 3000}', rate=5, patience_s=0.1)
    assert (found.answered, found.unanswered) == (0, 5)


async def test_load__worker_too_heavy__ends_it(socket: Path) -> None:
    with pytest.raises(Unservable):
        await LoadGenerator(socket, b"{}", 2, 3, 1.0).run(Heavy(), lambda _: None)


@pytest.mark.parametrize(
    ("values", "share", "wanted"),
    [([], 0.5, 0), ([7], 0.95, 7), ([1, 2, 3, 4], 0.5, 2), (list(range(1, 101)), 0.95, 95)],
)
def test_quantile__of_few_and_many(values: list[float], share: float, wanted: float) -> None:
    assert quantile(values, share) == wanted
