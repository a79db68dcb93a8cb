"""What releases answered while they rolled out, by step, in one query."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from monitoring.models import Window
from monitoring.release_rates import RolledOut, release_rates
from tests.monitoring.windows import NOW

COUNTS = dict.fromkeys(("client_errors", "server_errors", "timeouts"), 0)
pytestmark = pytest.mark.django_db


def place(release: str, seconds: int = 60, endpoint: str = "cancer") -> RolledOut:
    return RolledOut("production", endpoint, release, NOW, NOW + timedelta(seconds=seconds))


def window(release: str, at_s: int, requests: int, **changes: object) -> None:
    known = {"environment": "production", "endpoint": "cancer", "arm": "candidate", "version": 2, "seconds": 10}
    Window.objects.create(
        **{**known, **COUNTS, **changes},
        release=release,
        start=NOW + timedelta(seconds=at_s),
        requests=requests,
        ok=requests,
        latency={},
    )


def rates(*places: RolledOut) -> dict[str, list[float | None]]:
    return release_rates(places, NOW + timedelta(minutes=5))


def test_rates__steps_of_its_own_arm__with_nothing_in_between_as_nothing():
    window("a", 0, 20)
    window("a", 0, 10, arm="targeted")
    window("a", 20, 50)
    window("a", 20, 900, arm="shadow")
    window("a", 20, 900, arm="baseline")
    window("b", 20, 900)
    window("a", 20, 900, seconds=60)
    window("a", 20, 900, endpoint="other")
    window("a", 60, 900)

    assert rates(place("a")) == {"a": [3.0, 0.0, 5.0]}


def test_rates__nothing_kept__is_left_out():
    assert rates(place("a")) == {}
    assert rates() == {}


def test_rates__more_releases__one_query():
    for number in range(25):
        window(str(number), 0, 10 * number)
    with CaptureQueriesContext(connection) as asked:
        found = rates(*(place(str(number)) for number in range(25)))

    assert len(asked) == 1
    assert found["24"] == [24.0]
