"""How events cluster in time: sums over blocks of 1, 2, 4, 8 and 16 seconds, from which a variance follows at any look.

Requests of one second are not independent when a process stalls, and neither are those of the seconds after it. Sums of
squares and products over blocks of each length are enough to know the variance of the difference of the arms' shares
for the shares of the moment, at every length, without keeping a series.
"""

from dataclasses import dataclass, field

LENGTHS_S = (1, 2, 4, 8, 16)  # longer ones would take harm that begins late for one long stall, and find it later still
STRATUM_S = 16  # both arms of the same 16 seconds are compared: long enough to hold both, short beside a day's drift
Counts = tuple[int, int, int, int]  # candidate requests and events, baseline requests and events
NOTHING: Counts = (0, 0, 0, 0)


def _products(counts: Counts) -> tuple[int, ...]:
    n_c, k_c, n_b, k_b = counts
    return (
        *(k_c * k_c, k_c * n_c, n_c * n_c),
        *(k_b * k_b, k_b * n_b, n_b * n_b),
        *(k_c * k_b, k_c * n_b, n_c * k_b, n_c * n_b),
    )


@dataclass(frozen=True)
class LengthSums:
    """The sums of products over the closed blocks of one length, and the counts of the block that is open."""

    blocks: int = 0
    products: tuple[int, ...] = (0,) * 10
    open: Counts = NOTHING

    def closed(self) -> "LengthSums":
        """With the open block among the closed ones; a block without requests is none."""
        if not (self.open[0] or self.open[2]):
            return self
        sums = tuple(one + other for one, other in zip(self.products, _products(self.open), strict=True))
        return LengthSums(self.blocks + 1, sums)

    def with_counts(self, counts: Counts) -> "LengthSums":
        """With more counts in the open block."""
        n_c, k_c, n_b, k_b = self.open
        return LengthSums(
            self.blocks, self.products, (n_c + counts[0], k_c + counts[1], n_b + counts[2], k_b + counts[3])
        )


@dataclass(frozen=True)
class Strata:
    """Mantel–Haenszel sums over stretches of `STRATUM_S` in which both arms answered.

    `candidate_score` is Σ k_c n_b / n, `baseline_score` Σ k_b n_c / n: equal on average when the arms' shares are, also
    when traffic, weights and shares drift from one stretch to the next.
    """

    candidate_n: int = 0
    baseline_n: int = 0
    candidate_score: float = 0.0
    baseline_score: float = 0.0

    def with_stretch(self, counts: Counts) -> "Strata":
        """With one more stretch; one in which an arm is missing compares nothing."""
        n_c, k_c, n_b, k_b = counts
        if not n_c or not n_b:
            return self
        return Strata(
            self.candidate_n + n_c,
            self.baseline_n + n_b,
            self.candidate_score + k_c * n_b / (n_c + n_b),
            self.baseline_score + k_b * n_c / (n_c + n_b),
        )


@dataclass(frozen=True)
class TimeSums:
    """The sums of all lengths; `second` is the newest that was folded."""

    lengths: tuple[LengthSums, ...] = field(default_factory=lambda: tuple(LengthSums() for _ in LENGTHS_S))
    strata: Strata = field(default_factory=Strata)
    second: int = 0

    def folded(self, second: int, counts: Counts) -> "TimeSums":
        """With the counts of one second. Those that come late are counted in the blocks that are open."""
        second = max(second, self.second)
        strata, lengths = self.strata, []
        for length_s, sums in zip(LENGTHS_S, self.lengths, strict=True):
            if second // length_s != self.second // length_s:
                strata = strata.with_stretch(sums.open) if length_s == STRATUM_S else strata
                sums = sums.closed()
            lengths.append(sums.with_counts(counts))
        return TimeSums(tuple(lengths), strata, second)

    @property
    def compared(self) -> Strata:
        """The strata with the stretch that is open."""
        return self.strata.with_stretch(self.lengths[LENGTHS_S.index(STRATUM_S)].open)
