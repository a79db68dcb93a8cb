import pytest

from tests.deployments.world import World


@pytest.fixture
def world(people):
    """Production without approval rules, served by nobody yet."""
    return World(people)
