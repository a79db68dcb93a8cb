"""Promotion rate, lead time, change failure rate and time to restore, of releases that really went so."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from deployments import services
from deployments.delivery import DEFINITIONS, DeliveryFigures, Durations, Share, delivery
from deployments.models import Release
from monitoring.spans import Span


def seen(world, **between: timedelta) -> DeliveryFigures:
    since = world.now - between.get("back", timedelta(days=1))
    return delivery(Release.objects.all(), [Span(since, world.now + timedelta(seconds=1))])[0]


def test_delivery__nothing_ended__no_shares_and_no_durations(world):
    found = seen(world)

    assert (found.promotion, found.promotion.value) == (Share(0, 0), None)
    assert found.restore == Durations(0, None, None)


def test_delivery__promoted_and_taken_back__shares_and_times_with_their_n(world):
    first = world.serve(1)
    world.errors = {"2": 1.0}
    bad = world.until(world.request(2), "rolled_back")
    found = seen(world)

    assert (found.promotion, found.change_failure) == (Share(1, 2), Share(1, 2))
    first.refresh_from_db()
    assert found.lead_time == Durations(1, *[(first.ended_at - first.created_at).total_seconds()] * 2)
    ordered = bad.events.get(kind="rollout.step", new="reverting").at
    assert found.restore.n == 1
    assert found.restore.median_s == (bad.ended_at - ordered).total_seconds()


def test_delivery__rolled_back_by_hand_after_its_promotion__a_failed_change_that_was_promoted(world):
    world.serve(1)
    world.until(world.request(2, strategy={"kind": "immediate"}), "succeeded")
    with world.at():
        back = services.endpoint_rollback(
            actor=world.people.mona.actor,
            endpoint=world.endpoint,
            expects=str(world.endpoint.stable_release_id),
            reason="worse",
        )
    back = world.until(back, "succeeded")
    found = seen(world)

    assert (found.promotion, found.change_failure) == (Share(2, 2), Share(1, 2))
    assert found.restore == Durations(1, *[(back.ended_at - back.created_at).total_seconds()] * 2)


def test_delivery__retired_and_restored__is_no_failure_and_no_return(world):
    release = world.serve(1)
    with world.at():
        services.endpoint_retire(
            actor=world.people.ada.actor, endpoint=world.endpoint, expects=str(release.pk), reason="not needed"
        )
        restored = services.endpoint_restore(actor=world.people.ada.actor, endpoint=world.endpoint)
    world.until(restored, "succeeded")
    found = seen(world)

    assert (found.change_failure, found.restore.n) == (Share(0, 1), 0)


def test_delivery__aborted_before_and_after_its_approval__only_what_was_approved_counts(world):
    world.serve(1)
    begun = world.request(2)
    world.until(begun, "rolling_out")
    world.tick(7)
    with world.at():
        services.release_abort(actor=world.people.mona.actor, release=begun, reason="not needed")
    world.until(begun, "aborted")
    world.environment.policies.update(approval_rules=[{"role": "reviewer", "count": 1}])
    waiting = world.request(3)
    assert waiting.status == "awaiting_approval"
    with world.at():
        services.release_abort(actor=world.people.emma.actor, release=waiting, reason="not needed")
    found = seen(world)

    assert (found.promotion, found.change_failure) == (Share(1, 2), Share(0, 2))


def test_delivery__two_spans__each_its_own_in_one_query(world):
    release = world.serve(1)
    release.refresh_from_db()
    span = Span(release.ended_at, release.ended_at + timedelta(hours=1))
    with CaptureQueriesContext(connection) as queries:
        now, before = delivery(Release.objects.all(), [span, span.before])

    assert (now.promotion.whole, before.promotion.whole, len(queries)) == (1, 0, 1)


@pytest.mark.parametrize(
    ("seconds", "found"),
    [([], (0, None, None)), ([7.0], (1, 7.0, 7.0)), ([float(n) for n in range(1, 12)], (11, 6.0, 10.0))],
)
def test_durations__median_and_p90(seconds, found):
    assert Durations.of(seconds) == Durations(*found)


def test_definitions__one_sentence_for_each_figure():
    assert set(DEFINITIONS) == set(DeliveryFigures.__dataclass_fields__)
