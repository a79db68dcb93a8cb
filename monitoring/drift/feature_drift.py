"""What is said of one feature: the distances, what chance alone makes of them, and one word."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from dataplane.wire.feature_counts import FeatureCounts, FeaturePlan
from monitoring.drift import chance, distances

LEVEL = 0.01  # of calling any feature of a table drifted when nothing moved, at one look; shared by its features
MODERATE_PSI, LARGE_PSI = 0.1, 0.25  # the usual bounds (Siddiqi, Credit Risk Scorecards, 2006)
REQUESTS_MIN = 50
REFERENCE_MIN = 50
EXPECTED_MIN = 5  # of a bin in the smaller sample; rarer bins are put together


class DriftWord(StrEnum):
    NONE = "none"
    MODERATE = "moderate"
    LARGE = "large"
    TOO_FEW = "too few"


@dataclass(frozen=True)
class DistanceFound:
    """A distance, and the value that chance alone passes with probability `LEVEL` shared by the features."""

    name: str
    value: float
    by_chance: float

    @property
    def is_beyond_chance(self) -> bool:
        return self.value > self.by_chance


@dataclass(frozen=True)
class FeatureDrift:
    """One feature against its reference. Without enough of either, `distances` is empty and `word` says so."""

    name: str
    kind: str
    word: DriftWord
    sentence: str
    values: int = 0
    missing_share: float | None = None
    unseen_share: float | None = None
    wrong_share: float | None = None
    distances: tuple[DistanceFound, ...] = ()

    @property
    def psi(self) -> float | None:
        return self.distances[0].value if self.distances else None


def feature_drift(
    plan: FeaturePlan, reference: FeatureCounts, current: FeatureCounts, *, requests: int, features: int = 1
) -> FeatureDrift:
    """Compare a feature's counts with the reference's. `requests` is how many were sampled, of which each is one
    observation however many rows it has; `features` is among how many the level is shared.
    """
    total = sum(current.bins) + current.missing + current.wrong + (current.unseen if plan.kind == "category" else 0)
    known, seen = _bins(plan, reference), _bins(plan, current)
    n, m = min(sum(seen), requests), sum(known)
    drift = FeatureDrift(
        plan.name,
        plan.kind,
        DriftWord.TOO_FEW,
        _too_few(n, m),
        total,
        current.missing / total if total else None,
        current.unseen / total if total else None,
        current.wrong / total if total else None,
    )
    if drift.sentence:
        return drift
    found = _distances(plan, known, seen, (n, m), LEVEL / max(features, 1))
    word = _word(found[0])
    if word is DriftWord.NONE and found[0].by_chance > LARGE_PSI:
        few = f"{n:,} requests against {m:,} rows: chance alone reaches a PSI of {found[0].by_chance:.2f}."
        return replace(drift, sentence=few, distances=found)
    return replace(drift, word=word, sentence=_sentence(found[0]), distances=found)


def _bins(plan: FeaturePlan, counts: FeatureCounts) -> list[int]:
    """The bins that are compared: missing values are one, and so are categories that the reference has not."""
    unseen = [counts.unseen] if plan.kind == "category" else []
    return [*counts.bins, *unseen, counts.missing]


def _too_few(n: int, m: int) -> str:
    if m < REFERENCE_MIN:
        return f"The reference has {m} rows: too few to say (at least {REFERENCE_MIN})."
    if n < REQUESTS_MIN:
        return f"{n} sampled requests: too few to say (at least {REQUESTS_MIN})."
    return ""


def _pooled(pairs: Sequence[tuple[float, float]], smaller: int) -> tuple[list[float], list[float]]:
    """Shares by bin of both; bins that chance can leave empty are one bin, by the mean of both shares."""
    rare = [pair for pair in pairs if smaller * sum(pair) / 2 < EXPECTED_MIN]
    kept = [pair for pair in pairs if smaller * sum(pair) / 2 >= EXPECTED_MIN]
    if any(sum(pair) for pair in rare):
        kept.append((sum(p for p, _ in rare), sum(q for _, q in rare)))
    return [p for p, _ in kept], [q for _, q in kept]


def _distances(
    plan: FeaturePlan, known: Sequence[int], seen: Sequence[int], sizes: tuple[int, int], alpha: float
) -> tuple[DistanceFound, ...]:
    p, q = distances.shares(known), distances.shares(seen)
    one, other = _pooled(list(zip(p, q, strict=True)), min(sizes))
    by_chance = chance.psi_by_chance(*sizes, len(one), alpha)
    far = chance.jensen_shannon_by_chance(*sizes, len(one), alpha)
    found = [
        DistanceFound("PSI", distances.psi(one, other), by_chance),
        DistanceFound("Jensen–Shannon", distances.jensen_shannon(one, other), far),
    ]
    if plan.kind != "category":  # categories have no order
        bound = chance.ks_by_chance(*sizes, alpha)
        found += [
            DistanceFound("Kolmogorov–Smirnov", distances.kolmogorov_smirnov(p, q), bound),
            DistanceFound("Wasserstein", distances.wasserstein(p, q), bound),
        ]
    return tuple(found)


def _word(found: DistanceFound) -> DriftWord:
    if not found.is_beyond_chance or found.value <= MODERATE_PSI:
        return DriftWord.NONE
    return DriftWord.LARGE if found.value > LARGE_PSI else DriftWord.MODERATE


def _sentence(found: DistanceFound) -> str:
    chance_words = f"chance alone reaches {found.by_chance:.3f}"
    if not found.is_beyond_chance:
        return f"PSI {found.value:.3f}, no more than chance: {chance_words}."
    bound = LARGE_PSI if found.value > LARGE_PSI else MODERATE_PSI
    side = "above" if found.value > MODERATE_PSI else "more than chance, and not above"
    return f"PSI {found.value:.3f}, {side} {bound:g}; {chance_words}."
