"""What was counted lately: sums that begin anew at fixed times, beside those since the beginning.

Harm that begins late is diluted in everything that was counted before, and among many seconds one change looks like a
stall. So evidence is also taken from the newest `SPANS_S` seconds at most: at each multiple of a span of the clock its
sums begin with nothing. The n-th beginning of a span has 1 / (n (n + 1)) of the span's part of α, which makes the whole
of it over any number of beginnings. The first stretch is that of the whole tally and is not judged twice.

A short stretch alone does not say how requests hang together. So they hang together at least as they did before it in
the whole tally; as they did some time before, because a stretch that follows the beginning of harm would else take the
harm for a stall.
"""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from typing import Any

from monitoring.analysis.design_effect import Dependence, DesignEffect
from monitoring.analysis.tally import ArmEvents, Tally

SPANS_S = (16, 64)  # the short one finds what is plain within seconds, the long one what needs more requests
KNOWN_EVERY_S = 64
KNOWN_KEPT = 2  # the older one is used: 64 to 128 s old


@dataclass(frozen=True)
class Stretch:
    """The sums since the newest beginning of a span; `beginnings` are those after the first block."""

    tally: Tally = field(default_factory=Tally)
    began: int = 0
    beginnings: int = 0

    def folded(self, span_s: int, second: int, candidate: ArmEvents, baseline: ArmEvents) -> "Stretch":
        """With one more block; that of another span begins anew."""
        if not self.began:
            return Stretch(Tally().folded(second, candidate, baseline), second, self.beginnings)
        if second // span_s != self.tally.time.second // span_s:
            return Stretch(Tally().folded(second, candidate, baseline), second, self.beginnings + 1)
        return Stretch(self.tally.folded(second, candidate, baseline), self.began, self.beginnings)

    @property
    def seconds(self) -> int:
        """How long ago it began, to the newest second."""
        return self.tally.time.second - self.began + 1


@dataclass(frozen=True)
class Recent:
    """The stretches of one guardrail by span, and how its requests were known to hang together."""

    stretches: tuple[Stretch, ...] = tuple(Stretch() for _ in SPANS_S)
    known: tuple[Dependence, ...] = ()

    def folded(self, second: int, candidate: ArmEvents, baseline: ArmEvents, before: Tally) -> "Recent":
        """With one more block; `before` is the whole tally without it."""
        known, second = self.known, max(second, before.time.second)
        if before.time.second and second // KNOWN_EVERY_S != before.time.second // KNOWN_EVERY_S:
            known = (*known, before.dependence)[-KNOWN_KEPT:]
        stretches = [
            stretch.folded(span_s, second, candidate, baseline)
            for span_s, stretch in zip(SPANS_S, self.stretches, strict=True)
        ]
        return Recent(tuple(stretches), known)

    def begun_anew(self) -> "Recent":
        """Without anything that was counted; how much of α was used stays."""
        return Recent(tuple(Stretch(beginnings=stretch.beginnings) for stretch in self.stretches))

    def effect(self, stretch: Stretch) -> DesignEffect:
        """By how much a stretch's requests are too many: by its own seconds, and by what was known."""
        own = stretch.tally.effect
        return own.at_least(stretch.tally.effect_of(self.known[0])) if self.known else own

    def to_dict(self) -> dict[str, Any]:
        """The stretches as JSON-able values."""
        return {
            "stretches": [[one.tally.to_dict(), one.began, one.beginnings] for one in self.stretches],
            "known": [list(astuple(one)) for one in self.known],
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "Recent":
        """The stretches that `to_dict` wrote."""
        stretches = tuple(Stretch(Tally.from_dict(tally), *rest) for tally, *rest in stored["stretches"])
        return cls(stretches, tuple(Dependence(*one) for one in stored["known"]))
