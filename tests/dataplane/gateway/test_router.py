"""Assignment: the same unit always gets the same arm, and raising a weight only adds units."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.gateway.core import router
from dataplane.gateway.core.compiled_table import EndpointRoute
from dataplane.wire.shapes import Malformed
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


@given(
    st.dictionaries(
        st.sampled_from(["x-tenant", "x-region"]), st.sampled_from(["acme", "beta", "Acme", ""]), max_size=2
    ),
    st.sampled_from(["", "ada", "Ada", "bob"]),
)
def test_is_targeted__any_request__exactly_those_that_were_named(headers: dict[str, str], unit: str) -> None:
    digest = hashlib.sha256(b"other salt:ada").hexdigest()
    targets = {"arm": "candidate", "headers": {"x-tenant": ["acme", "beta"]}, "salt": "other salt", "units": [digest]}
    route = compiled(table(targets=targets)).endpoints["e"].targets
    assert route is not None
    sent = {name.encode(): value.encode() for name, value in headers.items()}

    assert router.is_targeted(route, sent, unit) is (headers.get("x-tenant") in ("acme", "beta") or unit == "ada")


@pytest.mark.parametrize(
    "targets",
    [
        {"arm": "shadow", "headers": {"x-tenant": ["acme"]}},
        {"arm": "candidate", "headers": {"X-Tenant": ["acme"]}},
        {"arm": "candidate", "headers": {"x-tenant": ["acme\n"]}},
        {"arm": "candidate", "units": ["ada"]},
        {"arm": "candidate", "units": ["0" * 64] * 1001},
    ],
)
def test_table__targets_that_cannot_be__are_refused_whole(targets: dict) -> None:
    with pytest.raises(Malformed):
        compiled(table(targets=targets))


def test_table__targets_that_choose_nothing__cost_nothing() -> None:
    assert compiled(table(targets={"arm": "candidate"})).endpoints["e"].targets is None
    assert compiled(table()).endpoints["e"].targets is None
