"""Is what was promoted still as good? A one-sided Bernoulli CUSUM for the time after promotion.

There is no concurrent stable arm any more, so the share of events is held against a reference that is frozen at
promotion: the stable arm's share then. Up to a margin above it is what the release promised (the null), and two margins
more are to be found soon:

    S = max(0, S + w(k, n) / d),   w = k log(p1 / p0) + (n − k) log((1 − p1) / (1 − p0)),
    p0 = reference + 2 standard errors of it + margin,       p1 = p0 + 2 margins

(Page 1954; for Bernoulli observations Reynolds and Stoumbos 1999). d is the design effect that is frozen with it, for
blocks of all the traffic. The watch takes back when S reaches h = log(seconds of the watch / α).

For independent requests of a share of p0 at most, the part of S since any one second exceeds h with probability e^−h at
most (Ville), so over all seconds of the watch α is not exceeded. Dependence that was not seen before promotion is not
in d; so that a stall cannot take a release back, one second counts for a tenth of h at most.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from monitoring.analysis.guardrail_result import CLIENT_ERRORS
from monitoring.analysis.judge import ArmCounts, Guardrail, JudgeState

ALPHA = 0.01  # of a false return over a whole watch, all guardrails together
REFERENCE_MIN_REQUESTS = 100  # of the stable arm, effective; fewer do not say what is usual
REFERENCE_ERRORS = 2  # standard errors by which the reference may be too low
FOUND_MARGINS = 2  # above what is accepted: what is to be found soon
SECONDS_MIN = 10  # that a return takes at least
SHARE_MAX = 0.99
EXPECTED_SHARE_ADDED = 0.5  # events and half of a request each way, so that no event at all is no certainty


@dataclass(frozen=True)
class Watched:
    """One guardrail after promotion: what was frozen, what was counted since, and the sum `s` of the CUSUM.

    `reference` is the stable arm's share at promotion, `accepted` the share that the release promised not to exceed,
    `effect` the design effect of all the traffic, `limit` the sum that takes back.
    """

    guardrail: Guardrail
    reference: float
    accepted: float
    effect: float
    limit: float
    requests: int = 0
    events: int = 0
    s: float = 0.0

    @property
    def is_signalled(self) -> bool:
        return self.s >= self.limit

    def folded(self, counts: ArmCounts) -> "Watched":
        """With the counts of one more second. What was signalled stays so."""
        n, k = counts.requests, counts.events(self.guardrail)
        found = min(self.accepted + FOUND_MARGINS * self.guardrail.margin, (1 + self.accepted) / 2)
        more = k * math.log(found / self.accepted) + (n - k) * math.log((1 - found) / (1 - self.accepted))
        more = min(more / self.effect, self.limit / SECONDS_MIN)
        s = self.s if self.is_signalled else max(0.0, self.s + more)
        return replace(self, requests=self.requests + n, events=self.events + k, s=s)

    @property
    def sentence(self) -> str:
        """What was seen, what was expected, and how near a return is."""
        did = "failed" if self.guardrail.slo_ms is None else f"took longer than {self.guardrail.slo_ms:g} ms"
        text = f"{self.events:,} of {self.requests:,} requests {did}, {_pct(self.reference)} expected"
        if self.is_signalled:
            return f"{text}: more than the {_pct(self.accepted)} that its margin allows, for longer than any stall."
        return f"{text}; lastingly more than {_pct(self.accepted)} speaks against it."

    def to_dict(self) -> dict[str, Any]:
        """The row as JSON-able values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "Watched":
        """The row that `to_dict` wrote."""
        return cls(**{**stored, "guardrail": Guardrail(**stored["guardrail"])})


def _pct(share: float) -> str:
    return f"{share * 100:.2g} %" if share < 1 else "100 %"


def begin(state: JudgeState, seconds: int) -> tuple[Watched, ...]:
    """What is watched for `seconds` after a promotion on this state: every guardrail whose stable arm had enough
    requests to say what is usual. Client errors are the clients' own without a stable arm beside them.
    """
    judged = [one for one in state.guardrails if one.metric != CLIENT_ERRORS]
    if seconds <= 0 or not judged:
        return ()
    limit = math.log(seconds * len(judged) / ALPHA)
    found = (_begun(state, guardrail, limit) for guardrail in judged)
    return tuple(one for one in found if one is not None)


def _begun(state: JudgeState, guardrail: Guardrail, limit: float) -> Watched | None:
    tally = state.tallies[guardrail.key]
    worth = tally.baseline_n / tally.effect.baseline
    if worth < REFERENCE_MIN_REQUESTS:
        return None
    reference = (tally.baseline_k + EXPECTED_SHARE_ADDED) / (tally.baseline_n + 2 * EXPECTED_SHARE_ADDED)
    accepted = reference + REFERENCE_ERRORS * math.sqrt(reference * (1 - reference) / worth) + guardrail.margin
    return Watched(guardrail, reference, accepted, tally.joined_effect, limit) if accepted < SHARE_MAX else None


def fold(watched: Iterable[Watched], counts: ArmCounts) -> tuple[Watched, ...]:
    """All guardrails with the counts of one more second."""
    return tuple(one.folded(counts) for one in watched)
