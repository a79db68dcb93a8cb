"""Assignment: the same unit always gets the same arm, and raising a weight only adds units."""

from hypothesis import given
from hypothesis import strategies as st

from dataplane.gateway.core import router
from dataplane.gateway.core.compiled_table import EndpointRoute
from tests.dataplane.gateway.conftest import compiled, table


def route(weight: int) -> EndpointRoute:
    return compiled(table(weight=weight)).endpoints["e"]


@given(st.text(max_size=30), st.integers(0, 100), st.integers(0, 100))
def test_arm_for__weight_rises__a_unit_never_leaves_the_candidate(unit: str, one: int, other: int) -> None:
    low, high = sorted((one, other))
    bucket = router.buckets_of("salt", unit)[0]

    if router.arm_for(route(low), bucket).arm == "candidate":
        assert router.arm_for(route(high), bucket).arm == "candidate"


@given(st.integers(0, 100))
def test_arm_for__all_buckets__split_is_exact(weight: int) -> None:
    weighted = route(weight)
    arms = [router.arm_for(weighted, bucket).arm for bucket in range(router.BUCKETS)]

    assert arms.count("candidate") == weight * router.BUCKETS_PER_PCT


def test_buckets_of__many_units__split_is_near_the_weight() -> None:
    hits = sum(router.buckets_of("salt", f"unit-{number}")[0] < 1000 for number in range(20_000))

    assert abs(hits / 20_000 - 0.1) < 0.01


def test_drawn_bucket__draw__is_handed_through() -> None:
    assert router.drawn_bucket(lambda limit: limit - 1) == router.BUCKETS - 1
