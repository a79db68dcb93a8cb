"""How much of an environment its endpoints may take: refused when it is asked for, and again when it would begin."""

import threading
from typing import Any

import pytest
import time_machine
from django.db import connection, transaction

from deployments.models import Endpoint, Release, ServingConfig
from deployments.quotas import LOCKED, quota_lock, quota_try_lock
from deployments.services import (
    ReleaseCommand,
    endpoint_restore,
    endpoint_retire,
    endpoint_rollback,
    release_preview,
    release_request,
)
from deployments.services.checks import release_check
from mlorch_site.accounts.roles import Role
from mlorch_site.lib.errors import Conflict, Invalid
from registry.models import Environment, Policy
from tests.deployments.world import World, make_model
from tests.factories import make_people, make_person

IMMEDIATE = {"kind": "immediate"}


@pytest.fixture
def world(people: Any, data_dir: Any) -> World:
    return World(people)


def limit(**quotas: Any) -> None:
    Policy.objects.update(**quotas)


def serving(endpoint: str = "clinic", **changes: Any) -> None:
    """How an endpoint is served from its next release on, and by the release that serves."""
    ServingConfig.objects.filter(endpoint__name=endpoint).update(**changes)


def command(endpoint: str, model: str = "tumours", version: int = 1) -> ReleaseCommand:
    return ReleaseCommand(
        model=model, version=version, environment="production", endpoint=endpoint, strategy=IMMEDIATE, guardrails=[]
    )


def ask(world: World, endpoint: str, version: int = 1) -> Release:
    with world.at():
        return release_request(actor=world.people.emma.actor, command=command(endpoint, version=version))


def told(world: World, endpoint: str, actor: Any = None, **values: Any) -> dict[str, str]:
    with world.at():
        preview = release_preview(actor=actor or world.people.emma.actor, command=command(endpoint, **values))
    return {name: text for name, text in preview.problems.items() if name.startswith("quota") or name == "endpoint"}


def test_endpoints__as_many_as_there_may_be__another_one_is_refused_with_their_names(world: World) -> None:
    world.serve(1)
    limit(endpoints_max=1)
    said = "production has room for 1 endpoints, and 1 are there: production/clinic. Retire one that nobody needs."

    assert told(world, "second") == {"endpoint": said}
    assert told(world, "clinic", version=2) == {}
    with pytest.raises(Invalid) as error:
        ask(world, "second")
    assert set(error.value.details) == {"endpoint"}
    assert not Endpoint.objects.filter(name="second").exists()


def test_cost__sum_of_what_endpoints_serve_or_would__with_the_numbers(world: World) -> None:
    world.serve(1)
    serving(replicas=2, cost_per_replica_hour="1.5")  # 72 a day
    limit(cost_per_day_max=100)
    ask(world, "second")
    serving("second", cost_per_replica_hour="0.5")  # 12 a day
    third = ask(world, "third")
    third.endpoint.configs.update(cost_per_replica_hour="1")
    third.status = "aborted"
    third.save()

    assert told(world, "third") == {
        "quota.cost_per_day": (
            "It would cost 24 a day; 84 of 100 in production are taken by: production/clinic 72, production/second 12."
        )
    }
    limit(cost_per_day_max=108)
    assert told(world, "third") == {}


def test_cost__no_more_than_what_serves__has_room_though_the_limit_was_lowered(world: World) -> None:
    world.serve(1)
    serving(cost_per_replica_hour="2")
    limit(cost_per_day_max=1)

    assert told(world, "clinic", version=2) == {}


def test_replicas__both_versions_run_during_a_rollout__count(world: World) -> None:
    world.serve(1)
    serving(replicas=3)
    limit(replicas_max=5)

    assert told(world, "clinic", version=2) == {
        "quota.replicas": ("It would need 6 replicas (3 beside the 3 that serve); 0 of 5 in production are taken.")
    }
    assert told(world, "second") == {}
    limit(replicas_max=3)
    assert told(world, "second") == {
        "quota.replicas": "It would need 1 replicas; 3 of 3 in production are taken by: production/clinic 3."
    }


