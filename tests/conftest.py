"""Personas and small builders for every test."""

import os

import pytest

REQUIRE_ALL = os.environ.get("CI") == "true" or os.environ.get("MLORCH_REQUIRE_ALL") == "1"


def missing(component: str) -> None:
    """Skip for want of `component`; under CI fail instead."""
    if REQUIRE_ALL:
        pytest.fail(f"{component} is missing, and CI needs it")
    pytest.skip(f"{component} is missing")


@pytest.fixture
def people(db):
    """The personas: vik (viewer), emma (ML engineer), rita (reviewer), oscar (risk officer), mona (release manager), ada (administrator),
    max (ML engineer of staging only), and nobody's rights for `noa`. Each has `.actor`."""
    from tests.factories import make_people

    return make_people()
