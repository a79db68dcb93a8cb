import pytest

from tests.deployments.world import World


@pytest.fixture(autouse=True)
def _store(data_dir):
    """Every test has an artifact store of its own."""


@pytest.fixture
def world(people):
    """Production without approval rules, served by nobody yet."""
    return World(people)
