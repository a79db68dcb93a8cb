"""The board on the first page: what each place serves, and one word for how it does."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from deployments import board
from deployments.board import Place
from deployments.models import ReplicaState
from mlorch_site.accounts.actor import Actor
from registry.services import environment_create
from tests.deployments.world import World, make_model
from tests.support.live import signed_in

pytestmark = pytest.mark.usefixtures("data_dir")


@pytest.fixture
def world(people: Any) -> World:
    return World(people)


def place(world: World) -> Place:
    """The only place of the board as vik sees it now."""
    with world.at():
        actor = world.people.vik.actor
        ((cell,),) = [row.cells for row in board.rows_of(actor, board.models_on_board(actor), [world.environment])]
    (only,) = cell.places
    return only


def test_place__served_version__figures_since_when_and_by_whom(world: World) -> None:
    release = world.serve(1)
    world.tick(30)
    seen = place(world)
    release.refresh_from_db()

    assert seen.health == board.SERVING
    assert seen.stable is not None
    assert (seen.stable.version.number, seen.candidate, seen.open) == (1, None, None)
    assert seen.figures.rate > 0
    assert seen.since == release.ended_at
    assert str(seen.endpoint.stable_release.requester) == "emma"  # type: ignore[union-attr]


def test_place__during_a_canary__the_candidate_with_its_share(world: World) -> None:
    world.serve(1)
    release = world.request(2)
    world.tick(6)
    seen = place(world)

    assert seen.open == release
    assert seen.candidate is not None
    assert (seen.candidate.version.number, seen.candidate.weight_pct) == (2, 10)
    assert seen.health.label == "Rolling out"


def test_place__a_candidate_was_taken_back__said_beside_what_serves(world: World) -> None:
    world.serve(1)
    world.errors = {"2": 1.0}
    release = world.until(world.request(2), "rolled_back")
    world.tick(2)
    seen = place(world)

    assert seen.taken_back == release
    assert seen.stable is not None
    assert seen.stable.version.number == 1
    assert seen.health == board.SERVING


def test_place__no_replica_ready__says_so_whatever_the_figures(world: World) -> None:
    world.serve(1)
    world.tick(5)
    ReplicaState.objects.update(state="failed")

    assert place(world).health == board.NOT_READY


def test_place__every_other_request_fails__is_failing(world: World) -> None:
    world.serve(1)
    world.errors = {"1": 0.9}
    world.tick(20)

    assert place(world).health == board.FAILING


def test_place__nobody_asks__no_traffic_is_not_health(world: World) -> None:
    world.rate = 0
    world.serve(1)

    assert place(world).health == board.NO_TRAFFIC


def test_place__first_release_waits__serves_nothing_yet(people: Any) -> None:
    world = World(people, rules=[{"role": "reviewer", "count": 1}])
    release = world.request(1)
    seen = place(world)

    assert (seen.health, seen.open, seen.since) == (board.SERVES_NOTHING, release, None)


def test_models__on_the_board__moving_ones_first_and_those_without_endpoint_not_at_all(world: World) -> None:
    world.serve(1)
    make_model("without-endpoint")

    assert [model.name for model in board.models_on_board(world.people.vik.actor)] == ["tumours"]
    assert not board.models_on_board(world.people.max.actor).exists()  # bound to another environment


def shown(who: str, **query: str) -> str:
    browser: Client = signed_in(who)
    return browser.get(reverse("overview"), query).content.decode()


def test_page__cell__asks_for_a_release_with_what_is_known(world: World) -> None:
    world.serve(1)
    environment_create(actor=Actor.controller("test"), name="staging", position=1)
    with world.at():
        page = shown("emma")

    assert "?model=tumours&amp;environment=production" in page
    assert "?model=tumours&amp;environment=staging" in page
    assert "Nothing here." in page
    assert f'href="{reverse("endpoint", args=["production", "clinic"])}"' in page


def test_page__person_who_may_not_request__has_no_link_that_would_be_refused(world: World) -> None:
    world.serve(1)
    with world.at():
        page = shown("vik")

    assert "?model=tumours" not in page


def test_page__searched__only_what_fits_and_a_way_back(world: World) -> None:
    world.serve(1)
    with world.at():
        assert "clinic" in shown("vik", q="clin")
        assert "Nothing matches" in shown("vik", q="nothing-like-this")
