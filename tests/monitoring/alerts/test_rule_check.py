"""Rules held against figures: each kind at its bound, beside it, and where nothing can be said."""

import pytest

from monitoring.alerts.lifecycle import BoundSide, RuleKind, RuleMetric
from monitoring.alerts.rule_check import SpanFigures, rule_check
from monitoring.alerts.rule_terms import DAY, HOUR, MINUTE, RuleTerms

FAST = RuleTerms(RuleKind.BURN_FAST, minimum=10, target_share=0.99)
SLOW = RuleTerms(RuleKind.BURN_SLOW, minimum=10, target_share=0.99)


def counts(**spans):
    """`h1=(requests, bad)` and so on, as figures by span; spans that are not named had no request."""
    seconds = {"m5": 5 * MINUTE, "m30": 30 * MINUTE, "h1": HOUR, "h6": 6 * HOUR, "d3": 3 * DAY}
    found = {name: spans.get(name, (0, 0)) for name in seconds}
    return {seconds[name]: SpanFigures(seconds[name], n, n, bad) for name, (n, bad) in found.items()}


@pytest.mark.parametrize(
    ("terms", "spans", "is_broken"),
    [
        (FAST, {"h1": (1000, 144), "m5": (100, 15), "h6": (1000, 144), "m30": (500, 1)}, True),
        (FAST, {"h1": (1000, 143), "m5": (100, 15), "h6": (6000, 143), "m30": (500, 1)}, False),  # 14.3 times
        (FAST, {"h1": (1000, 500), "m5": (100, 0), "h6": (6000, 10), "m30": (500, 0)}, False),  # it is over by now
        (FAST, {"h1": (6000, 60), "m5": (50, 50), "h6": (6000, 360), "m30": (500, 30)}, True),  # the second pair
        (FAST, {"h1": (9, 9), "m5": (9, 9), "h6": (9, 9), "m30": (9, 9)}, False),  # too few bad ones to wake anybody
        (FAST, {}, None),
        (FAST, {"h1": (1000, 500), "h6": (1000, 500)}, None),  # nobody asks any more: that proves nothing
        (FAST, {"h6": (1000, 500), "m30": (100, 50)}, True),  # an hour without requests hides no pair that burns
        (SLOW, {"d3": (10_000, 100), "h6": (100, 1)}, True),
        (SLOW, {"d3": (10_000, 99), "h6": (100, 1)}, False),
        (SLOW, {"d3": (10_000, 100), "h6": (1000, 9)}, False),
    ],
)
def test_burn__long_and_short_span__both_have_to_burn(terms, spans, is_broken):
    assert rule_check(terms, counts(**spans)).is_broken is is_broken


def test_burn__of_latency__counts_those_over_the_slo_among_all():
    terms = RuleTerms(RuleKind.BURN_SLOW, minimum=1, target_share=0.9, slo_ms=100)
    spans = {span: SpanFigures(span, requests=100, counted=50, errors=50, over_slo=9) for span in terms.spans_s}
    assert rule_check(terms, spans).is_broken is False
    spans = {span: SpanFigures(span, requests=100, over_slo=10) for span in terms.spans_s}
    assert rule_check(terms, spans).is_broken is True


def five(requests, errors=0, p95=None, counted=None):
    return SpanFigures(300, requests, requests if counted is None else counted, errors, 0, p95)


@pytest.mark.parametrize(
    ("metric", "direction", "bound", "figures", "is_broken"),
    [
        (RuleMetric.ERROR_SHARE, BoundSide.ABOVE, 2.0, five(100, 2), False),
        (RuleMetric.ERROR_SHARE, BoundSide.ABOVE, 2.0, five(100, 3), True),
        (RuleMetric.ERROR_SHARE, BoundSide.ABOVE, 2.0, five(19, 19), None),  # below the minimum of 20
        (RuleMetric.ERROR_SHARE, BoundSide.ABOVE, 2.0, five(100, counted=0), None),  # client errors alone
        (RuleMetric.P95, BoundSide.ABOVE, 250, five(100, p95=251.0), True),
        (RuleMetric.P95, BoundSide.BELOW, 250, five(100, p95=251.0), False),
        (RuleMetric.P95, BoundSide.ABOVE, 250, five(0), None),
        (RuleMetric.RATE, BoundSide.BELOW, 1.0, five(150), True),
        (RuleMetric.RATE, BoundSide.BELOW, 0.5, five(150), False),
    ],
)
def test_threshold__at_and_beside_the_bound(metric, direction, bound, figures, is_broken):
    terms = RuleTerms(RuleKind.THRESHOLD, metric, direction, bound, over_min=5, minimum=20)
    assert rule_check(terms, {300: figures}).is_broken is is_broken


@pytest.mark.parametrize(
    ("direction", "before", "after", "is_broken"),
    [
        (BoundSide.ABOVE, five(300), five(450), True),
        (BoundSide.ABOVE, five(300), five(449), False),
        (BoundSide.BELOW, five(300), five(150), True),
        (BoundSide.BELOW, five(300), five(151), False),
        (BoundSide.ABOVE, five(0), five(30), True),  # from nothing to something
        (BoundSide.BELOW, five(0), five(30), False),
        (BoundSide.ABOVE, None, five(30), None),
    ],
)
def test_change__in_percent_of_the_span_before(direction, before, after, is_broken):
    terms = RuleTerms(RuleKind.CHANGE, RuleMetric.RATE, direction, 50, over_min=5)
    assert rule_check(terms, {300: after}, before).is_broken is is_broken


def test_absence__one_request__is_enough():
    terms = RuleTerms(RuleKind.ABSENCE, over_min=5)
    assert [rule_check(terms, {300: five(number)}).is_broken for number in (0, 1)] == [True, False]
    assert rule_check(terms, {300: five(0)}).sentence == "No requests in 5 minutes."
