"""Pages and REST of the past: what they show, what they refuse, and that nothing can be done there."""

import re
from datetime import timedelta
from urllib.parse import quote

import pytest
import time_machine

from deployments.models import Release, TrafficChange
from deployments.services import release_decide
from registry.backends.fake import FakeBackend
from registry.models import Fact, Model
from registry.services import model_edit
from tests.deployments.chronicle import mirror
from tests.deployments.test_api import client_of
from tests.deployments.world import START, World
from tests.support.live import signed_in

PAGE = "/endpoints/production/clinic/past/"
REST = "/api/v1/endpoints/production/clinic/past"
REVIEWED = [{"role": "reviewer", "count": 1}]


@pytest.fixture
def served(people):
    """Version 1 served, version 2 at 10 %, each approved by rita; with the instants after each."""
    with time_machine.travel(START, tick=False):
        world = World(people, rules=REVIEWED)
    for version, strategy in ((1, {"kind": "immediate"}), (2, None)):
        release = world.request(version, **({"strategy": strategy} if strategy else {}))
        with world.at():
            release_decide(actor=people.rita.actor, release=release, decision="approve", comment="fine")
        world.tick(8)
    world.release = Release.objects.order_by("-created_at")[0]
    world.canary_at = world.now
    return world


def ask(world, where, at, who="vik"):
    with world.at():
        return signed_in(who).get(where, {"at": at} if isinstance(at, str) else {"at": at.isoformat()})


def told(world, at, where=REST):
    answer = ask(world, where, at)
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_page__of_a_canary_that_is_over__shows_its_weights_and_who_approved_it(served):
    served.until(served.release, "succeeded")
    page = ask(served, PAGE, served.canary_at).content.decode()

    assert "As it was at 2026-11-23" in page
    assert "90 %" in page
    assert "10 %" in page
    assert page.count("rita at 2026-11-23") == 2
    assert "rolling out then" in page
    assert "production policy" in page
    assert "not written yet" in page  # the canary's report; that of the first release was


def test_page__of_the_past__offers_no_act_and_hears_no_news(served):
    page = ask(served, PAGE, served.canary_at, who="mona").content.decode()
    main = page[page.index("<main") : page.index("</main>")]

    assert 'method="post"' not in main
    assert "data-bs-toggle" not in main
    assert "hx-" not in main
    assert 'data-live-topics=""' in page


@pytest.mark.parametrize(
    ("present", "past"),
    [
        ("/endpoints/production/clinic/", PAGE),
        ("/models/tumours/", "/models/tumours/past/"),
        ("/environments/production/", "/environments/production/past/"),
    ],
)
def test_address__with_at__leads_to_the_past_and_without_back(served, present, past):
    vik = signed_in("vik")
    answer = vik.get(f"{present}?at=2026-11-23T12:00:10+00:00")
    assert answer.headers["Location"] == f"{past}?at=2026-11-23T12%3A00%3A10+00%3A00"
    assert ask(served, past, "2026-11-23T12:00:10 00:00").status_code == 200
    assert vik.get(past).headers["Location"] == present


def test_time__without_offset__is_in_the_reader_s_zone_on_pages_and_over_rest(served, people):
    people.vik.user.time_zone = "Europe/Berlin"
    people.vik.user.save()
    with served.at():
        page = ask(served, PAGE, "2026-11-23T13:00:05").content.decode()
        answer = client_of(people.vik).get(f"/api/v1{REST.removeprefix('/api/v1')}", {"at": "2026-11-23T13:00:05"})

    assert "As it was at 2026-11-23 13:00:05 CET" in page
    assert 'value="2026-11-23T13:00:05"' in page
    assert answer.json()["at"].startswith("2026-11-23T12:00:05")


@pytest.mark.parametrize(
    ("at", "sentence"),
    [
        ("yesterday", "names no moment. Write it as"),
        ("", "Say at which moment"),
        ("2026-11-20T00:00Z", "did not exist yet"),
        ("2027-01-01", "is in the future"),
        ("2026-11-23T12:00\x00", "names no moment"),
    ],
)
def test_time__that_cannot_be_shown__is_400_with_a_sentence(served, at, sentence):
    page, answer = ask(served, PAGE, at), ask(served, REST, at)

    assert (page.status_code, answer.status_code) == (400, 400)
    assert sentence in page.content.decode()
    assert answer.json()["error"]["code"] == "invalid"
    assert sentence in answer.json()["error"]["message"]
    assert answer.json()["error"]["details"]["at"]


