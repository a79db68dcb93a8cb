"""The kinds of guardrails that there are."""

from collections.abc import Iterable

from deployments.rollout.guardrails.error_rate import ErrorRate
from deployments.rollout.guardrails.guardrail_kind import CountedKind, LookedAtKind, type_Row
from deployments.rollout.guardrails.latency_over_slo import LatencyOverSlo
from monitoring.analysis.judge import Guardrail

KINDS: tuple[CountedKind | LookedAtKind, ...] = (ErrorRate(), LatencyOverSlo())


def kind_of(metric: object) -> CountedKind | LookedAtKind | None:
    """The kind of a row with this metric; None when there is none."""
    return next((kind for kind in KINDS if isinstance(metric, str) and kind.matches(metric)), None)


def kind_of_row(guardrail: type_Row) -> CountedKind | LookedAtKind:
    """The kind of a guardrail that was read. Raises ValueError for one that is unknown: it is not left unjudged."""
    kind = kind_of(guardrail.get("metric"))
    if kind is None:
        raise ValueError(f"no kind of guardrail is called {guardrail.get('metric')!r}")
    return kind


def counted(guardrails: Iterable[type_Row]) -> list[Guardrail]:
    """Those that are judged by the folded tallies, as the judge takes them."""
    found = ((kind_of_row(row), row) for row in guardrails)
    return [kind.counted(row) for kind, row in found if isinstance(kind, CountedKind)]


def looked_at(guardrails: Iterable[type_Row]) -> list[tuple[LookedAtKind, type_Row]]:
    """Those that are read from rows at each look, with their kinds."""
    found = ((kind_of_row(row), row) for row in guardrails)
    return [(kind, row) for kind, row in found if isinstance(kind, LookedAtKind)]
