"""The past answers for every instant what the present said at that instant."""

from importlib import import_module
from itertools import pairwise

from django.apps import apps
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployments.models import TrafficChange
from deployments.past.standing import standings
from tests.deployments.chronicle import ACTS, Chronicle, past
from tests.factories import make_people

SHORT = "release_canary wait revise_config wait wait follow roll_back wait retire wait restore wait"
STORY = (
    f"{SHORT} edit_model revise_policy release_canary approve follow wait harm wait harm "
    "make_again release_canary reject resolve release_shadow approve follow wait_shortly pause wait_shortly "
    "resume wait_shortly promote wait move_alias change_files revise_policy release_blue_green wait_shortly "
    "abort wait change_status remove_version follow"
)


def tell(people, acts: str) -> Chronicle:
    chronicle = Chronicle(people)
    for act in acts.split():
        chronicle.act(act)
    return chronicle


def assert_as_told(chronicle: Chronicle) -> None:
    with chronicle.world.at():
        for instant, was in chronicle.edges:
            assert past(chronicle.world, instant) == was, instant


def test_past__story_with_every_kind_of_change__each_instant_is_as_it_was_told(people):
    told = tell(people, STORY)
    arms = [was["arms"] for _, was in told.told]
    statuses = {status for _, was in told.told for status in was["open"].values()}

    # The story is worth its name: several weights, a mirror, nothing at all while retired, versions made again.
    assert {0, 10, 50, 100} <= {weight for row in arms for *_, weight, _ in row}
    assert any(mirror for row in arms for *_, mirror in row)
    assert {"awaiting_approval", "rolling_out", "paused"} <= statuses
    assert any(was["retired"] for _, was in told.told)
    assert len({key for _, was in told.told for key in was["versions"]}) > 3
    assert any(was["findings"] for _, was in told.told)
    assert_as_told(told)


@settings(max_examples=3, suppress_health_check=list(HealthCheck), deadline=None)
@given(acts=st.lists(st.sampled_from(ACTS), min_size=6, max_size=14))
def test_past__acts_in_any_order__each_instant_is_as_it_was_told(db, acts):
    with transaction.atomic():
        chronicle = Chronicle(make_people())
        for act in acts:
            chronicle.act(act)
        assert_as_told(chronicle)
        transaction.set_rollback(True)


def test_derived__out_of_histories__is_what_was_kept(people):
    """What an installation gets whose changes of traffic were not kept is what would have been kept."""
    told = tell(people, SHORT)
    shown = ("at", "arms", "stable_release_id", "is_retired", "route_revision")
    kept = list(TrafficChange.objects.values_list(*shown))
    TrafficChange.objects.all().delete()
    with told.world.at():
        import_module("deployments.migrations.0011_traffic_derived").derive(apps, None)

    derived = TrafficChange.objects.all()
    assert [row[:4] for row in derived.values_list(*shown)] == [row[:4] for row in kept]
    assert all(row.is_derived for row in derived)
    # And a change that changes nothing is no row.
    assert all(one[1:4] != other[1:4] for one, other in pairwise(kept))


def test_derived__history_that_does_not_lead_to_the_present__begins_now(world):
    world.serve(1)
    TrafficChange.objects.all().delete()
    world.endpoint.arms.update(weight_pct=37)
    with world.at():
        import_module("deployments.migrations.0011_traffic_derived").derive(apps, None)

    row = TrafficChange.objects.get()
    assert (row.at, row.is_derived, [arm["weight_pct"] for arm in row.arms]) == (world.now, False, [37])


def test_clock__put_back__the_change_that_was_written_later_counts(world):
    world.serve(1)
    early = TrafficChange.objects.order_by("id")[0].at
    TrafficChange.objects.create(endpoint=world.endpoint, at=early, sentence="while the clock was back", actor="test")

    assert standings([world.endpoint], world.now)[0].arms == ()
