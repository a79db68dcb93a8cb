"""What is offered instead of a plan that sees too little: it would see enough, and may be requested."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from deployments.plan_forecast import EndpointTraffic
from deployments.plan_offers import Terms, is_enough, offers, why_too_fine
from tests.deployments.test_preview_and_selectors import preview

POLICY = SimpleNamespace(
    allowed_strategies=[], max_first_weight_pct=100, bake_s_min=0, requests_min=0, hold_required=False, margins_max={}
)
TERMS = Terms([{"metric": "error_rate", "margin": 0.01}], EndpointTraffic(2.0, 0.01, 3.0), POLICY, 3600.0)
FINE = {
    "kind": "canary",
    "steps": [{"weight": 10, "bake_s": 300}, {"weight": 25, "bake_s": 300}, {"weight": 75, "bake_s": 300}],
}


def offered(strategy, terms=TERMS):
    planned = terms.forecast(strategy)
    return planned, offers(strategy, planned, terms)


@pytest.mark.parametrize(
    "strategy",
    [
        FINE,
        {"kind": "linear", "step_pct": 10, "bake_s": 60},
        {"kind": "linear"},
        {"kind": "shadow", "mirror": 10, "bake_s": 60},
        {"kind": "shadow", "bake_s": 60, "steps": [{"weight": 5, "bake_s": 30}]},
    ],
)
def test_offers__plan_too_fine__each_sees_enough_and_keeps_the_kind(strategy):
    planned, found = offered(strategy)

    assert not is_enough(planned)
    assert len(found) >= 2
    for offer in found:
        assert is_enough(TERMS.forecast(offer.strategy))
        assert offer.strategy["kind"] == strategy["kind"]


def test_offers__even_share__leaves_out_the_steps_that_would_not_rise():
    planned, found = offered(FINE)

    assert why_too_fine(planned).startswith("Step 1 is too fine: 10 % for 5 min sees about 60 requests")
    weights = [[row["weight"] for row in offer.strategy["steps"]] for offer in found]
    assert weights == [[50, 75], [10, 25, 75]]
    assert [offer.label.endswith("without 25 %") for offer in found] == [True, False]


@pytest.mark.parametrize(
    "terms",
    [
        replace(TERMS, traffic=replace(TERMS.traffic, rate_per_s=0.0)),
        replace(TERMS, traffic=replace(TERMS.traffic, rate_per_s=0.00001)),  # longer than a plan may be
        replace(TERMS, traffic=replace(TERMS.traffic, rate_per_s=1e6)),  # it sees enough as it is
    ],
)
def test_offers__nothing_would_do_or_nothing_has_to__none(terms):
    assert offered(FINE, terms)[1] == []


def test_offers__policy_limits_the_first_share__no_larger_one_is_offered():
    narrow = SimpleNamespace(**{**vars(POLICY), "max_first_weight_pct": 10})

    assert [offer.strategy["steps"][0]["weight"] for offer in offered(FINE, replace(TERMS, policy=narrow))[1]] == [10]


def test_preview__plan_too_fine__warns_and_gives_the_offers_as_data(world):
    world.serve(1)
    world.tick(40)
    strategy = {"kind": "canary", "steps": [{"weight": 1, "bake_s": 1}]}
    told = preview(world, strategy=strategy)

    assert any("Step 1 is too fine: 1 % for 1 s" in sentence for sentence in told.warnings)
    assert [preview(world, strategy=offer.strategy).offers for offer in told.offers[:1]] == [[]]
