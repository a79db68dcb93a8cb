"""Every page for every persona, refusals that look alike, forms that keep what was typed, and constant numbers of
queries.
"""

import re
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.factories import PASSWORD
from tests.support.live import signed_in

EVERYBODY = ("vik", "emma", "rita", "oscar", "mona", "ada")
PAGES = (
    "overview",
    "models",
    "approvals",
    "releases",
    "endpoints",
    "audit",
    "tokens",
    "preferences",
    "system",
    "gateways",
    "release-new",
    "api-docs",
    "api-schema",
)
NEEDS = {"audit": {"emma", "rita", "oscar", "mona", "ada", "max"}, "release-new": {"emma", "mona", "ada", "max"}}
QUERIES_MAX = 40


@pytest.mark.parametrize("who", [*EVERYBODY, "max", "noa"])
@pytest.mark.parametrize("page", PAGES)
def test_page__each_persona__opens_or_names_the_missing_role(world: Any, who: str, page: str) -> None:
    allowed = NEEDS.get(page, {*EVERYBODY, "max"})
    answer = signed_in(who).get(reverse(page))

    assert answer.status_code == (200 if who in allowed else 403)
    if who not in allowed:
        assert "role" in answer.content.decode()


@pytest.mark.parametrize("page", [page for page in PAGES if not page.startswith("api-")])
def test_page__signed_out__goes_to_sign_in_and_comes_back(client: Any, db: None, page: str) -> None:
    answer = client.get(reverse(page))

    assert answer.status_code == 302
    assert answer.url == f"/sign-in/?next={reverse(page)}"


@pytest.mark.parametrize("page", PAGES[:11])
def test_page__any__has_no_inline_script_or_style(world: Any, page: str) -> None:
    html = signed_in("emma").get(reverse(page)).content.decode()

    assert not re.search(r"<script(?![^>]*\ssrc=)", html)
    assert not re.search(r"\sstyle=|<style|\son[a-z]+=\"", html)


def test_endpoint__foreign_and_missing__look_the_same(world: Any) -> None:
    world.serve(1)
    where = [world.endpoint.environment.name, world.endpoint.name]
    foreign = signed_in("max").get(reverse("endpoint", args=where))
    missing = signed_in("max").get(reverse("endpoint", args=[where[0], "nothing"]))

    assert (foreign.status_code, missing.status_code) == (404, 404)
    assert signed_in("vik").get(reverse("endpoint", args=where)).status_code == 200


def test_rollback_button__viewer__is_disabled_with_the_reason_and_refused_by_the_server(world: Any) -> None:
    world.serve(1)
    where = [world.endpoint.environment.name, world.endpoint.name]
    vik = signed_in("vik")

    assert "This needs the role" in vik.get(reverse("endpoint", args=where)).content.decode()
    assert vik.post(reverse("endpoint-rollback", args=where), {"reason": "x"}).status_code == 403


def test_new_release__bad_steps__form_keeps_them_and_says_why(world: Any) -> None:
    world.serve(1)
    form = {"model": world.endpoint.model.name, "version": 2, "environment": world.endpoint.environment.name}
    form |= {
        "endpoint": world.endpoint.name,
        "kind": "canary",
        "weight_0": 50,
        "bake_0": 5,
        "weight_1": 20,
        "bake_1": 5,
    }
    form |= {"error_margin": 1, "reason": "my own words"}
    answer = signed_in("emma").post(reverse("release-new"), form)
    html = answer.content.decode()

    assert answer.status_code == 400
    assert "my own words" in html
    assert re.search(r'name="weight_0"[^>]*value="50"|value="50"[^>]*name="weight_0"', html)
    assert "rise" in html


def test_release_page__fragment__is_what_the_page_includes(world: Any) -> None:
    world.serve(1)
    address = reverse("release", args=[world.request(2).pk])
    emma = signed_in("emma")
    page = emma.get(address).content.decode()
    fragment = emma.get(address, HTTP_HX_REQUEST="true").content.decode()

    assert "<html" not in fragment
    for part in ("release-top", "release-history"):
        assert f'id="{part}"' in fragment
        assert f'id="{part}"' in page


def test_releases__more_rows__no_more_queries(world: Any) -> None:
    world.serve(1)
    emma = signed_in("emma")
    emma.get(reverse("releases"))
    with CaptureQueriesContext(
        connection,
    ) as few:
        emma.get(reverse("releases"))
    world.serve(2)
    world.request(3)
    with CaptureQueriesContext(connection) as many:
        emma.get(reverse("releases"))

    assert len(many) <= len(few)
    assert len(many) < QUERIES_MAX


def test_sign_in__too_many_failures__waits(client: Any, people: Any) -> None:
    cache.clear()
    for _ in range(10):
        assert client.post("/sign-in/", {"username": "vik", "password": "wrong"}).status_code == 200
    answer = client.post("/sign-in/", {"username": "vik", "password": PASSWORD})

    assert answer.status_code == 429
    assert "Too many failed attempts" in answer.content.decode()
    cache.clear()


def test_tokens__made__secret_is_shown_once(people: Any) -> None:
    emma = signed_in("emma")
    html = emma.post(reverse("tokens"), {"name": "ci", "scope": "read", "days": "30"}).content.decode()

    assert "mlo_" in re.search(r'id="new-token"[^>]*>([^<]+)<', html).group(1)  # type: ignore[union-attr]
    assert 'id="new-token"' not in emma.get(reverse("tokens")).content.decode()


def test_preferences__theme_and_zone__are_kept(people: Any) -> None:
    emma = signed_in("emma")
    emma.post(reverse("preferences"), {"theme": "dark", "time_zone": "Europe/Berlin", "shortcuts": "off"})

    page = emma.get(reverse("preferences")).content.decode()
    assert 'data-theme="dark"' in page
    assert 'data-shortcuts="off"' in page


def test_release_page__ended__offers_the_way_back_and_shows_no_split_of_the_past(world: Any) -> None:
    first = world.serve(1)
    live = world.request(2)
    world.tick(5)
    mona = signed_in("mona")
    ended, running = (mona.get(reverse("release", args=[release.pk])).content.decode() for release in (first, live))

    for part in ('id="button-pause"', 'id="button-abort"', 'class="traffic-bar"'):
        assert (part in ended, part in running) == (False, True)
    assert 'id="button-rollback"' in ended


def test_release_page__before_its_rollout__gates_stand_above_the_charts(world: Any) -> None:
    world.serve(1)
    release = world.request(2)
    address, emma = reverse("release", args=[release.pk]), signed_in("emma")
    before = emma.get(address).content.decode()
    world.tick(5)
    after = emma.get(address).content.decode()

    assert before.index('id="release-history"') < before.index('id="charts"')
    assert after.index('id="release-history"') > after.index('id="charts"')
