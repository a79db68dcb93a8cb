from contextlib import suppress

import psutil
import psycopg
import pytest

from tests.conftest import missing
from tests.support.waiting import patience


@pytest.fixture
def postgres(script):
    module = script("postgres")
    if module.program("initdb") is None:
        missing("PostgreSQL")
    return module


def servers() -> set[int]:
    """The servers we have started; their own helpers come and go."""
    found = set()
    for process in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if process.name() == "postgres":
                found.add(process.pid)
    return found


def test_running__inside__answers_and_afterwards_is_gone(postgres):
    before = servers()
    with postgres.running() as url:
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert servers() - before
    assert servers() == before
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url, connect_timeout=int(patience()))


def test_running__body_raises__is_gone_too(postgres):
    before = servers()
    with pytest.raises(ZeroDivisionError), postgres.running():
        raise ZeroDivisionError
    assert servers() == before


def test_running__wrong_password__is_refused(postgres):
    with postgres.running() as url, pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url.replace("mlorch:", "mlorch:x"), connect_timeout=int(patience()))


def test_running__not_installed__says_so(script, monkeypatch):
    module = script("postgres")
    monkeypatch.setattr(module, "program", lambda name: None)
    with pytest.raises(module.NotAvailable, match="is not installed"), module.running():
        pass
