"""What is history is in the log too, with the ids by which it is found."""

import pytest
import structlog
from django.db import transaction
from structlog.testing import capture_logs

from deployments import tasks
from deployments.models import Release
from mlorch_site.celery import _forget_task, _name_task
from tests.deployments.world import World


@pytest.fixture
def logged(django_capture_on_commit_callbacks):
    """The lines that an act logs once it is committed."""

    def of(act):
        with capture_logs() as lines, django_capture_on_commit_callbacks(execute=True):
            act()
        return lines

    return of


def test_log__a_version_taken_back__each_step_is_told_with_its_release(world: World, logged) -> None:
    world.serve()
    world.errors["2"] = 1.0
    told = []
    lines = logged(lambda: told.append(world.until(world.request(2), "rolled_back")))

    of_release = [line for line in lines if line.get("release") == str(told[0].pk)]
    kinds = [line["event"] for line in of_release]
    assert kinds[0].startswith("release.")
    assert len(kinds) == told[0].events.count()
    assert {line["endpoint"] for line in of_release} == {"production/clinic"}
    assert any(line["sentence"] == told[0].status_reason for line in of_release)


def test_log__the_act_is_undone__nothing_is_said(world: World, logged) -> None:
    def undone() -> None:
        with transaction.atomic():
            world.request(1)
            transaction.set_rollback(True)

    assert [line for line in logged(undone) if line["event"].startswith("release.")] == []
    assert not Release.objects.exists()


def test_task__logs__says_which_task_and_what_it_is_about() -> None:
    structlog.contextvars.clear_contextvars()
    _name_task("id-1", tasks.check_release, ("release-1",))
    assert structlog.contextvars.get_contextvars() == {
        "task": "deployments.check_release",
        "task_id": "id-1",
        "about": "release-1",
    }
    _forget_task()
    assert structlog.contextvars.get_contextvars() == {}
