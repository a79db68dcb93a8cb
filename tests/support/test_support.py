"""What tests stand on: waiting, ports, pace."""

import pytest

from tests.support import pace, ports, waiting


def test_until__condition_comes_true__its_first_answer_is_returned():
    answers = iter([0, None, "here"])
    assert waiting.until(lambda: next(answers), "it is here", every_s=0) == "here"


async def test_auntil__condition_comes_true__its_first_answer_is_returned():
    answers = iter([0, None, "here"])
    assert await waiting.auntil(lambda: next(answers), "it is here") == "here"


@pytest.mark.parametrize(
    ("seen", "wanted"), [(None, "last seen: 0"), (lambda: "two of three", "last seen: 'two of three'")]
)
def test_until__in_vain__says_what_was_waited_for_and_what_was_seen(seen, wanted):
    with pytest.raises(AssertionError, match=rf"until it is here; {wanted}"):
        waiting.until(lambda: 0, "it is here", within_s=0, seen=seen, every_s=0)


@pytest.mark.parametrize(("busy", "factor"), [(0.1, 1.0), (6.0, 3.0), (90.0, waiting.STRAIN_MAX)])
def test_patience__others_are_busy__is_longer_within_bounds(monkeypatch, busy, factor):
    monkeypatch.setattr(waiting.os, "getloadavg", lambda: (busy, 0, 0))
    monkeypatch.setattr(waiting.os, "cpu_count", lambda: 2)
    assert waiting.patience() == waiting.PATIENCE_S * factor


@pytest.mark.parametrize(("request_s", "wanted"), [(0.001, 10.0), (0.2, 2.0)])
def test_affordable__slow_machine__less_than_is_wanted(monkeypatch, request_s, wanted):
    now, asked = [0.0], []
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])

    def ask():
        asked.append(1)
        now[0] += request_s

    assert pace.affordable_per_s(ask, 10.0) == pytest.approx(wanted)
    assert len(asked) == pace.TRIES


def test_free_ports__many__differ_and_are_none_that_the_kernel_gives_away(monkeypatch, tmp_path):
    (tmp_path / "range").write_text("20000\t60999\n")
    monkeypatch.setattr(ports, "RANGE", tmp_path / "range")
    found = ports.free_ports(20)
    assert len(set(found)) == 20
    assert min(found) >= ports.LOWEST
    assert max(found) < 20_000
