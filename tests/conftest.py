"""Personas and small builders for every test."""

import os

import pytest
from hypothesis import settings

REQUIRE_ALL = os.environ.get("CI") == "true" or os.environ.get("MLORCH_REQUIRE_ALL") == "1"

# gRPC would start its threads again in every child between fork and exec, and some of those would crash.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"
# The same examples in every run, so that a red run is about the change; `HYPOTHESIS_PROFILE=search` looks for new ones.
settings.register_profile("default", derandomize=True, deadline=None)
settings.register_profile("search", derandomize=False, deadline=None, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def missing(component: str) -> None:
    """Skip for want of `component`; under CI fail instead."""
    if REQUIRE_ALL:
        pytest.fail(f"{component} is missing, and CI needs it")
    pytest.skip(f"{component} is missing")


@pytest.fixture
def data_dir(settings, tmp_path):
    """A data directory of its own, with an empty artifact store."""
    settings.DATA_DIR = tmp_path / "data"
    return settings.DATA_DIR


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is about several transactions at once belongs to the leg of PostgreSQL."""
    if os.environ.get("DATABASE_URL", "").startswith("postgres"):
        return
    alone = [item for item in items if "committed" in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=alone)
    items[:] = [item for item in items if item not in alone]


@pytest.fixture
def committed(django_db_setup, django_db_blocker):
    """A copy of the database in which the transactions of several connections are committed; on PostgreSQL only, since
    every transaction of SQLite is alone.
    """
    from tests.support.scratch_database import scratch_database

    with django_db_blocker.unblock(), scratch_database():
        yield


@pytest.fixture
def people(db):
    """The personas: vik (viewer), emma (ML engineer), rita (reviewer), oscar (risk officer), mona (release manager),
    ada (administrator), max (ML engineer of staging only), and nobody's rights for `noa`. Each has `.actor`.
    """
    from tests.factories import make_people

    return make_people()