@pytest.mark.parametrize("where", ["models/tumours", "environments/production"])
def test_time__before_a_model_or_an_environment_was_made__is_400(served, where):
    for path in (f"/{where}/past/", f"/api/v1/{where}/past"):
        assert ask(served, path, "2020-01-01").status_code == 400


def test_rest__says_what_the_present_said(served):
    with served.at():
        present = signed_in("vik").get("/api/v1/endpoints/production/clinic").json()
    at = served.now
    served.until(served.release, "succeeded")
    past = told(served, at)

    shown = ("arm", "version", "weight_pct", "mirror_pct")
    standing = past["standing"]
    assert [{name: arm[name] for name in shown} for arm in standing["arms"]] == [
        {name: arm[name] for name in shown} for arm in present["arms"]
    ]
    assert standing["stable_release"] == present["stable_release"]
    candidate = standing["arms"][1]["brought_by"]
    assert [one["person"] for one in candidate["approved_by"]] == ["rita"]
    assert (candidate["released_by"], candidate["policy"], candidate["status"]) == ("emma", 1, "rolling_out")
    assert candidate["report"] is None
    assert standing["arms"][0]["brought_by"]["report"].endswith("/report/")


def test_rest__model_and_environment__say_the_same_of_the_endpoint(served):
    at = served.now
    one = told(served, at)["standing"]

    assert told(served, at, "/api/v1/models/tumours/past")["standings"] == [one]
    assert told(served, at, "/api/v1/environments/production/past")["standings"] == [one]


def test_stepping__from_now_to_the_first_change_and_back__meets_every_change_of_traffic(served):
    changes = {change.at for change in TrafficChange.objects.all()}
    seen, at = [], served.now
    while earlier := told(served, at)["earlier"]:
        at = earlier
        seen.append(at)
    back = [at]
    while later := told(served, back[-1])["later"]:
        back.append(later)

    assert {f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in changes} <= {re.sub(r"\.\d+", "", at) for at in seen}
    assert back == seen[::-1]


def test_step__to_a_change_with_microseconds__is_exact(served):
    change = TrafficChange.objects.order_by("-id")[0]
    TrafficChange.objects.filter(pk=change.pk).update(at=change.at + timedelta(microseconds=123))
    page = ask(served, PAGE, served.now).content.decode()

    assert f"?at={quote((change.at + timedelta(microseconds=123)).isoformat())}" in page


def test_traffic__before_it_was_kept__is_said_not_to_be_recorded(served):
    first = TrafficChange.objects.order_by("-id")[0]
    TrafficChange.objects.exclude(pk=first.pk).delete()
    at = first.at - timedelta(seconds=1)
    past = told(served, at)

    assert past["standing"]["change"] is None
    assert past["standing"]["arms"] == []
    assert f"changes are kept since {first.at:%Y-%m-%d %H:%M:%S} UTC" in past["unknown"][0]
    assert "Not recorded for this time." in ask(served, PAGE, at).content.decode()


def test_facts__before_they_were_kept__are_said_not_to_be_recorded_and_never_the_present_ones(served, people):
    with served.at():
        model_edit(actor=people.ada.actor, model=served.model, owner="olga", risk_tier="high")
    before = told(served, served.now - timedelta(seconds=1))
    now = told(served, served.now)

    assert (before["model"]["risk_tier"], before["model"]["owner"]) == (None, None)
    assert any("are not recorded" in sentence for sentence in before["unknown"])
    assert (now["model"]["risk_tier"], now["model"]["owner"]) == ("high", "olga")
    assert Fact.objects.count() == 2


def test_model__renamed_since__has_the_name_that_it_had(registry_of_scans):
    world, before = registry_of_scans
    past = told(world, before, "/api/v1/models/images/past")

    assert past["model"]["name"] == "scans"
    assert [version["version"] for version in past["model"]["versions"]] == [1]


@pytest.fixture
def registry_of_scans(people):
    """A model out of MLflow that is renamed; with the instant before."""
    FakeBackend.reset()
    world = World(people)
    with world.at():
        FakeBackend.add("scans")
        mirror()
    before = world.now
    world.now += timedelta(seconds=5)
    with world.at():
        FakeBackend.rename("scans", "images")
        mirror()
    return world, before


def test_model__deleted_in_mlflow_since__its_past_is_asked_for_all_the_same(served):
    Model.objects.filter(pk=served.model.pk).update(deleted_at=served.now)
    before = served.canary_at

    assert ask(served, "/models/tumours/past/", before).status_code == 200
    (place,) = told(served, before, "/api/v1/models/tumours/past")["standings"]
    assert place["endpoint"] == "clinic"
