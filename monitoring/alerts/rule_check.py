"""Hold the figures of an endpoint against the terms of a rule. "Cannot say" is an answer of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from monitoring.alerts.error_budget import GoodBad
from monitoring.alerts.lifecycle import ACT_LABELS, BURN_KINDS, BoundSide, RuleKind, RuleMetric
from monitoring.alerts.rule_terms import BURN_PAIRS, MINUTE, NAMES, UNITS, BurnPair, RuleTerms, span_words


@dataclass(frozen=True)
class SpanFigures:
    """What clients met in one span: all requests, those that availability counts and their errors, those over the SLO,
    and the P95 in ms; and what no gateway counts: the cost a day, None when it is not known, and acts of the audit
    record.
    """

    seconds: int
    requests: int = 0
    counted: int = 0
    errors: int = 0
    over_slo: int = 0
    p95_ms: float | None = None
    cost_per_day: float | None = None
    acts: int = 0

    def good_bad(self, slo_ms: float | None) -> GoodBad:
        """The counts of an objective: of latency when it has an SLO, else of availability."""
        return GoodBad(self.counted, self.errors) if slo_ms is None else GoodBad(self.requests, self.over_slo)

    def value(self, metric: RuleMetric | None) -> float | None:
        """The metric in its unit; None where there is nothing to say it of."""
        if metric is RuleMetric.ERROR_SHARE:
            return 100 * self.errors / self.counted if self.counted else None
        if metric is RuleMetric.P95:
            return self.p95_ms
        if metric is RuleMetric.COST:
            return self.cost_per_day
        return self.requests / self.seconds

    def is_enough(self, terms: RuleTerms) -> bool:
        """Whether there are as many requests as the rule wants; what no gateway counts needs none."""
        return self.requests >= terms.minimum or not terms.is_counted_by_gateways


@dataclass(frozen=True)
class RuleAnswer:
    """What a look found: `is_broken` is None when nothing can be said. `numbers` are what it rests on."""

    is_broken: bool | None
    sentence: str
    value: float | None = None
    numbers: dict[str, Any] = field(default_factory=dict)


def rule_check(terms: RuleTerms, spans: Mapping[int, SpanFigures], before: SpanFigures | None = None) -> RuleAnswer:
    """The answer for figures by span in seconds; `before` is the span before the one of a change."""
    if terms.kind in BURN_KINDS:
        return _burn(terms, spans)
    figures = spans[terms.over_min * MINUTE]
    if terms.kind is RuleKind.ABSENCE:
        return _absence(figures)
    if terms.kind is RuleKind.AUDIT:
        return _acts(terms, figures)
    if terms.metric is RuleMetric.COST and figures.cost_per_day is None:
        return RuleAnswer(None, "A serving config does not say what a replica costs, so the cost is not known.")
    if not figures.is_enough(terms) or (value := figures.value(terms.metric)) is None:
        return _too_few(figures, terms.minimum)
    if terms.kind is RuleKind.THRESHOLD:
        is_broken = value > terms.bound if terms.direction is BoundSide.ABOVE else value < terms.bound
        said = f"{NAMES[terms.metric]}: {value:.4g}{UNITS[terms.metric]} over {span_words(figures.seconds)}."
        return RuleAnswer(is_broken, said, value, {"value": value, "bound": terms.bound, "requests": figures.requests})
    return _change(terms, figures, value, before)


def _acts(terms: RuleTerms, figures: SpanFigures) -> RuleAnswer:
    times = f"{figures.acts or 'No'} record{'s' if figures.acts != 1 else ''}"
    what = ACT_LABELS[terms.watched_act] if terms.watched_act else "nothing"
    said = f"{times} in {span_words(figures.seconds)} of {what}."
    return RuleAnswer(figures.acts > terms.bound, said, figures.acts, {"acts": figures.acts, "bound": terms.bound})


def _absence(figures: SpanFigures) -> RuleAnswer:
    said = f"{figures.requests or 'No'} request{'s' if figures.requests != 1 else ''} in {span_words(figures.seconds)}."
    return RuleAnswer(figures.requests == 0, said, figures.requests, {"requests": figures.requests})


def _too_few(figures: SpanFigures, minimum: int) -> RuleAnswer:
    said = f"{figures.requests} requests in {span_words(figures.seconds)}: too few to say anything"
    return RuleAnswer(None, f"{said} (at least {max(minimum, 1)}).", numbers={"requests": figures.requests})


def _change(terms: RuleTerms, figures: SpanFigures, value: float, before: SpanFigures | None) -> RuleAnswer:
    """A change in percent of what was before; from nothing to something it is a rise beyond every bound."""
    former = before.value(terms.metric) if before is not None and before.is_enough(terms) else None
    if former is None:
        what = "too few requests" if terms.is_counted_by_gateways else "nothing known"
        return RuleAnswer(None, f"There were {what} before to compare with.", value)
    if former == 0:
        is_broken = value > 0 and terms.direction is BoundSide.ABOVE
        return RuleAnswer(is_broken, _moved(terms, former, value), value, {"before": 0, "value": value})
    change = 100 * (value - former) / former
    is_broken = change >= terms.bound if terms.direction is BoundSide.ABOVE else change <= -terms.bound
    numbers = {"before": former, "value": value, "change_pct": change, "bound_pct": terms.bound}
    return RuleAnswer(is_broken, _moved(terms, former, value), value, numbers)


def _moved(terms: RuleTerms, former: float, value: float) -> str:
    unit, span = UNITS[terms.metric], span_words(terms.over_min * MINUTE)
    return f"{NAMES[terms.metric]}: {value:.4g}{unit} over {span}, {former:.4g}{unit} in the same span before."


def _burn(terms: RuleTerms, spans: Mapping[int, SpanFigures]) -> RuleAnswer:
    """Broken when one pair is; nothing can be said when none is and some pair cannot be judged."""
    answers = [_pair(terms, pair, spans) for pair in BURN_PAIRS[terms.kind]]
    order = {True: 0, None: 1, False: 2}
    return min(answers, key=lambda answer: order[answer.is_broken])


def _pair(terms: RuleTerms, pair: BurnPair, spans: Mapping[int, SpanFigures]) -> RuleAnswer:
    assert terms.target_share is not None
    longer = spans[pair.long_s].good_bad(terms.slo_ms)
    shorter = spans[pair.short_s].good_bad(terms.slo_ms)
    long_rate, short_rate = longer.burn_rate(terms.target_share), shorter.burn_rate(terms.target_share)
    numbers = {
        "burn_rate": long_rate,
        "burn_rate_of_the_last": short_rate,
        "bound": pair.rate,
        "requests": longer.requests,
        "bad": longer.bad,
    }
    if long_rate is None:
        return RuleAnswer(None, f"No request in {span_words(pair.long_s)}.", numbers=numbers)
    said = (
        f"{longer.bad} of {longer.requests} requests were bad in {span_words(pair.long_s)}: "
        f"{long_rate:.3g} times as many as the objective allows"
    )
    # At the bound itself it burns: what is compared are shares of whole numbers, whose last bit is chance.
    is_burning = long_rate >= pair.rate * (1 - 1e-9) and longer.bad >= max(terms.minimum, 1)
    if not is_burning:
        return RuleAnswer(False, f"{said}.", long_rate, numbers)
    if short_rate is None:
        return RuleAnswer(None, f"{said}; none since {span_words(pair.short_s)}.", long_rate, numbers)
    still = f"{short_rate:.3g} times in the last {span_words(pair.short_s)}"
    return RuleAnswer(short_rate >= pair.rate * (1 - 1e-9), f"{said}, {still}.", long_rate, numbers)
