"""What was promoted is watched for a while, and goes back by itself when it turns bad."""

import pytest
from django.urls import reverse
from jsonschema import Draft202012Validator

from deployments.models import BakeWatch, Release, Replica
from deployments.reports.report_schema import report_schema
from deployments.services.controls import endpoint_rollback, release_abort
from mlorch_site.accounts.actor import Actor
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib.errors import Invalid
from tests.deployments.world import CANARY, World
from tests.support.live import signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(people) -> World:
    return World(people)


def promoted(world: World, **strategy) -> Release:
    world.serve(1)
    return world.until(world.request(2, strategy={**CANARY, **strategy}), "succeeded")


def test_promoted_release__turns_bad__goes_back_by_itself(world):
    release = promoted(world)
    watch = BakeWatch.objects.get(release=release)
    assert (watch.until - watch.began_at).total_seconds() == 600
    world.errors = {"2": 0.5}
    world.tick(30)
    watch.refresh_from_db()

    back = watch.back
    assert watch.outcome == "taken_back"
    assert (back.status, back.kind, back.version.number) == ("succeeded", "rollback", 1)
    assert (back.replaces_id, world.endpoint.stable_release_id) == (release.pk, back.pk)
    assert "requests failed" in back.reason
    assert back.report is not None
    assert list(release.events.filter(kind="bake_watch.signalled").values_list("actor", flat=True)) == [
        Actor.controller("rollout").name
    ]
    record = AuditRecord.objects.filter(action="endpoint.rolled_back").get()
    assert record.actor == Actor.controller("rollout").name
    page = signed_in("vik").get(reverse("release", args=[release.pk])).content.decode()
    assert "The watch took it back." in page
    assert f'<a href="/releases/{back.pk}/">Version 1 was restored</a>' in page
    world.tick(5)
    assert Release.objects.filter(kind="rollback").count() == 1


def test_replaced_version__while_it_is_watched__stays_warm(world):
    world.serve(1)
    world.endpoint.configs.update(keep_previous_s=1)
    world.until(world.request(2), "succeeded")
    world.tick(10)

    assert Replica.objects.filter(version__number=1, wanted=True).exists()


def test_promoted_release__stays_good__is_kept_and_says_what_was_seen(world):
    release = promoted(world, watch_s=20)
    world.tick(5)
    page = signed_in("vik").get(reverse("release", args=[release.pk])).content.decode()
    assert "Watched until" in page
    assert "requests failed" in page

    world.tick(20)

    watch = BakeWatch.objects.get(release=release)
    assert (watch.outcome, watch.due_at, watch.back) == ("kept", None, None)
    assert release.events.filter(kind="bake_watch.kept").exists()


def test_promoted_release__rolled_back_by_hand_meanwhile__the_watch_is_over(world):
    release = promoted(world)
    with world.at():
        endpoint_rollback(
            actor=world.people.mona.actor, endpoint=world.endpoint, expects=str(release.pk), reason="by hand"
        )
    world.errors = {"2": 1.0}
    world.tick(20)

    assert BakeWatch.objects.get(release=release).outcome == "replaced"
    assert Release.objects.filter(kind="rollback").count() == 1


def test_signal__while_another_release_rolls_out__waits_for_its_end(world):
    release = promoted(world)
    following = world.request(3, strategy={**CANARY, "hold": True})
    world.errors = {"2": 0.5}
    world.tick(16)
    watch = BakeWatch.objects.get(release=release)
    assert watch.signalled_at is not None
    following.refresh_from_db()
    assert (following.status, watch.outcome) == ("rolling_out", "")

    with world.at():
        release_abort(actor=world.people.mona.actor, release=following, reason="no longer needed")
    world.tick(10)

    watch.refresh_from_db()
    assert watch.outcome == "taken_back"


@pytest.mark.parametrize("strategy", [{"watch_s": 0}, {}])
def test_nothing_to_watch__first_release_or_not_wished__no_row(world, strategy):
    world.serve(1)
    if strategy:
        world.until(world.request(2, strategy={**CANARY, **strategy}), "succeeded")

    assert not BakeWatch.objects.exists()
    with world.at():
        assert not BakeWatch.objects.filter(due_at__lte=world.now).exists()


@pytest.mark.parametrize("watch_s", [-1, 86_401, True, "600", 1.5])
def test_request__watch_that_is_no_time__is_refused_by_name(world, watch_s):
    world.serve(1)
    with pytest.raises(Invalid) as caught:
        world.request(2, strategy={**CANARY, "watch_s": watch_s})

    assert "strategy.watch_s" in caught.value.details