def test_names__of_endpoints_that_the_reader_may_not_see__are_not_told(world: World) -> None:
    world.serve(1)
    make_model("lungs")
    limit(endpoints_max=1)
    lena = make_person("lena", [(Role.ENGINEER, "model:lungs")])
    (said,) = told(world, "breath", actor=lena.actor, model="lungs").values()

    assert "clinic" not in said
    assert "1 that you may not see" in said


def test_start__limit_lowered_meanwhile__waits_with_the_numbers_and_names_nobody(world: World) -> None:
    world.serve(1)
    serving(cost_per_replica_hour="1")
    first = ask(world, "second")
    first.endpoint.configs.update(cost_per_replica_hour="1")
    with world.at():
        release_check(release_id=str(first.pk), now=world.now)
    cases = {
        "replicas_max": (1, "production has room for 1 replicas; 1 run, and 1 more are needed."),
        "endpoints_max": (1, "production has room for 1 endpoints, and 1 others serve."),
        "cost_per_day_max": (40, "It would cost 24 a day; 24 of 40 in production are taken by others."),
    }
    Release.objects.filter(pk=first.pk).update(status="approved")
    for name, (most, said) in cases.items():
        limit(**{**dict.fromkeys(cases), name: most})
        world.tick(1)
        first.refresh_from_db()
        assert first.status == "approved"
        assert said in first.status_reason
        assert "clinic" not in first.status_reason
    limit(**dict.fromkeys(cases))
    world.until(first, "succeeded", most_s=10)


def test_rollback__while_nothing_has_room__is_not_asked(world: World) -> None:
    world.serve(1)
    second = world.serve(2)
    limit(replicas_max=0, endpoints_max=0, cost_per_day_max=0)
    with world.at():
        release = endpoint_rollback(
            actor=world.people.emma.actor, endpoint=world.endpoint, expects=str(second.pk), reason="bad"
        )

    assert world.until(release, "succeeded", most_s=20)


def test_restore__while_there_is_no_room__conflict_and_still_retired(world: World) -> None:
    served = world.serve(1)
    mona = world.people.mona.actor
    with world.at():
        endpoint_retire(actor=mona, endpoint=world.endpoint, expects=str(served.pk), reason="unused")
        limit(endpoints_max=0)
        with pytest.raises(Conflict, match="has room for 0 endpoints"):
            endpoint_restore(actor=mona, endpoint=world.endpoint)
        assert world.endpoint.retired_at is not None
        limit(endpoints_max=1)
        assert endpoint_restore(actor=mona, endpoint=world.endpoint) is not None


def test_requests__at_once__do_not_pass_the_limit_together(committed: None, data_dir: Any) -> None:
    people = make_people()
    world = World(people)
    limit(endpoints_max=1, cost_per_day_max=0)
    outcomes: list[str] = []
    at_once = threading.Barrier(4)

    def request(name: str) -> None:
        try:
            at_once.wait(30)
            release_request(actor=people.emma.actor, command=command(name))
            outcomes.append("made")
        except Invalid as error:
            outcomes.append(next(iter(error.details)))
        finally:
            connection.close()

    threads = [threading.Thread(target=request, args=(f"place-{number}",)) for number in range(4)]
    with time_machine.travel(world.now, tick=False):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

    assert sorted(outcomes) == ["endpoint", "endpoint", "endpoint", "made"]
    assert Endpoint.objects.count() == 1


def test_start__while_somebody_has_the_lock__is_looked_at_again_and_waits_for_nobody(
    committed: None, data_dir: Any
) -> None:
    world = World(make_people())
    release = world.request(1, strategy=IMMEDIATE)
    Release.objects.filter(pk=release.pk).update(status="approved")
    environment, has_it, may_go = Environment.objects.get(), threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            quota_lock(environment)
            has_it.set()
            may_go.wait(60)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert has_it.wait(30)
    world.tick(1)
    release.refresh_from_db()
    assert (release.status, release.status_reason) == ("approved", LOCKED)
    may_go.set()
    thread.join(30)
    with transaction.atomic():
        assert quota_try_lock(environment)
    world.until(release, "succeeded", most_s=10)
