"""The terms of an alert rule: what it looks at, over which spans, and what it says in one sentence."""

from dataclasses import dataclass

from monitoring.alerts.lifecycle import ACT_LABELS, BURN_KINDS, BoundSide, RuleKind, RuleMetric, WatchedAct

MINUTE, HOUR, DAY = 60, 3600, 86_400


@dataclass(frozen=True)
class BurnPair:
    """A burn rate that a long and a short span have both to pass: the long one shows that it matters, the short one
    that it still goes on.
    """

    rate: float
    long_s: int
    short_s: int


# Site Reliability Workbook, chapter 5, table 5-8: 2 % of a budget of 30 days in an hour, 5 % in six, 10 % in three days
BURN_PAIRS: dict[RuleKind, tuple[BurnPair, ...]] = {
    RuleKind.BURN_FAST: (BurnPair(14.4, HOUR, 5 * MINUTE), BurnPair(6, 6 * HOUR, 30 * MINUTE)),
    RuleKind.BURN_SLOW: (BurnPair(1, 3 * DAY, 6 * HOUR),),
}


@dataclass(frozen=True)
class RuleTerms:
    """What a rule asks.

    `bound` is in the metric's unit, for a change in percent of what was before. `minimum` is how many requests (of a
    burn rate: bad ones, in its long span) there must be before anything is said. `target_share` and `slo_ms` are those
    of the objective of a burn rate; without `slo_ms` it is one of availability. Of a `watched_act` record
    `bound` is how many there may be.
    """

    kind: RuleKind
    metric: RuleMetric | None = None
    direction: BoundSide = BoundSide.ABOVE
    bound: float = 0.0
    over_min: int = 5
    minimum: int = 0
    target_share: float | None = None
    slo_ms: float | None = None
    watched_act: WatchedAct | None = None

    @property
    def is_counted_by_gateways(self) -> bool:
        """Whether it rests on what gateways tell; the rest is in the database at once."""
        return self.kind is not RuleKind.AUDIT and self.metric is not RuleMetric.COST

    @property
    def spans_s(self) -> tuple[int, ...]:
        """The spans up to now, in seconds, that it looks at."""
        if self.kind in BURN_KINDS:
            return tuple(span for pair in BURN_PAIRS[self.kind] for span in (pair.long_s, pair.short_s))
        return (self.over_min * MINUTE,)

    @property
    def looks_every_s(self) -> int:
        """How often it is worth looking: what is counted over days does not change within minutes."""
        return 300 if self.kind is RuleKind.BURN_SLOW else 30

    @property
    def sentence(self) -> str:
        """The rule as people read it."""
        if self.kind in BURN_KINDS:
            pairs = " or ".join(
                f"{_rate_words(pair.rate)} in {span_words(pair.long_s)} and in its last {span_words(pair.short_s)}"
                for pair in BURN_PAIRS[self.kind]
            )
            return f"The error budget burns at {pairs}, with at least {self.minimum} bad requests."
        if self.kind is RuleKind.ABSENCE:
            return f"No request in {span_words(self.over_min * MINUTE)}."
        if self.kind is RuleKind.AUDIT and self.watched_act is not None:
            often = f", more than {self.bound:g} times" if self.bound else ""
            return f"In {span_words(self.over_min * MINUTE)} {ACT_LABELS[self.watched_act]}{often}."
        over = f"over {span_words(self.over_min * MINUTE)}"
        least = f" (from {self.minimum} requests on)" if self.minimum else ""
        if self.kind is RuleKind.CHANGE:
            way = "more" if self.direction is BoundSide.ABOVE else "less"
            return f"{NAMES[self.metric]} {over} {self.bound:g} % {way} than in the same span before{least}."
        return f"{NAMES[self.metric]} {over} {self.direction} {self.bound:g}{UNITS[self.metric]}{least}."


NAMES = {
    RuleMetric.ERROR_SHARE: "Errors",
    RuleMetric.P95: "P95 latency",
    RuleMetric.RATE: "Requests",
    RuleMetric.COST: "Cost",
    None: "Nothing",
}
UNITS = {
    RuleMetric.ERROR_SHARE: " %",
    RuleMetric.P95: " ms",
    RuleMetric.RATE: " per second",
    RuleMetric.COST: " a day",
    None: "",
}


def _rate_words(rate: float) -> str:
    return "the allowed rate" if rate == 1 else f"{rate:g} times the allowed rate"


def span_words(seconds: int) -> str:
    """A span as people read it."""
    for size, word in ((DAY, "day"), (HOUR, "hour")):
        if seconds % size == 0:
            return f"{seconds // size} {word}{'s' if seconds != size else ''}"
    return f"{seconds // MINUTE} minute{'s' if seconds != MINUTE else ''}"