def gone_back(world: World, release: Release) -> Release:
    """What a person went back to from a release that serves."""
    with world.at():
        back = endpoint_rollback(
            actor=world.people.mona.actor, endpoint=world.endpoint, expects=str(release.pk), reason="by hand"
        )
    return world.until(back, "succeeded")


def restored(world: World) -> Release:
    """Version 1, which a person went back to from a promoted version 2."""
    return gone_back(world, promoted(world))


def page_of(world: World, release: Release, route: str = "release") -> str:
    with world.at():
        return signed_in("vik").get(reverse(route, args=[release.pk])).content.decode()


def test_restored_release__as_good_as_it_was__is_watched_by_the_plan_that_was_taken_back(world):
    release = restored(world)
    watch = BakeWatch.objects.get(release=release)
    (seen,) = watch.watched
    assert (watch.until - watch.began_at).total_seconds() == 600
    assert seen["guardrail"]["metric"] == "error_rate"
    world.tick(30)
    watch.refresh_from_db()

    assert watch.watched[0]["requests"] > 500
    assert watch.outcome == ""
    page = page_of(world, release)
    assert "is told; the way from here is for a person" in page
    assert "data-live-figures" in page


def test_restored_release__worse_than_it_was__is_told_and_nothing_goes_back_again(world):
    release = restored(world)
    world.errors = {"1": 0.5}
    world.tick(30)

    assert BakeWatch.objects.get(release=release).outcome == "no_return"
    assert list(release.events.filter(kind__startswith="bake_watch").order_by("id").values_list("kind", flat=True)) == [
        "bake_watch.signalled",
        "bake_watch.no_return",
    ]
    assert Release.objects.filter(kind="rollback").count() == 1
    assert "a person has to choose" in page_of(world, release)


def test_restored_release__worse_while_another_rolls_out__is_told_at_once(world):
    release = restored(world)
    world.tick(5)
    world.request(3, strategy={**CANARY, "hold": True})
    world.errors = {"1": 0.5, "3": 0.5}
    world.tick(20)

    assert BakeWatch.objects.get(release=release).outcome == "no_return"


def test_restored_release__of_what_was_not_compared_with_it__says_why_it_is_not_watched(world):
    promoted(world)
    once = gone_back(world, world.until(world.request(3), "succeeded"))
    again = gone_back(world, once)

    assert [once.version.number, again.version.number] == [2, 1]
    assert BakeWatch.objects.filter(release=once).exists()
    assert not BakeWatch.objects.filter(release=again).exists()
    assert "What it took back was not compared with this version" in page_of(world, again)


def test_release_page__not_watched__says_why(world):
    first = world.serve(1)
    wished = world.until(world.request(2, strategy={**CANARY, "watch_s": 0}), "succeeded")

    assert "It was the first release of its endpoint" in page_of(world, first)
    assert "The plan asks for no watch after the promotion." in page_of(world, wished)


def test_release_page__watched__until_when_and_the_sum_against_its_limit(world):
    release = promoted(world)
    world.tick(5)
    watch = BakeWatch.objects.get(release=release)
    page = page_of(world, release)

    assert f"Watched until {watch.until:%Y-%m-%d %H:%M} UTC." in page
    assert f"0.0 of {watch.watched[0]['limit']:.1f}</span>" in page
    assert 'id="chart-state"' in page  # what is watched is followed


def test_rest__watched__the_same_as_the_page(world):
    release = promoted(world)
    world.tick(5)
    with world.at():
        told = signed_in("vik").get(reverse("api-release", args=[release.pk])).json()["watch"]
    (row,) = told["guardrails"]

    assert (told["state"], row["cusum"]) == ("being watched", 0)
    assert 0 < row["reference"] < row["accepted"] < 1
    assert row["requests"] > 100
    open_one = world.request(3)
    with world.at():
        assert signed_in("vik").get(reverse("api-release", args=[open_one.pk])).json()["watch"] is None


def test_report__watch__is_in_the_document_by_its_schema_and_how_it_ended_beside_it(world):
    release = promoted(world, watch_s=20)
    document = release.report.document
    Draft202012Validator(report_schema()).validate(document)
    assert document["watch"]["state"] == "being watched"
    world.tick(30)
    page = page_of(world, release, "release-report")

    assert "which is no part of the frozen report" in page
    assert "It was watched until" in page
    assert "Hash verified." in page
