"""Connections of loops: kept between calls, left when they broke or are old."""

import pytest

from mlorch_site.lib import connections
from mlorch_site.lib.connections import Kept


@pytest.fixture
def left(monkeypatch):
    left = []
    monkeypatch.setattr(connections, "close_old_connections", lambda: left.append(1))
    return left


def test_kept__calls_that_work__connection_stays(left):
    kept = Kept()
    assert [kept.call(max, 1, number) for number in range(5)] == [1, 1, 2, 3, 4]
    assert not left


def test_kept__call_fails__connection_is_left(left):
    with pytest.raises(ZeroDivisionError):
        Kept().call(lambda: 1 / 0)
    assert left


def test_kept__old__connection_is_left(left, monkeypatch):
    monkeypatch.setattr(connections, "KEPT_S", 0.0)
    assert Kept().call(max, 1, 2) == 2
    assert left
